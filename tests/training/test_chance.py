"""The plateau against the definition of entropy."""

import math

import numpy as np
import pytest

from alexnet.training.chance import is_at_chance, is_below_chance, loss_at_chance


def test_entropy_of_equal_classes_is_the_logarithm_of_their_number() -> None:
    assert loss_at_chance(np.repeat(np.arange(20), 7)) == pytest.approx(math.log(20), rel=1e-12)


def test_entropy_of_unequal_classes_counts_none_that_is_absent() -> None:
    expected = -(0.5 * math.log(0.5) + 0.375 * math.log(0.375) + 0.125 * math.log(0.125))
    assert loss_at_chance(np.array([0, 0, 0, 0, 2, 2, 2, 5])) == pytest.approx(expected, rel=1e-12)


def test_flat_is_within_2_per_cent_and_below_is_under() -> None:
    assert [is_at_chance(loss, 3.0) for loss in (2.93, 2.95, 3.0, 3.05, 3.07)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert [is_below_chance(loss, 3.0) for loss in (2.93, 2.95, 3.2)] == [True, False, False]
