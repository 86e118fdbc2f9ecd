"""What the experiments' pages have in common."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from alexnet.core.files import write_table
from alexnet.report import text
from alexnet.report.canvas import drawn
from alexnet.report.markup import code, fold
from alexnet.report.page import Part, write_page
from alexnet.report.paper import TABLE_2
from alexnet.report.publishing import FOLDER, list_page
from alexnet.report.text import points
from experiments.shared.paired import Interval
from experiments.shared.plans import Values

DPI = 150
Name = Annotated[str, typer.Option(help="the name of the page, the figure and the table")]
# Top-1 and top-5 errors on ILSVRC-2012's validation pictures, fractions.
PRINTED = {row.model: np.array([row.top1, row.top5], np.float64) / 100 for row in TABLE_2}

figure = partial(drawn, least=400)


def write(name: str, title: str, found: str, parts: Sequence[Part], runs: pd.DataFrame) -> None:
    """Write the page `name`, which the report lists, and the table of its `runs`; print what was found."""
    write_page(FOLDER / name, title, found, parts)
    list_page(name, title, found)
    write_table(FOLDER / f"{name}.csv", runs)
    print(found)


def how_it_was_made(experiment: str, page: str, *folds: str, plan: str = "params.yaml") -> list[str]:
    """Return the last section of a page; its table of runs is named as the page, its plan is in `plan`."""
    where = "" if page == experiment else ", with what `experiments/README.md` says of this page"
    return [
        f"## How it was made\n\n`python -m experiments.run {experiment}`{where}; what is planned"
        f" is in `experiments/{experiment}/{plan}`, the figures of each run in `{page}.csv`.",
        *folds,
    ]


def settings(summary: str, values: Values) -> str:
    """Return parameters, whose keys are dotted, for the reader to open."""
    return fold(summary, code(listed(values, "\n") or "{}"))


def listed(values: Values, between: str = ", ") -> str:
    shown = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return between.join(f"{key}: {value}" for key, value in shown.items())


def interval(found: Interval | None) -> str:
    return text.interval(found, points)


def beyond_noise(found: Interval) -> str:
    """Return whether an interval leaves out 0, in words."""
    return "not told from" if found[0] <= 0 <= found[1] else "larger than"


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
