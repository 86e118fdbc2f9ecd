"""Which classes a network gets wrong, and what it takes them for."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alexnet.evaluation.predictions import Predictions


class Confused(NamedTuple):
    """How many `pictures` of one class, a label, were taken for another."""

    true: int
    guessed: int
    pictures: int


def confusion(labels: NDArray[np.int64], guesses: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Count pictures by true class (row) and likeliest label (column), (classes, classes)."""
    return np.bincount(labels * classes + guesses, minlength=classes**2).reshape(classes, classes)


def most_confused(matrix: NDArray[np.int64], count: int) -> list[Confused]:
    """Return at most `count` pairs of classes, the most often confused first; equals in label order."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [Confused(int(t), int(g), int(wrong[t, g])) for t, g in pairs if wrong[t, g]]


def per_class(predictions: Predictions, share_ties: bool) -> pd.DataFrame:
    """Return a row per class in label order: wnid, words, images, top1_error, top5_error.

    The errors are fractions over ten patches, NaN for a class that never occurs.
    """
    count = len(predictions.classes)
    images = np.bincount(predictions.labels, minlength=count)
    table = pd.DataFrame(predictions.classes, columns=["wnid", "words"]).assign(images=images)
    for k in (1, 5):
        wrong = np.bincount(predictions.labels, predictions.wrong(k, share_ties), count)
        with np.errstate(invalid="ignore"):
            table[f"top{k}_error"] = wrong / images
    return table
