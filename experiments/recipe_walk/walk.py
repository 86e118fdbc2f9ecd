"""The rows of the walk: complete parameters for each, checked before anything runs.

    python -m experiments.recipe_walk.walk

writes ``rows/ROW-SEED.yaml``, which the train stage reads. The knobs come from comparing the two
profiles: a key in which they differ and that no row changes is an error, and so is a misspelt one.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from pydantic import Field

from alexnet.errors import UserError
from alexnet.files import write_json
from alexnet.params.augment import Augment
from alexnet.params.base import Section, Strict, read, validate
from alexnet.params.model import Model
from alexnet.params.train import Train
from stages.options import run

HERE = Path("experiments/recipe_walk")
PARAMS = HERE / "params.yaml"
ROWS = HERE / "rows"
RUNS = HERE / "runs"
# The sections that the train stage reads.
SECTIONS: tuple[type[Section], ...] = (Augment, Model, Train)

Values = dict[str, Any]


class Row(Strict):
    """One step of the walk."""

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    after: str | None = None
    goal: list[str] = Field(default=[])
    values: Values = Field(default={})


class Walk(Section):
    """Where the walk starts, where it goes, and its rows in order."""

    key: ClassVar[str] = "walk"

    start: str
    goal: str
    seeds: list[int] = Field(min_length=1)
    alike: Values
    rows: list[Row] = Field(min_length=1)


def parameters(walk: Walk, path: Path = PARAMS) -> dict[str, Values]:
    """Return what each row trains with: sections with dotted keys, by the row's name.

    Raises:
        UserError: a key is unknown or out of range, a row's name is not its own or follows none, or a
            difference between start and goal is in no row or in two.
    """
    start, goal = _flat(Path(walk.start)), _flat(Path(walk.goal))
    differing = [key for key in start if start[key] != goal[key] and key not in walk.alike]
    taken = [key for row in walk.rows for key in row.goal]
    for key in {*differing, *taken}:
        if taken.count(key) != 1 or key not in differing:
            raise UserError(
                f"{path}: walk.rows: {key}: found in the goal of {taken.count(key)} rows; allowed: each"
                f" difference of {walk.start} and {walk.goal} in one row: {', '.join(differing)}"
            )
    rows: dict[str, Values] = {}
    before = {**start, **walk.alike}
    for row in walk.rows:
        where = f"walk.rows: {row.name}"
        if row.name in rows:
            raise UserError(f"{path}: {where}: found twice; allowed: a name of its own for each row")
        if row.after is not None and row.after not in rows:
            known = ", ".join(rows)
            raise UserError(f"{path}: {where}: after: found {row.after}; allowed: a row above: {known}")
        changed = {**{key: goal[key] for key in row.goal}, **row.values}
        before = {**(rows[row.after] if row.after else before), **changed}
        for key in {**walk.alike, **row.values}:
            if key not in start:
                raise UserError(f"{path}: {where}: {key}: unknown key; allowed: the keys of {walk.start}")
        _refuse_what_is_wrong(before, path, where)
        rows[row.name] = before
    return rows


def _flat(path: Path) -> Values:
    return {
        dotted: value
        for section in SECTIONS
        for dotted, value in _leaves(read(path, section).model_dump(), section.key)
    }


def _leaves(value: Any, prefix: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(prefix, value)]
    return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{prefix}.{key}")]


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


def _refuse_what_is_wrong(values: Values, path: Path, where: str) -> None:
    sections = nested(values)
    for section in SECTIONS:
        validate(sections[section.key], section, path, f"{where}: {section.key}")


def main(
    params: Annotated[Path, typer.Option(help="the walk")] = PARAMS,
    out: Annotated[Path, typer.Option(help="folder for the rows' parameters")] = ROWS,
) -> None:
    """Write the parameters of every run."""
    walk = read(params, Walk)
    for name, values in parameters(walk, params).items():
        for seed in walk.seeds:
            write_json(out / f"{name}-{seed}.yaml", nested({**values, "train.seed": seed}))


if __name__ == "__main__":
    run(main)
