"""Numbers and names as the report words them."""

from collections.abc import Callable, Sequence

import numpy as np

from alexnet.core.terminal import escaped

NOTHING = "\N{EM DASH}"
MINUS = "\N{MINUS SIGN}"
LONGEST_NAME = 28


def percent(fraction: float) -> str:
    """Return a fraction as the paper prints error rates: ``37.5%``; a dash for NaN."""
    return NOTHING if np.isnan(fraction) else f"{100 * fraction:.1f}%"


def points(fraction: float) -> str:
    """Return a difference of error rates in percentage points, with its sign: ``+1.7``, ``+0.03`` if tiny."""
    digits = 2 if 0.00005 <= abs(fraction) < 0.0005 else 1
    # Adding 0.0 makes a positive zero of a negative one.
    return f"{round(100 * fraction, digits) + 0.0:+.{digits}f}".replace("-", MINUS)


def interval(bounds: tuple[float, float] | None, wording: Callable[[float], str] = percent) -> str:
    """Return the bounds of an interval, each in the given wording: ``34.2% to 40.9%``; a dash for None."""
    return NOTHING if bounds is None else " to ".join(map(wording, bounds))


def decimal(value: float) -> str:
    """Return a learning rate with four significant digits and no exponent: ``0.00005``."""
    return np.format_float_positional(value, precision=4, unique=False, fractional=False, trim="-")


def short(words: str) -> str:
    """Return the first of a class' synonyms, ``tench`` of ``tench, Tinca tinca``, cut to `LONGEST_NAME`."""
    first = escaped(words.split(",")[0].strip())
    return first if len(first) <= LONGEST_NAME else first[: LONGEST_NAME - 1].rstrip() + "…"


def enumerated(names: Sequence[str]) -> str:
    """Return names as a list in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
