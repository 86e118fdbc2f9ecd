"""The networks that are averaged, checked before anything trains: python -m experiments.ensemble.members"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from alexnet.core.errors import UserError
from alexnet.core.params import Section, read
from alexnet.core.places import INDEX, RECORDS
from alexnet.core.stage import run
from alexnet.evaluation.params import Evaluate
from alexnet.evaluation.predictions import Predictions, load_predictions, refuse_duplicates
from alexnet.store.index import Index, read_index
from alexnet.store.records import Records, open_records
from experiments.shared.keys import EACH_ONCE, Seeds
from experiments.shared.outcomes import refuse_incomparable
from experiments.shared.plans import RECIPE, Values, of_seeds, planned, write_checked

PARAMS = Path("experiments/ensemble/params.yaml")


class Ensemble(Section):
    key: ClassVar[str] = "ensemble"

    seeds: Seeds
    alike: Values
    others: Annotated[list[str], EACH_ONCE]


def plan(params: Path = PARAMS, recipe: str = RECIPE) -> tuple[Ensemble, dict[str, Values]]:
    """Return the ensemble in `params`, and what each network that is trained here, member-SEED, trains with.

    Unknown keys and values, a single network, and one that is there twice are refused.
    """
    ensemble = read(params, Ensemble)
    if len(ensemble.seeds) + len(ensemble.others) < 2:
        raise UserError(f"{params}: ensemble: found one network; allowed: two or more to average")
    return ensemble, of_seeds({"member": planned([recipe, f"{params}:ensemble.alike"])}, ensemble.seeds)


def refuse_unfit(others: Sequence[str], index: Index, here: Records, split: str) -> None:
    """Refuse predictions of other pictures than those that will be evaluated `here`, in this order.

    A UserError says that the split has no labels, or names the folder that is missing, twice there under two
    names, or of another split, other classes or pictures.
    """
    classes = tuple(zip(index.classes["wnid"], index.classes["words"], strict=True))
    nothing = np.empty((len(here), 0))
    wanted = Predictions(nothing, nothing, here.labels, here.names, split, classes, ids=())
    several = {f"{PARAMS}: ensemble.others: {name}": load_predictions(Path(name)) for name in others}
    refuse_incomparable({f"the pictures of {split} here": wanted, **several})
    refuse_duplicates(several.items())


def main() -> None:
    """Check every network before any trains."""
    ensemble, _ = plan()
    split = read(RECIPE, Evaluate).split
    refuse_unfit(ensemble.others, read_index(INDEX), open_records(RECORDS, split), split)
    write_checked("ensemble")


if __name__ == "__main__":
    run(main)
