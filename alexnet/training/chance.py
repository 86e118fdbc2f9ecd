"""The loss of a network that has learnt how frequent each class is, and nothing of the pictures."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# A loss within 2 % of the loss at chance is taken for it.
TOLERANCE = 0.02


def loss_at_chance(labels: NDArray[np.integer[Any]]) -> float:
    """Return the entropy in nats of the frequencies of `labels`: the least loss without looking."""
    frequencies = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(frequencies * np.log(frequencies)).sum())


def is_at_chance(loss: float, chance: float) -> bool:
    """Return whether a training loss is that of chance, rather than above or below it."""
    return abs(loss - chance) < TOLERANCE * chance


def is_below_chance(loss: float, chance: float) -> bool:
    """Return whether a training loss is below that of chance."""
    return loss <= (1 - TOLERANCE) * chance
