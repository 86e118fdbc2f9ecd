"""The rows of the walk, checked before anything trains: python -m experiments.recipe_walk.walk"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from alexnet.core.errors import UserError
from alexnet.core.params import Section, Strict, read
from alexnet.core.stage import run
from experiments.shared.keys import EACH_ONCE, Seeds
from experiments.shared.plans import Values, differing, planned, write_checked

PARAMS = Path("experiments/recipe_walk/params.yaml")


class Goal(Strict):
    """The row that comes to a profile, but for what all rows have alike."""

    row: str
    profile: str


class Walk(Section):
    """Where the walk starts, where it goes, and its rows in order."""

    key: ClassVar[str] = "walk"

    start: str
    goal: Goal
    seeds: Seeds
    alike: Values
    run: Annotated[list[str], Field(min_length=1), EACH_ONCE]
    rows: dict[str, Values]


def plan(params: Path = PARAMS) -> tuple[Walk, dict[str, Values]]:
    """Return the walk in `params`, and what each row that runs trains with, but for the seed.

    A row that is unknown or changes nothing, unknown keys and values, and a row of the goal that does not
    have all that its profile has are refused.
    """
    walk = read(params, Walk)
    for name in (*walk.run, walk.goal.row):
        if name not in walk.rows:
            raise UserError(f"{params}: walk: found the row {name}; allowed: {', '.join(walk.rows)}")
    alike = f"{params}:walk.alike"
    rows = {name: planned([walk.start, alike, f"{params}:walk.rows.{name}"]) for name in walk.rows}
    there, found = planned([walk.goal.profile, alike]), rows[walk.goal.row]
    for key in differing(there, found):
        raise UserError(
            f"{params}: walk.rows.{walk.goal.row}: {key}: found {found[key]}; allowed: {there[key]}, as"
            f" {walk.goal.profile} has it. Add the key to a row on the way, or to walk.alike."
        )
    rows = {name: rows[name] for name in walk.run}
    for name in walk.run[1:]:
        before = row_before(name, rows)
        if not differing(rows[name], rows[before]):
            raise UserError(f"{params}: walk.rows.{name}: found what {before} has; allowed: what differs")
    return walk, rows


def row_before(name: str, rows: Mapping[str, Values]) -> str:
    """Return the row above from which the row `name` differs in the fewest keys; of several, the last."""
    above = list(rows)[: list(rows).index(name)]
    return min(reversed(above), key=lambda other: len(differing(rows[name], rows[other])))


def main() -> None:
    """Check every row before any trains."""
    plan()
    write_checked("recipe_walk")


if __name__ == "__main__":
    run(main)
