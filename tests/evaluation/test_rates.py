"""What is counted from predictions: reliability, exact intervals and class errors."""

import numpy as np
import pytest
from reference import literally_wrong
from scipy.stats import binomtest

from alexnet.evaluation.calibration import reliability
from alexnet.evaluation.intervals import exact_interval
from alexnet.evaluation.predictions import Predictions


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


@pytest.mark.parametrize(("wrong", "images"), [(0, 50), (72, 200), (50, 50), (1, 1)])
def test_interval_is_scipys_exact_one(wrong: int, images: int) -> None:
    expected = binomtest(wrong, images).proportion_ci(0.95, method="exact")
    assert exact_interval(wrong / images, images) == pytest.approx(tuple(expected))


def test_shared_ties_move_the_interval_smoothly() -> None:
    bounds = [exact_interval(wrong / 50, 50) for wrong in (10, 10.5, 11)]
    assert bounds[0][0] < bounds[1][0] < bounds[2][0]
    assert bounds[0][1] < bounds[1][1] < bounds[2][1]


def test_each_class_counts_its_own_pictures() -> None:
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 9, 300)
    labels[labels == 4] = 5
    ten = draw.integers(0, 5, (300, 9)).astype(np.float64)
    names = np.arange(300).astype(str)
    classes = tuple((f"n{label}", f"word {label}") for label in range(9))
    table = Predictions(ten, ten, labels, names, "val", classes, ()).per_class(False)
    assert table["wnid"].tolist() == [wnid for wnid, _ in classes]
    for k in (1, 5):
        wrong = np.array(literally_wrong(ten, labels, k))
        for label in {*range(9)} - {4}:
            assert table["images"][label] == (labels == label).sum()
            assert table[f"top{k}_error"][label] == pytest.approx(wrong[labels == label].mean())
        assert np.isnan(table[f"top{k}_error"][4])
    assert 0 < np.nanmean(table["top1_error"]) < 1
