"""How well a number of pictures fixes an error rate."""

from scipy.special import betaincinv

CONFIDENCE = 0.95


def exact_interval(error: float, images: int) -> tuple[float, float]:
    """Return the two-sided 95 % interval of an error rate, exact and binomial (Clopper and Pearson 1934).

    `error` and the bounds are fractions of the `images`, of which there is at least one. Shared credit for
    ties may make the count of wrong images a fraction, which the beta form of the interval allows.
    """
    wrong, tail = error * images, (1 - CONFIDENCE) / 2
    low = float(betaincinv(wrong, images - wrong + 1, tail)) if wrong > 0 else 0.0
    high = float(betaincinv(wrong + 1, images - wrong, 1 - tail)) if wrong < images else 1.0
    return low, high
