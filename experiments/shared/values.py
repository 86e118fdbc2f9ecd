"""A run's parameters under dotted keys, and the note of them beside what came of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from alexnet.core.files import write_json

Values = dict[str, Any]

# Beside what a run left: the parameters that it was made with.
MADE_WITH = "params.yaml"


def nested(values: Values) -> Values:
    """Return sections of `values`, whose keys are dotted."""
    result: Values = {}
    for dotted, value in values.items():
        *groups, last = dotted.split(".")
        inner = result
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = copy.deepcopy(value)
    return result


def write_made_with(folder: Path, values: Values) -> None:
    """Note beside a run's results the parameters, with dotted keys, that it was made with."""
    write_json(folder / MADE_WITH, nested(values))


def is_made_with(folder: Path, values: Values) -> bool:
    """Return whether the results in `folder` were made with `values`, whose keys are dotted.

    Where parameters have changed, DVC leaves what was made with the former ones until a stage's turn comes.
    """
    try:
        found = json.loads((folder / MADE_WITH).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found == json.loads(json.dumps(nested(values))))
