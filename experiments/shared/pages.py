"""How the experiments' pages word differences, intervals and parameters."""

from __future__ import annotations

import json
from typing import Any

from alexnet.report.document import Code, Fold
from alexnet.report.text import MINUS, NOTHING
from experiments.shared.paired import Interval
from experiments.shared.values import Values


def points(fraction: float) -> str:
    """Return a difference of error rates in percentage points with its sign: ``+1.7``."""
    return f"{100 * fraction:+.1f}".replace("-", MINUS)


def interval(found: Interval | None) -> str:
    """Return the bounds of a difference's interval in percentage points."""
    return NOTHING if found is None else f"{points(found[0])} to {points(found[1])}"


def settings(summary: str, values: Values) -> Fold:
    """Return parameters, whose keys are dotted, for the reader to open."""
    return Fold(summary, Code("\n".join(f"{key}: {shown(value)}" for key, value in values.items())))


def shown(value: Any) -> str:
    """Return a parameter's value as YAML has it."""
    return value if isinstance(value, str) else json.dumps(value)


def count(number: int, what: str) -> str:
    """Return ``1 seed``, ``3 seeds``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
