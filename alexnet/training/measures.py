"""What is measured during training, and the results of an epoch."""

import math
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from alexnet.model.input import Batch
from alexnet.model.network import AlexNet
from alexnet.parallel.mesh import Mesh
from alexnet.training.precision import Precision


@dataclass(frozen=True)
class EpochRow:
    """The results of one epoch, a row of ``history.csv``; errors are fractions, losses are in nats.

    Training figures are averages over the epoch, with augmentation and dropout on; validation figures are of
    the centre patch, after the epoch. A layer's gradient norm is that of its weights and biases together, the
    root mean square over the updates. The seconds are those of the updates, with loading, without validation;
    those of waiting are from the end of an update to the arrival of the next batch, on a GPU by its clock.
    """

    epoch: int
    pictures: int
    learning_rate: float
    bias_learning_rate: float
    conv1_learning_rate: float
    fc8_learning_rate: float
    train_loss: float
    train_error: float
    val_loss: float
    val_top1_error: float
    val_top5_error: float
    seconds: float
    data_wait_seconds: float
    pictures_per_second: float
    gradient_norms: dict[str, float]


@dataclass
class Sums:
    """An epoch's sums so far: they are part of the resumable state."""

    loss: float = 0.0
    wrong: float = 0.0
    pictures: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    updates: int = 0
    squared_gradients: dict[str, float] = field(default_factory=dict)

    @property
    def mean_loss(self) -> float:
        return self.loss / self.pictures if self.pictures else math.nan

    @property
    def gradient_norms(self) -> dict[str, float]:
        """Root mean squares, rounded: their last digits depend on when sums were collected."""
        means = {layer: squares / self.updates for layer, squares in self.squared_gradients.items()}
        return {layer: float(f"{math.sqrt(mean):.4g}") for layer, mean in means.items()}


def loss_and_errors(
    network: AlexNet,
    precision: Precision,
    batch: Batch,
    keys: Tensor,
    shift: Tensor | None,
    divisor: float,
    count: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a replica descends, the loss and the errors, of its share of a batch of `count`.

    All that a step computes before its backward pass is here, so that it can be compiled together.
    """
    logits = precision.run(network, batch, keys, shift, divisor)
    loss = functional.cross_entropy(logits, batch.labels, reduction="sum")
    # Of equal logits the first counts; `top_k_wrong`, which is for validation, has more operations.
    wrong = (logits.detach().argmax(1) != batch.labels).sum()
    # The mean over the whole batch, however it is shared among replicas.
    return loss / count, loss.detach(), wrong


class Results(NamedTuple):
    """What an update computes besides the weights.

    Attributes:
        loss, wrong: sums over a replica's share of the batch, in nats and pictures.
        norms: of the gradients, (2 · layers,): of each layer's weight and bias.
    """

    loss: Tensor
    wrong: Tensor
    norms: Tensor


# On the device's clock, where it has one.
Moment = float | torch.cuda.Event


class Meter:
    """Loss, errors and gradients of some steps, kept on the device so that no step waits for it.

    Loss and errors are this replica's part, gradients this column's; the pictures are all replicas'.

    Args:
        layers: their names, in the order of the gradients.
    """

    def __init__(self, device: torch.device, layers: list[str]) -> None:
        self.device, self.layers = device, layers
        self._start()

    def _start(self) -> None:
        self.loss = torch.zeros((), dtype=torch.float64, device=self.device)
        self.wrong = torch.zeros((), dtype=torch.int64, device=self.device)
        self.norms: list[Tensor] = []
        self.waits: list[tuple[Moment, Moment]] = []
        self.pictures, self.updates, self.since = 0, 0, time.monotonic()

    def now(self) -> Moment:
        """Return a time, on a GPU an event, that marks the end of the work which was started so far."""
        if self.device.type != "cuda":
            return time.monotonic()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def add_wait(self, since: Moment) -> None:
        """Count the time from `since`, the end of an update, until now, when the next batch is there."""
        self.waits.append((since, self.now()))

    def add(self, results: Results, pictures: int) -> None:
        """Count an update of so many `pictures`."""
        self.loss += results.loss
        self.wrong += results.wrong
        # The next update may overwrite them.
        self.norms.append(results.norms.clone())
        self.pictures += pictures
        self.updates += 1

    def collect(self, sums: Sums, mesh: Mesh) -> float:
        """Move all into `sums`; return their loss."""
        # In one piece, since a GPU is waited for at each reading.
        squared = torch.stack(self.norms).double().square().view(self.updates, -1, 2).sum((0, 2))
        found = torch.cat([torch.stack([self.loss, self.wrong.double()]), squared]).tolist()
        loss, wrong = mesh.sum_over_replicas(found[:2])
        sums.loss += loss
        sums.wrong += wrong
        squares = mesh.sum_over_columns(found[2:])
        for layer, value in zip(self.layers, squares, strict=True):
            sums.squared_gradients[layer] = sums.squared_gradients.get(layer, 0.0) + value
        sums.updates += self.updates
        sums.pictures += self.pictures
        sums.seconds += time.monotonic() - self.since
        sums.waited += sum(_seconds(*wait) for wait in self.waits)
        self._start()
        return loss


def _seconds(start: Any, end: Any) -> float:
    return end - start if isinstance(start, float) else start.elapsed_time(end) / 1000
