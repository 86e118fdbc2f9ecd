"""The rows of the table, checked before anything trains: python -m experiments.ablations.rows"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from alexnet.core.errors import UserError
from alexnet.core.params import Section, Strict, read
from alexnet.core.stage import run
from experiments.shared.keys import EACH_ONCE, Seeds
from experiments.shared.plans import RECIPE, Values, of_seeds, planned, write_checked

PARAMS, ROWS = Path("experiments/ablations/params.yaml"), Path("experiments/ablations/rows.yaml")
FULL = "full"


class Claim(Strict):
    """What the paper says of leaving something out: error added, in percent, how exactly, and in words."""

    words: str = ""
    exactly: Literal["", "about", "over"] = ""
    top1: float | None = None
    top5: float | None = None


class Row(Strict):
    """One thing taken away from the full recipe."""

    without: str
    values: Values
    claim: Claim = Claim()


class _Plan(Section):
    key: ClassVar[str] = "ablations"

    seeds: Seeds
    alike: Values
    run: Annotated[list[str], Field(min_length=2), EACH_ONCE]


class _Rows(Section):
    key: ClassVar[str] = "ablations"

    rows: dict[str, Row]


class Ablations(_Plan):
    """The plan with all rows by name."""

    rows: dict[str, Row]


def plan(
    params: Path = PARAMS, recipe: str = RECIPE, rows: Path = ROWS
) -> tuple[Ablations, dict[str, Values]]:
    """Return the table of which `params` has the plan, and what each run, ROW-SEED, is planned with.

    A row that is unknown, contradicts itself or changes nothing, and unknown keys and values are refused.
    """
    table = Ablations(rows=read(rows, _Rows).rows, **dict(read(params, _Plan)))
    for name in table.run:
        if name not in table.rows:
            raise UserError(f"{params}: ablations.run: found {name}; allowed: {', '.join(table.rows)}")
    if FULL not in table.run:
        raise UserError(
            f"{params}: ablations.run: {FULL} is missing; the others are compared with it. Add it."
        )
    alike = [recipe, f"{params}:ablations.alike"]
    full = planned(alike)
    values = {name: planned([*alike, f"{rows}:ablations.rows.{name}.values"]) for name in table.rows}
    for name in table.run:
        if (values[name] == full) != (name == FULL):
            found = ", ".join(f"{key}: {value}" for key, value in table.rows[name].values.items())
            raise UserError(
                f"{rows}: ablations.rows.{name}.values: found {found}; allowed: what differs from the full"
                f" recipe, and nothing for {FULL}. Change the row, or take it out of ablations.run."
            )
    return table, of_seeds({name: values[name] for name in table.run}, table.seeds)


def main() -> None:
    """Check every run before any trains."""
    plan()
    write_checked("ablations")


if __name__ == "__main__":
    run(main)
