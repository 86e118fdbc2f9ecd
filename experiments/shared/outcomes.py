"""What finished runs left: how their training went, and their predictions.

A run is finished when what it was made with is what is planned now. Where parameters have changed, DVC leaves
what was made with the former ones until a stage's turn comes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alexnet.core.errors import UserError
from alexnet.core.files import read_csv
from alexnet.core.params import flattened
from alexnet.evaluation.predictions import Predictions, load_predictions, what_differs
from experiments.shared.plans import Values


@dataclass(frozen=True, eq=False)
class Outcome:
    """A trained and evaluated run: `wrong` is each picture's share of an error, for each of `KINDS`."""

    predictions: Predictions
    wrong: dict[str, NDArray[np.float64]]
    history: pd.DataFrame


def read_history(folder: Path, planned: Values) -> pd.DataFrame | None:
    """Return the epochs of the training in `folder`; None unless it is finished with `planned`."""
    return None if _about(folder, planned) is None else read_csv(folder / "training/history.csv")


def read_predictions(folder: Path, planned: Values) -> Predictions | None:
    """Return the predictions of the run in `folder`; None unless trained with `planned`, and evaluated."""
    about = _about(folder, planned)
    # The last file that an evaluation writes.
    if about is None or not (folder / "metrics.json").exists():
        return None
    found = load_predictions(folder / "predictions")
    return found if found.weights == about["weights"] else None


def _about(folder: Path, planned: Values) -> dict[str, Any] | None:
    try:
        about: dict[str, Any] = json.loads((folder / "training/run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    # One that was ended early has other epochs than were planned.
    whole = about["epochs"] == planned["train.epochs"]
    return about if whole and flattened(about["parameters"]) == planned else None


def read_outcomes(planned: Mapping[str, Values], runs: Path, share_ties: bool) -> dict[str, Outcome]:
    """Return the finished `planned` runs by folder in `runs`; refuse those of `refuse_incomparable`."""
    read = {name: read_predictions(runs / name, values) for name, values in planned.items()}
    finished = {name: found for name, found in read.items() if found is not None}
    refuse_incomparable({str(runs / name): found for name, found in finished.items()})
    return {
        name: Outcome(found, found.wrong_by_kind(share_ties), read_csv(runs / name / "training/history.csv"))
        for name, found in finished.items()
    }


def read_members(planned: Mapping[str, Values], runs: Path) -> dict[str, Predictions]:
    """Return the predictions of all `planned` runs by folder in `runs`; refuse one that is not finished."""
    members = {}
    for name, values in planned.items():
        found = read_predictions(runs / name, values)
        if found is None:
            raise not_finished(runs / name)
        members[name] = found
    return members


def not_finished(folder: Path) -> UserError:
    """Return the error that the run in `folder` is missing, or was made with former parameters."""
    return UserError(f"{folder}: not finished with the parameters as they are now; dvc repro makes it")


def refuse_incomparable(several: Mapping[str, Predictions]) -> None:
    """Refuse predictions, by name, without labels, or of other pictures or classes than the first."""
    for name, other in several.items():
        first_name, first = next(iter(several.items()))
        if not other.labelled:
            raise UserError(
                f"evaluate.split: found {other.split}, which has no labels, and so no error rates; allowed:"
                " a split with labels"
            )
        if what := what_differs(first, other):
            raise UserError(
                f"{name}: of other {what} than {first_name}; only predictions of the same pictures can be"
                " compared and averaged. Evaluate both on the same ones."
            )


def first_epoch_at(errors: Sequence[float], target: float) -> int | None:
    """Return the first epoch (from 1) whose error is at most `target`, or None."""
    return next((epoch for epoch, error in enumerate(errors, 1) if error <= target), None)
