"""Confusions and class errors, counted picture by picture."""

import numpy as np
import pytest
from reference import literally_wrong

from alexnet.evaluation.confusion import Confused, confusion, most_confused, per_class
from alexnet.evaluation.predictions import Predictions


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
