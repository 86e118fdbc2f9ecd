"""How well a few paired runs fix a difference: over other seeds, and over other pictures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from alexnet.evaluation.intervals import CONFIDENCE

RESAMPLES = 10_000

Interval = tuple[float, float]
Verdict = Literal["more", "fewer", "unclear", "one seed", "no spread"]


@dataclass(frozen=True)
class Difference:
    """A mean difference of errors between two arms whose runs are paired by seed.

    Attributes:
        mean: fraction; above 0 where the first arm errs more.
        by_seed: the differences of the pairs.
        over_seeds: 95 % interval for other seeds and these pictures, or None; see `over_seeds`.
        over_pictures: 95 % interval for other pictures of the kind and these networks.
    """

    mean: float
    by_seed: tuple[float, ...]
    over_seeds: Interval | None
    over_pictures: Interval

    @property
    def p_value(self) -> float:
        """The two-sided p-value of Student's test over the seeds, of which there are at least two."""
        return float(stats.ttest_1samp(self.by_seed, 0).pvalue)

    @property
    def verdict(self) -> Verdict:
        """Whether there are more errors or fewer; unclear if other seeds or pictures may explain it."""
        if self.over_seeds is None:
            return "one seed" if len(self.by_seed) == 1 else "no spread"
        if any(low <= 0 <= high for low, high in (self.over_seeds, self.over_pictures)):
            return "unclear"
        return "more" if self.mean > 0 else "fewer"


def difference(one: Sequence[NDArray[np.float64]], other: Sequence[NDArray[np.float64]]) -> Difference:
    """Return by how much `one` errs more than `other`.

    Both have, for each seed, each picture's share of an error, (pictures,), in the same order.
    """
    pairs = np.array(one) - np.array(other)
    by_seed = tuple(float(mean) for mean in pairs.mean(1))
    return Difference(float(pairs.mean()), by_seed, over_seeds(by_seed), over_pictures(pairs.mean(0)))


def over_seeds(differences: Sequence[float]) -> Interval | None:
    """Return Student's two-sided 95 % interval of the mean of paired `differences`.

    None of a single one, and where all are the same: an interval without width would call any of them
    certain, but it is the coarse count of epochs or pictures that hides how seeds differ.
    """
    count = len(differences)
    if count < 2 or math.isclose(min(differences), max(differences), rel_tol=1e-9, abs_tol=1e-12):
        return None
    low, high = stats.t.interval(CONFIDENCE, count - 1, np.mean(differences), stats.sem(differences))
    return float(low), float(high)


def over_pictures(differences: NDArray[np.float64]) -> Interval:
    """Return the percentile bootstrap's 95 % interval of the mean of `differences`, (pictures,).

    A picture's difference takes few values, so how often each is drawn stands for the drawn pictures:
    the same interval, without an array of pictures × resamples.
    """
    values, counts = np.unique(differences, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(len(differences), counts / len(differences), RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn @ values / len(differences), [tail, 1 - tail])
    return float(low), float(high)


def surviving(p_values: Mapping[str, float]) -> set[str]:
    """Return those that Holm's correction leaves significant at 5 %, of all that were tested together."""
    found: set[str] = set()
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        if p_values[name] > (1 - CONFIDENCE) / (len(p_values) - place):
            break
        found.add(name)
    return found
