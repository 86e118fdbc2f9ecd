"""What finished runs left: their predictions and how their training went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet.core.errors import UserError
from alexnet.evaluation import predictions
from alexnet.evaluation.predictions import Predictions
from experiments.shared.histories import read_history
from experiments.shared.values import Values, is_made_with

PREDICTIONS = "predictions"
# An error of which kind: among how many guesses, by ten patches or by the centre.
KINDS = ("top1_error", "top5_error", "top1_error_one_patch", "top5_error_one_patch")


@dataclass(frozen=True, eq=False)
class Outcome:
    """One finished run.

    Attributes:
        wrong: each picture's share of an error, (pictures,), for each of `KINDS`.
        train_loss: mean loss of the last epoch, nats.
        train_error: error of the last epoch's training patches, fraction.
        epochs: how many it trained.
    """

    predictions: Predictions
    wrong: dict[str, NDArray[np.float64]]
    train_loss: float
    train_error: float
    epochs: int

    def error(self, kind: str) -> float:
        """Return the error rate of a kind, a fraction."""
        return float(self.wrong[kind].mean())


def read_outcome(run: Path, evaluated: Path, planned: Values, share_ties: bool) -> Outcome | None:
    """Read a run from where it was trained and where it was evaluated.

    Args:
        planned: the parameters of the run, with dotted keys.

    Returns:
        None if either is not finished, or was made with other parameters.

    Raises:
        UserError: the pictures have no labels.
    """
    if not is_made_with(run, planned) or not is_made_with(evaluated, planned):
        return None
    history = read_history(run)
    # The last that an evaluation writes.
    if history.empty or not (evaluated / "metrics.json").exists():
        return None
    found = predictions.load_predictions(evaluated / PREDICTIONS)
    if not found.labelled:
        raise UserError(
            f"evaluate.split: found {found.split}, which has no labels, and so no error rates; allowed:"
            " a split with labels"
        )
    wrong = {
        kind: found.wrong(
            5 if "top5" in kind else 1, share_ties, found.one if kind.endswith("one_patch") else found.ten
        )
        for kind in KINDS
    }
    last = history.iloc[-1]
    return Outcome(found, wrong, float(last["train_loss"]), float(last["train_error"]), len(history))


def read_outcomes(
    planned: Mapping[str, Values], runs: Path, evaluated: Path, share_ties: bool
) -> dict[str, Outcome]:
    """Read the finished ones among the planned runs: their parameters, with dotted keys, by name.

    Raises:
        UserError: one is of other pictures or classes than the first, or of pictures without labels.
    """
    read = {
        name: read_outcome(runs / name, evaluated / name, values, share_ties)
        for name, values in planned.items()
    }
    found = {name: outcome for name, outcome in read.items() if outcome is not None}
    refuse_other_pictures({str(evaluated / name): outcome.predictions for name, outcome in found.items()})
    return found


def refuse_other_pictures(several: Mapping[str, Predictions]) -> None:
    """Refuse predictions, by name, that are not of the first's pictures and classes.

    Raises:
        UserError: names the two and what differs.
    """
    if not several:
        return
    (first_name, first), *others = several.items()
    for name, other in others:
        if what := predictions.what_differs(first, other):
            raise UserError(
                f"{name}: of other {what} than {first_name}; compared and averaged can be what"
                " networks say of the same pictures. Evaluate both on the same ones."
            )
