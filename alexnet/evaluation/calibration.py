"""Whether a network is right as often as its probabilities claim: reliability diagram and error.

Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks", section 2.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """Pictures sorted by how sure the network was of its likeliest label; arrays are (bins,).

    Attributes:
        pictures: how many fell into each bin of equal width; bin i holds (i / bins, (i + 1) / bins].
        confidence, accuracy: means within the bin, NaN where it is empty.
    """

    pictures: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean over pictures of their bin's |accuracy − confidence|."""
        gap = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(self.pictures * gap) / self.pictures.sum())


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Sort pictures into bins by the probability of their likeliest label, `right` if it was the true one."""
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    pictures = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(place, values, bins) / pictures for values in (confidence, right)]
    return Reliability(pictures, *means)
