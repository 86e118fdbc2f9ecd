"""The rows of the walk: complete parameters for each, checked before anything runs.

    python -m experiments.recipe_walk.walk

writes ``rows/ROW-SEED.yaml``, which the train stage reads. The knobs come from comparing the two
profiles: a key in which they differ and that no row changes is an error, and so is a misspelt one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import typer
from pydantic import Field

from alexnet.core.errors import UserError
from alexnet.core.params import Section, Strict, read
from alexnet.core.stage import run
from experiments.shared.settings import flat, refuse_unknown, refuse_what_is_wrong, write_runs
from experiments.shared.values import Values

HERE = Path("experiments/recipe_walk")
PARAMS = HERE / "params.yaml"
ROWS = HERE / "rows"
RUNS = HERE / "runs"


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
    start, goal = flat(Path(walk.start)), flat(Path(walk.goal))
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
        refuse_unknown({**walk.alike, **row.values}, start, path, where, walk.start)
        refuse_what_is_wrong(before, path, where)
        rows[row.name] = before
    return rows


def main(
    params: Annotated[Path, typer.Option(help="the walk")] = PARAMS,
    out: Annotated[Path, typer.Option(help="folder for the rows' parameters")] = ROWS,
) -> None:
    """Write the parameters of every run."""
    walk = read(params, Walk)
    write_runs(out, parameters(walk, params), walk.seeds)


if __name__ == "__main__":
    run(main)
