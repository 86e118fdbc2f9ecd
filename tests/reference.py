"""Error rates in plain NumPy and Python, written without a look at the package."""

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def literally_wrong(scores: NDArray[np.float64], labels: NDArray[np.int64], k: int) -> list[bool]:
    """Sort each picture's classes, the true one behind all that score as high, and look for it."""
    wrong = []
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        ranking = sorted(range(len(row)), key=lambda index: (-row[index], index == label))
        wrong.append(label not in ranking[:k])
    return wrong


def literal_credit(scores: list[float], label: int, k: int) -> float:
    """Give the true class each place among its equals in turn: how often is it among the first k?"""
    ahead = sum(score > scores[label] for score in scores)
    equals = sum(score == scores[label] for score in scores)
    return sum(ahead + place < k for place in range(equals)) / equals


def literal_calibration_error(scores: NDArray[np.float64], labels: NDArray[np.int64], bins: int) -> float:
    """Guo et al. 2017, equation 3, bin by bin."""
    confidence, right = scores.max(1), scores.argmax(1) == labels
    total = 0.0
    for number in range(bins):
        inside = (confidence > number / bins) & (confidence <= (number + 1) / bins)
        if inside.any():
            total += inside.sum() * abs(right[inside].mean() - confidence[inside].mean())
    return total / len(labels)
