"""Training of a small network on pictures in memory, resumable after every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from alexnet.core.code import sha256_of_code
from alexnet.core.draws import generator
from alexnet.core.files import STATE, fingerprint, sha256_of
from alexnet.core.progress import Progress, Style
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.precision import Precision
from experiments.figure1.loading import Data

# Turns (a batch, the epoch's number, the pictures' numbers) into what the network sees.
Augment = Callable[[Tensor, int, NDArray[np.int64]], Tensor]


class Training:
    """A network in training with plain momentum, and what came of each epoch.

    Args:
        network: as it begins; moved to where `data` is.
        groups: parameter groups of `torch.optim.SGD` with ``params``, ``full_rate`` and ``weight_decay``.
        facts: all that decides the numbers beside data and code; names the resumable state.
        epochs: how many a state may have behind it to be gone on from, where the network at the end
            counts and not just the errors on its way.

    Attributes:
        errors: the training error (fraction) of each epoch done: the share of its pictures that was
            classified wrongly as they came by, which is what cuda-convnet printed.
    """

    def __init__(
        self,
        network: nn.Module,
        groups: list[dict[str, Any]],
        data: Data,
        batch_size: int,
        momentum: float,
        seed: int,
        precision: Precision,
        facts: dict[str, Any],
        augment: Augment | None = None,
        state: Path = STATE,
        epochs: int | None = None,
    ) -> None:
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.SGD(groups, lr=0.0, momentum=momentum, foreach=True)
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.precision, self.augment = precision, augment
        self.errors: list[float] = []
        name = fingerprint(
            facts=facts,
            batch_size=batch_size,
            momentum=momentum,
            seed=seed,
            precision=precision.name,
            pictures=sha256_of(data.store),
            code=sha256_of_code("train", "experiments/figure1/dvc.yaml"),
        )
        self.checkpoints = Checkpoints(state / "figure1" / name)
        self._go_on(epochs)

    def train_epoch(self, label: str, style: Style = "auto", divisor: float = 1.0) -> float:
        """Train one more epoch at the rates ÷ `divisor`, keep its state, and return its training error."""
        epoch = len(self.errors) + 1
        for group in self.optimiser.param_groups:
            group["lr"] = group["full_rate"] / divisor
        order = generator(self.seed, "figure 1, order", epoch).permutation(len(self.data.labels))
        wrong = torch.zeros((), dtype=torch.int64, device=self.data.labels.device)
        self.network.train()
        with Progress(f"{label} epoch {epoch}", len(order), style) as progress:
            for start in range(0, len(order), self.batch_size):
                numbers = order[start : start + self.batch_size]
                wrong += self._step(numbers, epoch)
                progress.advance(len(numbers))
        self.errors.append(float(wrong) / len(order))
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.network.parameters()):
            self.errors[-1] = math.nan
        self.checkpoints.save(
            {
                "epoch": epoch,
                "consumed": 0,
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict()["state"],
                "errors": self.errors,
            }
        )
        return self.errors[-1]

    def _step(self, numbers: NDArray[np.int64], epoch: int) -> Tensor:
        """Update the weights once and return how many of the pictures were classified wrongly."""
        chosen = torch.from_numpy(numbers).to(self.data.labels.device)
        pictures, labels = self.data.prepare(self.data.pixels[chosen]), self.data.labels[chosen]
        if self.augment is not None:
            pictures = self.augment(pictures, epoch, numbers)
        logits = self.precision.run(self.network, pictures.contiguous(memory_format=torch.channels_last))
        self.optimiser.zero_grad()
        functional.cross_entropy(logits, labels).backward()
        self.optimiser.step()
        return (logits.argmax(1) != labels).sum()

    def _go_on(self, epochs: int | None) -> None:
        # These states are named by the epochs behind them, not by the one they are in.
        kept = self.checkpoints.newest(10**9 if epochs is None else epochs - 1)
        if kept is None:
            return
        self.network.load_state_dict(kept["network"])
        described = self.optimiser.state_dict()
        self.optimiser.load_state_dict({**described, "state": kept["optimiser"]})
        self.errors = list(kept["errors"])


def epochs_to(errors: list[float], goal: float) -> float | None:
    """Return when `errors`, one an epoch, fell to `goal`, or None when they did not.

    Between two epochs' ends the error is taken as a straight line; before the first it is unknown, so
    the first epoch counts whole.
    """
    for epoch, error in enumerate(errors, 1):
        if error <= goal:
            before = errors[epoch - 2] if epoch > 1 else math.nan
            return epoch - (goal - error) / (before - error) if before > goal else float(epoch)
    return None
