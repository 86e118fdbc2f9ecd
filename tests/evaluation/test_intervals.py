"""Exact binomial intervals against SciPy's and by hand."""

import pytest
from scipy.stats import binomtest

from alexnet.evaluation.intervals import exact_interval


@pytest.mark.parametrize(("wrong", "images"), [(0, 50), (72, 200), (50, 50), (1, 1)])
def test_interval_is_scipys_exact_one(wrong: int, images: int) -> None:
    expected = binomtest(wrong, images).proportion_ci(0.95, method="exact")
    assert exact_interval(wrong / images, images) == pytest.approx(tuple(expected))


def test_interval_of_clopper_and_pearson_by_hand() -> None:
    # With no error among n, the upper bound solves (1 - p)^n = 0.025.
    assert exact_interval(0.0, 10) == pytest.approx((0.0, 1 - 0.025**0.1))


def test_shared_ties_move_the_interval_smoothly() -> None:
    bounds = [exact_interval(wrong / 50, 50) for wrong in (10, 10.5, 11)]
    assert bounds[0][0] < bounds[1][0] < bounds[2][0]
    assert bounds[0][1] < bounds[1][1] < bounds[2][1]
