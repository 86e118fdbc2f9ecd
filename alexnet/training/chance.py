"""The plateau of a training that has learnt how frequent each class is, and nothing of the pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# A loss within 2 % of the entropy of the class frequencies is taken to be on the plateau.
TOLERANCE = 0.02


def loss_at_chance(labels: NDArray[np.integer[Any]]) -> float:
    """Return the entropy in nats of the frequencies of `labels`: the least loss without looking."""
    frequencies = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(frequencies * np.log(frequencies)).sum())


def is_at_chance(loss: float, entropy: float) -> bool:
    """Return whether a training loss lies on the plateau, rather than above or below it."""
    return abs(loss - entropy) < TOLERANCE * entropy


def is_below_chance(loss: float, entropy: float) -> bool:
    """Return whether a training loss has left the plateau downwards."""
    return loss <= (1 - TOLERANCE) * entropy
