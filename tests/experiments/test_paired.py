"""Intervals of paired differences, against formulas written out and against SciPy's bootstrap."""

import numpy as np
import pytest
from scipy import stats

from experiments.shared.paired import Difference, difference, over_pictures, over_seeds, surviving


def test_the_seeds_interval_is_students() -> None:
    changes = [0.01, 0.03, 0.035]
    low, high = over_seeds(changes) or (0.0, 0.0)
    expected = stats.ttest_1samp(changes, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    # t of 2 degrees of freedom, from a table.
    assert (high - low) / 2 == pytest.approx(4.303 * np.std(changes, ddof=1) / np.sqrt(3), rel=1e-4)
    assert over_seeds([0.01]) is None


# 0.1 has no exact binary form, so its sums need not be the same.
@pytest.mark.parametrize("changes", [[3] * 3, [0] * 3, [0.1 + 0.2, 0.3, 0.3]])
def test_the_same_difference_with_every_seed_has_no_interval(changes: list[float]) -> None:
    assert over_seeds(changes) is None


def test_the_pictures_interval_is_the_bootstraps() -> None:
    wrong = np.random.default_rng(1).choice([-1, -1 / 3, 0, 1 / 3, 1], 400, p=[0.05, 0.1, 0.6, 0.15, 0.1])
    expected = stats.bootstrap((wrong,), np.mean, method="percentile", random_state=2).confidence_interval
    assert over_pictures(wrong) == pytest.approx((expected.low, expected.high), abs=0.004)
    assert over_pictures(np.full(7, 0.25)) == (0.25, 0.25)


def test_pairs_are_of_equal_seeds_and_pictures() -> None:
    draw = np.random.default_rng(3)
    hard = draw.random(500) < 0.3
    one = [(hard | (draw.random(500) < 0.05)).astype(float) for _ in range(3)]
    other = [hard.astype(float)] * 3
    found = difference(one, other)
    assert found.by_seed == pytest.approx([a.mean() - b.mean() for a, b in zip(one, other, strict=True)])
    assert found.mean == pytest.approx(np.mean(found.by_seed))
    assert found.verdict == "more"
    # Unpaired, the pictures' own difficulty would hide so small a difference.
    assert found.over_pictures[0] > 0


@pytest.mark.parametrize(
    ("by_seed", "verdict"),
    [
        ((0.0, 0.1, 0.2), "unclear"),
        ((0.1, 0.101, 0.102), "more"),
        ((-0.2, -0.201), "fewer"),
        ((0.1,), "one seed"),
        ((0.3,) * 3, "no spread"),
    ],
)
def test_a_difference_is_clear_when_neither_interval_holds_0(
    by_seed: tuple[float, ...], verdict: str
) -> None:
    one = [(np.arange(1000) < round(abs(change) * 1000)).astype(float) for change in by_seed]
    arms = [one, [np.zeros(1000)] * len(by_seed)]
    assert difference(*(arms if by_seed[-1] > 0 else arms[::-1])).verdict == verdict


@pytest.mark.parametrize("interval", [(0.0, 0.2), (-0.1, 0.2), (-0.1, 0.0)])
def test_either_interval_alone_makes_a_difference_unclear(interval: tuple[float, float]) -> None:
    clear = (0.01, 0.2)
    assert Difference(0.1, (0.1, 0.1), clear, clear).verdict == "more"
    assert Difference(0.1, (0.1, 0.1), interval, clear).verdict == "unclear"
    assert Difference(0.1, (0.1, 0.1), clear, interval).verdict == "unclear"


def test_the_p_value_is_of_both_sides() -> None:
    # Of 2 degrees of freedom, a table has 5 % for t = 4.303 and for −4.303.
    ones = np.array([-1.0, 0.0, 1.0])
    for sign in (1, -1):
        by_seed = tuple(ones + sign * 4.3027 / np.sqrt(3))
        assert Difference(0.1, by_seed, None, (0, 0)).p_value == pytest.approx(0.05, abs=1e-4)


def test_holms_correction_by_hand() -> None:
    # 0.05 / 4 = 0.0125, 0.05 / 3 = 0.0167, 0.05 / 2 = 0.025: the third fails, and with it the fourth.
    assert surviving({"a": 0.016, "b": 0.01, "c": 0.03, "d": 0.031}) == {"a", "b"}
    assert surviving({"a": 0.02, "b": 0.02, "c": 0.02}) == set()
    assert surviving({"a": 0.049}) == {"a"}
    assert surviving({}) == set()
