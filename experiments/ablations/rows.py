"""The rows of the table: complete parameters for each, checked before anything trains.

    python -m experiments.ablations.rows

writes ``rows/ROW-SEED.yaml``, which the train stage reads. A file is the same bytes as long as its row
is, so a changed row is trained again alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import typer
from pydantic import Field

from alexnet.core import stage as options
from alexnet.core.errors import UserError
from alexnet.core.params import Section, Strict, read
from alexnet.core.stage import run
from experiments.shared.settings import flat, refuse_unknown, refuse_what_is_wrong, write_runs
from experiments.shared.values import Values

HERE = Path("experiments/ablations")
PARAMS = HERE / "params.yaml"
FULL = "full"


class Claim(Strict):
    """What the paper says of leaving something out: error added, in percent, and in words."""

    words: str
    top1: float | None = None
    top5: float | None = None


class Row(Strict):
    """One thing taken away from the full recipe."""

    without: str
    values: Values = Field(min_length=1)
    claim: Claim | None = None


class Ablations(Section):
    """The rows, by name, and what they have alike."""

    key: ClassVar[str] = "ablations"

    seeds: list[int] = Field(min_length=1)
    alike: Values
    run: list[str] = Field(min_length=2)
    rows: dict[str, Row]


def parameters(table: Ablations, recipe: Path, path: Path = PARAMS) -> dict[str, Values]:
    """Return what each row that runs trains with: sections with dotted keys, by the row's name.

    Args:
        recipe: the parameters from which things are taken away.

    Raises:
        UserError: a row is unknown, contradicts itself or changes nothing, or a key of it is unknown
            or out of range.
    """
    start = flat(recipe)
    refuse_unknown(table.alike, start, path, "ablations.alike", str(recipe))
    full = {**start, **table.alike}
    for name in table.run:
        if name != FULL and name not in table.rows:
            known = ", ".join([FULL, *table.rows])
            raise UserError(f"{path}: ablations.run: found {name}; allowed: {known}")
        if table.run.count(name) > 1:
            raise UserError(f"{path}: ablations.run: found {name} twice; allowed: each row once")
    if FULL not in table.run:
        raise UserError(f"{path}: ablations.run: {FULL} is missing; the others are compared with it. Add it.")
    refuse_what_is_wrong(full, path, f"ablations: {FULL}")
    found = {FULL: full}
    for name, row in table.rows.items():
        where = f"ablations.rows: {name}"
        refuse_unknown(row.values, start, path, where, str(recipe))
        found[name] = {**full, **row.values}
        refuse_what_is_wrong(found[name], path, where)
        if name in table.run and found[name] == full:
            keys = ", ".join(f"{key}: {value}" for key, value in row.values.items())
            raise UserError(
                f"{path}: {where}: found {keys}, as the full recipe ({recipe}) has it; allowed: what differs."
                " Change the row, or take it out of ablations.run."
            )
    return {name: found[name] for name in table.run}


def main(
    params: Annotated[Path, typer.Option(help="the table")] = PARAMS,
    recipe: Annotated[Path, typer.Option(help="the parameters of the full recipe")] = options.PARAMS_FILE,
    out: Annotated[Path, typer.Option(help="folder for the rows' parameters")] = HERE / "rows",
) -> None:
    """Write the parameters of every run."""
    table = read(params, Ablations)
    write_runs(out, parameters(table, recipe, params), table.seeds)


if __name__ == "__main__":
    run(main)
