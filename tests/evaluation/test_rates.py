"""What is counted from predictions: reliability, exact intervals, confusions and class errors."""

import numpy as np
import pytest
from reference import literally_wrong
from scipy.stats import binomtest

from alexnet.evaluation.calibration import reliability
from alexnet.evaluation.confusion import Confused, confusion, most_confused, per_class
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


def test_counts_and_pairs_by_hand() -> None:
    labels, guesses = np.array([0, 0, 0, 1, 1, 3, 3]), np.array([0, 1, 1, 1, 0, 2, 2])
    matrix = confusion(labels, guesses, 4)
    assert matrix.tolist() == [[1, 2, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0]]
    # Equals in label order; the diagonal and what never happened are no confusions.
    assert most_confused(matrix, 10) == [Confused(0, 1, 2), Confused(3, 2, 2), Confused(1, 0, 1)]
    assert most_confused(matrix, 1) == [Confused(0, 1, 2)]
    assert most_confused(np.eye(3, dtype=np.int64), 5) == []


def test_each_class_counts_its_own_pictures() -> None:
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 9, 300)
    labels[labels == 4] = 5
    ten = draw.integers(0, 5, (300, 9)).astype(np.float64)
    names = np.arange(300).astype(str)
    classes = tuple((f"n{label}", f"word {label}") for label in range(9))
    table = per_class(Predictions(ten, ten, labels, names, "val", classes, tuple(range(9))), False)
    assert table["wnid"].tolist() == [wnid for wnid, _ in classes]
    for k in (1, 5):
        wrong = np.array(literally_wrong(ten, labels, k))
        for label in range(9):
            mine = labels == label
            found = table[f"top{k}_error"][label]
            assert table["images"][label] == mine.sum()
            if label == 4:
                assert np.isnan(found)
            else:
                assert found == pytest.approx(wrong[mine].mean())
    assert 0 < np.nanmean(table["top1_error"]) < 1
