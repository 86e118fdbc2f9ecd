"""The networks that are averaged: complete parameters for each, checked before anything trains.

    python -m experiments.ensemble.members

writes ``rows/member-SEED.yaml``, which the train stage reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import typer
from pydantic import Field

from alexnet.core import stage as options
from alexnet.core.errors import UserError
from alexnet.core.params import Section, read
from alexnet.core.stage import INDEX, RECORDS, run
from alexnet.evaluation.ensemble import refuse_duplicates
from alexnet.evaluation.params import Evaluate
from alexnet.evaluation.predictions import load_predictions
from alexnet.store import index as indexes
from alexnet.store.records import Records, open_records
from experiments.shared.settings import flat, refuse_unknown, refuse_what_is_wrong, write_runs
from experiments.shared.values import Values

HERE = Path("experiments/ensemble")
PARAMS = HERE / "params.yaml"
MEMBER = "member"


class Ensemble(Section):
    """Whose predictions are averaged."""

    key: ClassVar[str] = "ensemble"

    seeds: list[int] = Field(min_length=1)
    alike: Values
    others: list[str]

    @property
    def names(self) -> list[str]:
        """Names of the networks that are trained here."""
        return [f"{MEMBER}-{seed}" for seed in self.seeds]


def parameters(ensemble: Ensemble, recipe: Path, path: Path = PARAMS) -> Values:
    """Return what every network trains with, but for its seed: sections with dotted keys.

    Raises:
        UserError: a key is unknown or out of range, there is only one network, or one is there twice.
    """
    start = flat(recipe)
    refuse_unknown(ensemble.alike, start, path, "ensemble.alike", str(recipe))
    values = {**start, **ensemble.alike}
    refuse_what_is_wrong(values, path, "ensemble")
    named: dict[str, list[str]] = {"seeds": list(map(str, ensemble.seeds)), "others": ensemble.others}
    for key, found in named.items():
        twice = next((one for one in found if found.count(one) > 1), None)
        if twice is not None:
            raise UserError(f"{path}: ensemble.{key}: found {twice} twice; allowed: each network once")
    if len(ensemble.seeds) + len(ensemble.others) < 2:
        raise UserError(f"{path}: ensemble: found one network; allowed: two or more to average")
    return values


def refuse_unlabelled(here: Records, split: str) -> None:
    """Refuse a split whose pictures have no labels, and so no error rates.

    Raises:
        UserError: names the split.
    """
    if (here.labels == indexes.UNKNOWN).any():
        raise UserError(f"evaluate.split: found {split}, which has no labels; allowed: one with labels")


def refuse_strangers(
    others: list[str], index: indexes.Index, here: Records, split: str, path: Path = PARAMS
) -> None:
    """Check that predictions made elsewhere are of the pictures that will be evaluated here.

    Args:
        here: the split's pictures in the order in which they will be evaluated.

    Raises:
        UserError: names the folder that is missing, twice there under two names, or of another split, other
            classes or pictures.
    """
    several = {}
    for folder in others:
        where = f"{path}: ensemble.others: {folder}"
        if not Path(folder).is_dir():
            raise UserError(f"{where}: no such folder; name one with predictions, or take it out")
        several[where] = found = load_predictions(Path(folder))
        wnids = [wnid for wnid, _ in found.classes]
        if found.split != split:
            raise UserError(f"{where}: of the split {found.split}; allowed: {split} (evaluate.split)")
        if wnids != index.classes["wnid"].tolist():
            raise UserError(
                f"{where}: of {len(wnids)} classes ({', '.join(wnids[:3])}, …); the pictures here have"
                f" {len(index.classes)} ({', '.join(index.classes['wnid'][:3])}, …), and averaged can be what"
                " networks say of the same classes. Take it out."
            )
        if strange := sorted(set(found.names) - set(here.names)):
            raise UserError(f"{where}: {strange[0]} is no picture of {split} here. Take it out.")
        if missing := sorted(set(here.names) - set(found.names)):
            raise UserError(
                f"{where}: {missing[0]} is missing ({len(missing)} such pictures of {split}). Evaluate that"
                " network on all of them, or take it out."
            )
        if not (np.array_equal(found.names, here.names) and np.array_equal(found.labels, here.labels)):
            raise UserError(
                f"{where}: its pictures have another order or other labels than here. Evaluate that network"
                " on these, or take it out."
            )
    refuse_duplicates(several)


def main(
    params: Annotated[Path, typer.Option(help="the ensemble")] = PARAMS,
    recipe: Annotated[Path, typer.Option(help="the parameters of the recipe")] = options.PARAMS_FILE,
    index: Path = INDEX,
    records: Path = RECORDS,
    out: Annotated[Path, typer.Option(help="folder for the networks' parameters")] = HERE / "rows",
) -> None:
    """Write the parameters of every network."""
    ensemble = read(params, Ensemble)
    values = parameters(ensemble, recipe, params)
    split = read(recipe, Evaluate).split
    here = open_records(records, split)
    refuse_unlabelled(here, split)
    refuse_strangers(ensemble.others, indexes.read_index(index), here, split, params)
    write_runs(out, {MEMBER: values}, ensemble.seeds)


if __name__ == "__main__":
    run(main)
