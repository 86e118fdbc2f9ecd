"""Several networks averaged, counted from the predictions that their runs stored."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alexnet.core.errors import UserError
from alexnet.evaluation.predictions import Predictions, Rates, average_predictions, load_predictions

ALLOWED = "allowed: folders of other runs' predictions, each once"


@dataclass(frozen=True)
class Ensemble:
    """Error rates of several networks, by the names of their folders, and of their averaged predictions."""

    members: dict[str, Rates]
    together: Rates

    @property
    def name(self) -> str:
        """What the paper's Table 2 would call it: ``5 CNNs``."""
        return f"{len(self.members)} CNNs"


def count_ensemble(own: Path, others: Sequence[str], share_ties: bool) -> Ensemble:
    """Return the error rates of `own`, named ``This run``, of each of `others` and of their average.

    Raises:
        UserError: predictions are missing, of other pictures or classes, twice there, or without labels.
    """
    names = [str(own), *others]
    try:
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"{twice[0]} is named twice; {ALLOWED}")
        several = [load_predictions(Path(name)) for name in names]
        together = average_predictions(several, names)
        refuse_duplicates(dict(zip(names, several, strict=True)))
        if not together.labelled:
            raise UserError(
                f"the split {together.split} has no labels, so there is no error rate to show; allowed: []."
                " `alexnet ensemble --save` writes the average for the server."
            )
    except UserError as error:
        raise UserError(f"report.ensemble: {error}") from None
    members = {name: one.rates(share_ties) for name, one in zip(("This run", *others), several, strict=True)}
    return Ensemble(members, together.rates(share_ties))


def refuse_duplicates(several: Mapping[str, Predictions]) -> None:
    """Raise a `UserError` if two of the predictions, by their names, are the same."""
    for (before, other), (name, one) in itertools.combinations(several.items(), 2):
        if np.array_equal(one.ten, other.ten):
            raise UserError(
                f"{before} and {name} hold the same predictions, which would count twice; {ALLOWED}"
            )
