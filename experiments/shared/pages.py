"""How the experiments' pages word differences, intervals and parameters."""

from __future__ import annotations

import json
from typing import Any

from alexnet.report import text
from alexnet.report.markup import code, fold
from alexnet.report.text import points
from experiments.shared.paired import Interval
from experiments.shared.values import Values


def interval(found: Interval | None) -> str:
    """Return the bounds of a difference's interval in percentage points."""
    return text.interval(found, points)


def settings(summary: str, values: Values) -> str:
    """Return parameters, whose keys are dotted, for the reader to open."""
    return fold(summary, code("\n".join(f"{key}: {shown(value)}" for key, value in values.items())))


def shown(value: Any) -> str:
    """Return a parameter's value as YAML has it."""
    return value if isinstance(value, str) else json.dumps(value)


def count(number: int, what: str) -> str:
    """Return ``1 seed``, ``3 seeds``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
