"""How a training was run: the content of ``run.json``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from alexnet.core.params import Strict

Positive = Annotated[int, Field(ge=1)]


class Run(Strict):
    """How the network was trained.

    Attributes:
        epochs: the number of epochs trained.
        seconds: of training, validation not counted.
        weights: SHA-256 of the weights file.
        parameters: the sections ``augment``, ``model`` and ``train`` that it was trained with.
    """

    recipe: str
    seed: int
    devices: str
    loader: str
    precision: str
    epochs: Positive
    batch_size: Positive
    parameter_count: Positive
    columns: Positive
    class_count: Positive
    seconds: float
    versions: dict[str, str]
    git_commit: str | None
    weights: str
    parameters: dict[str, dict[str, Any]]
