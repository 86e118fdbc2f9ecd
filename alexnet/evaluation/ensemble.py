"""Several networks averaged, counted from the predictions that their runs stored."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.core.errors import UserError
from alexnet.evaluation.predictions import Predictions, average_predictions, load_predictions

KEY = "report.ensemble"


def count_ensemble(own: Path, others: Sequence[str], share_ties: bool) -> dict[str, Any]:
    """Return the error rates of `own`, of each of `others` and of their averaged predictions.

    Raises:
        UserError: predictions are missing, of other pictures or classes, twice there, or without labels.
    """
    names = [str(own), *others]
    try:
        several = [load_predictions(Path(name)) for name in names]
        together = average_predictions(several, names)
        refuse_duplicates(dict(zip(names, several, strict=True)))
    except UserError as error:
        raise UserError(f"{KEY}: {error}") from None
    if not together.labelled:
        raise UserError(
            f"{KEY}: the split {together.split} has no labels, so there is no error rate to show;"
            " allowed: []. `alexnet ensemble --save` writes the average for the server."
        )
    members = [
        {"name": name, **_rates(one, share_ties)}
        for name, one in zip(("This run", *others), several, strict=True)
    ]
    return {"members": members, "together": {"name": f"{len(names)} CNNs", **_rates(together, share_ties)}}


def refuse_duplicates(several: Mapping[str, Predictions]) -> None:
    """Refuse that two of the predictions, by their names, are the same.

    Raises:
        UserError: names the two.
    """
    for (before, other), (name, one) in itertools.combinations(several.items(), 2):
        if np.array_equal(one.ten, other.ten):
            raise UserError(
                f"{before} and {name} hold the same predictions, which would count twice;"
                " allowed: folders of other runs' predictions, each once"
            )


def _rates(found: Predictions, share_ties: bool) -> dict[str, float]:
    return {
        f"top{k}_error{suffix}": float(found.wrong(k, share_ties, scores).mean())
        for suffix, scores in (("", found.ten), ("_one_patch", found.one))
        for k in (1, 5)
    }
