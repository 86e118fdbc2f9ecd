"""What a training leaves beside its weights: the table of its epochs and how it was run."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from alexnet.core.errors import UserError
from alexnet.core.files import write_table
from alexnet.core.reading import REMEDY, Positive, Written, read_rows
from alexnet.training.measures import EpochRow

HISTORY = "history.csv"
# For DVC's metrics: the numbers of epochs asked for and done.
EPOCHS = "epochs.json"
# The dictionary of an epoch, and what the names of its columns begin with.
NORMS, NORM_COLUMN = "gradient_norms", "gradient_norm_"


class Run(Written):
    """How the network was trained: the content of ``run.json``.

    Attributes:
        recipe: the network in words.
        parameter_count: the number of weights and biases of the network.
        epochs: how many were done.
        epochs_asked: train.epochs, which are more where the training was ended by ``.state/finish``.
        seconds: what the updates of all epochs took, with loading, without validation.
        git_commit: with ``+`` if the code differs from it; None without a repository that Git reads.
        weights, history: the SHA-256 of the file of the weights and of ``history.csv``.
        parameters: the sections ``augment``, ``model`` and ``train`` that it was trained with.
    """

    recipe: str
    seed: int
    devices: str
    loader: str
    precision: str
    epochs: Positive
    epochs_asked: Positive | None = None
    batch_size: Positive
    parameter_count: Positive
    columns: Positive
    class_count: Positive
    seconds: float
    versions: dict[str, str]
    git_commit: str | None
    weights: str = ""
    history: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)


def write_history(path: Path, history: Sequence[EpochRow]) -> None:
    """Write ``history.csv``: one row per epoch."""
    write_table(path, pd.DataFrame([columns_of(epoch) for epoch in history]))


def columns_of(epoch: EpochRow) -> dict[str, float]:
    """Return an epoch's row of ``history.csv``, which has a column for each layer's gradient norm."""
    row = asdict(epoch)
    norms = row.pop(NORMS)
    return row | {f"{NORM_COLUMN}{layer}": norm for layer, norm in norms.items()}


def read_history(path: Path) -> tuple[EpochRow, ...]:
    """Return the epochs of ``history.csv`` in order, at least one, numbered from 1.

    Raises:
        UserError: the file is missing or holds something else.
    """
    columns = [field.name for field in fields(EpochRow) if field.name != NORMS]
    history = tuple(read_rows(path, EpochRow, columns, {NORMS: NORM_COLUMN}))
    if not history:
        raise UserError(f"{path}: holds no epoch. {REMEDY}")
    if [row.epoch for row in history] != list(range(1, len(history) + 1)):
        raise UserError(f"{path}: the epochs are not numbered 1, 2, 3, ... {REMEDY}")
    return history
