"""The reliability diagram and its error, by hand and at its corners."""

import numpy as np
import pytest

from alexnet.evaluation.calibration import reliability


def test_bins_by_hand() -> None:
    confidence = np.array([0.05, 0.2, 0.21, 0.4, 1.0, 1.0])
    right = np.array([False, True, False, True, True, False])
    found = reliability(confidence, right, bins=5)
    # (0, 0.2], (0.2, 0.4], nothing, nothing, (0.8, 1]
    assert found.pictures.tolist() == [2, 2, 0, 0, 2]
    assert found.confidence[[0, 1, 4]].tolist() == pytest.approx([0.125, 0.305, 1.0])
    assert found.accuracy[[0, 1, 4]].tolist() == pytest.approx([0.5, 0.5, 0.5])
    assert np.isnan(found.accuracy[2:4]).all()
    assert found.error == pytest.approx((2 * 0.375 + 2 * 0.195 + 2 * 0.5) / 6)


def test_a_network_that_is_as_often_right_as_it_says_has_no_error() -> None:
    confidence = np.repeat([0.25, 0.5, 1.0], 4)
    right = np.array([1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1], bool)
    assert reliability(confidence, right, bins=4).error == 0


def test_a_sure_and_wrong_network_has_all_the_error() -> None:
    assert reliability(np.ones(7), np.zeros(7, bool)).error == 1
