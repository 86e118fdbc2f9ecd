"""Torchvision's AlexNet by torchvision's recipe, trained on the records of this project.

    python -m benchmarks.torchvision_recipe --epochs 36 [--width 1] [--precision bfloat16] [--seconds N]
        [--out FILE.json]

This is what most people would use today instead of the recipe of 2012. It trains the network of
`torchvision.models.alexnet` (Krizhevsky 2014) as torchvision's references/classification does with
``--model alexnet --lr 1e-2`` (its README.md, train.py and presets.py), but in one process with batches of
256 instead of eight processes with 32 each. Torchvision divides the rate by ten after 30 and 60 of 90
epochs; here it falls after one third and two thirds of the epochs that are asked for.

The pictures differ in three ways. Boxes are cut from the 256×256 records, not from the original pictures.
They are resized in float32, and not rounded to bytes. Boxes above 224 pixels are only interpolated, where
torchvision averages too (antialias). The records are also what is validated on. At the end, the errors of
the centre patch and of the paper's ten patches are printed.

A state is saved after each epoch. The same command resumes from the last.
"""

import functools
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from alexnet.core.draws import generator
from alexnet.core.errors import DivergedError, UserError, shown_plainly
from alexnet.core.files import fingerprint, write_json
from alexnet.core.machine import Machine, read_machine
from alexnet.core.places import INDEX, MACHINE, RECORDS, STATE
from alexnet.core.sizes import PATCH, PICTURE
from alexnet.evaluation.evaluate import PICTURES_AT_ONCE
from alexnet.evaluation.predictions import KINDS
from alexnet.feed.loader import open_loader
from alexnet.feed.order import in_storage_order
from alexnet.feed.threads import sent
from alexnet.model.input import Batch
from alexnet.model.patches import CENTRE, TEN, centre_patch, ten_patches
from alexnet.model.top_k import top_k_wrong
from alexnet.parallel.device import choose_device, chosen_mode, memory_format, prepared
from alexnet.store.index import read_classes
from alexnet.store.records import open_records, store_fingerprint
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.log import git_commit, versions
from alexnet.training.params import Train
from alexnet.training.precision import Precision
from benchmarks.train_step import torchvisions

BATCH = 256
RATE, MOMENTUM, DECAY = 0.01, 0.9, 1e-4
# `torchvision.transforms.RandomResizedCrop`: shares of the picture's area, width / height, and tries.
AREA, RATIO, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10
# Of ImageNet's channels, red, green and blue, as shares of 255 (presets.py).
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PRECISIONS = get_args(Train.model_fields["precision"].annotation)
STATES = STATE / "torchvision-recipe"

Row = dict[str, float]


def rate_of(epoch: int, epochs: int) -> float:
    """Return the learning rate of an epoch (from 1): a tenth after each third, rounded to whole epochs."""
    falls = sum(epoch > max(1, round(third * epochs / 3)) for third in (1, 2))
    return RATE / 10**falls


def drawn_boxes(seed: int, epoch: int, pictures: int) -> NDArray[np.float32]:
    """Return (pictures, 5): top, left, height and width of what is cut of each record, and 1 for mirrored.

    Drawn as by `RandomResizedCrop` and `RandomHorizontalFlip`: ten times at most an area and the logarithm
    of a ratio, until height and width, rounded, fit. Else all of the picture, since a square has an allowed
    ratio.
    """
    draw = generator(seed, "random-resized crop and mirror", epoch)
    sizes, without = np.full((2, pictures), PICTURE), np.arange(pictures)
    low, high = map(math.log, RATIO)
    for _ in range(TRIES):
        area = PICTURE**2 * draw.uniform(*AREA, len(without))
        ratio = np.exp(draw.uniform(low, high, len(without)))
        found = np.rint(np.sqrt([area / ratio, area * ratio])).astype(int)
        fits = (found <= PICTURE).all(0)
        sizes[:, without[fits]] = found[:, fits]
        without = without[~fits]
    corners = draw.integers(0, PICTURE + 1 - sizes)
    mirrored = draw.random(pictures) < 0.5
    return np.stack([*corners, *sizes, mirrored], 1).astype(np.float32)


# Made once: to send them at each step a GPU would be waited for.
@functools.cache
def _mean_and_deviation(device: torch.device) -> Tensor:
    return 255 * torch.tensor([MEAN, DEVIATION], device=device)[..., None, None]


def normalised(values: Tensor) -> Tensor:
    """Return (batch, 3, side, side) as the network sees it, float, of grey levels (batch, side, side, 3)."""
    mean, deviation = _mean_and_deviation(values.device)
    return (values.permute(0, 3, 1, 2) - mean) / deviation


def cropped(pixels: Tensor, boxes: Tensor, side: int = PATCH) -> Tensor:
    """Return boxes of `drawn_boxes`, cut out, mirrored and resized bilinearly: (batch, side, side, 3)."""
    top, left, height, width, mirrored = boxes[:, :, None].unbind(1)

    def places(first: Tensor, size: Tensor, along: Tensor) -> Tensor:
        # Not beyond the centres of the outermost pixels: torchvision cuts first and then resizes.
        return 2 * (first + size * along).clamp(first + 0.5, first + size - 0.5) / PICTURE - 1

    # Not affine_grid: it multiplies matrices, which tf32 would round to a tenth of a pixel.
    along = (torch.arange(side, device=boxes.device) + 0.5) / side
    rows = places(top, height, along)[:, :, None]
    columns = places(left, width, torch.where(mirrored > 0, along.flip(0), along))[:, None]
    grid = torch.stack(torch.broadcast_tensors(columns, rows), 3)
    values = pixels.permute(0, 3, 1, 2).float()
    return functional.grid_sample(values, grid, "bilinear", "border", False).permute(0, 2, 3, 1)


class Asked(NamedTuple):
    """What the numbers depend on beside the records; `epochs` are of the whole training, `width` as ours."""

    classes: int
    seed: int
    epochs: int
    width: float
    precision: str


class Training:
    def __init__(self, machine: Machine, device: torch.device, records: Path, asked: Asked) -> None:
        torch.manual_seed(asked.seed)
        self.asked, self.device, self.order = asked, device, memory_format(machine)
        self.network = torchvisions(asked.width, asked.classes).to(device)
        self.network.to(memory_format=self.order)  # type: ignore[call-overload]
        self.precision, self.mode = Precision(asked.precision, device), chosen_mode(machine, device)
        self.forward = prepared(self.network, self.mode)
        self.optimiser = torch.optim.SGD(self.network.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
        training, validation = open_records(records, "train"), open_records(records, "val")
        self.pictures = {"train": len(training), "val": len(validation)}
        self.training = open_loader(machine, training, BATCH, device, PICTURE)
        self.validation = open_loader(machine, validation, PICTURES_AT_ONCE[device.type], device, PICTURE)
        self.states = Checkpoints(STATES / fingerprint(**asked._asdict(), records=store_fingerprint(records)))

    def run(self, is_late: Callable[[], bool], report: Callable[[list[Row]], None]) -> list[Row]:
        """Train from the last saved state on, to the end or until time is up; return a row for each epoch.

        `is_late` is asked before every step; True ends the training, which loses the present epoch.
        `report` is called with all rows after each epoch.
        """
        history = self._resume()
        while len(history) < self.asked.epochs:
            row = self._epoch(len(history) + 1, is_late)
            if row is None:
                break
            history.append(row)
            # torch's dropout draws from these.
            draws = {"cpu": torch.get_rng_state()}
            if self.device.type == "cuda":
                draws["cuda"] = torch.cuda.get_rng_state(self.device)
            state = {"epoch": len(history) + 1, "consumed": 0, "history": history, "draws": draws}
            parts = {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}
            self.states.save({**state, **parts})
            report(history)
        return history

    def _resume(self) -> list[Row]:
        state = self.states.newest(self.asked.epochs)
        if state is None:
            return []
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["draws"]["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["draws"]["cuda"], self.device)
        history: list[Row] = state["history"]
        return history

    def _epoch(self, number: int, is_late: Callable[[], bool]) -> Row | None:
        """Train an epoch and validate; return what is known of it, or None where time was up."""
        total, start, rate = self.pictures["train"], time.monotonic(), rate_of(number, self.asked.epochs)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        boxes = drawn_boxes(self.asked.seed, number, total)
        order = generator(self.asked.seed, "order", number).permutation(total)
        # Added up on the device and read once: a GPU is waited for at each reading.
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        self.network.train()
        for batch in self.training.batches(replace(in_storage_order(total), order=order)):
            if is_late():
                return None
            sums += self._step(batch, boxes[batch.records.numpy()])
        loss, error = (sums / total).tolist()
        seconds = time.monotonic() - start
        if not math.isfinite(loss):
            raise DivergedError(f"the loss is {loss} in epoch {number}")
        top1, top5 = self._errors(self._centre)
        row = {"epoch": number, "learning_rate": rate, "train_loss": loss, "train_error": error}
        row |= {"val_top1_error": top1, "val_top5_error": top5, "seconds": round(seconds, 2)}
        return {**row, "pictures_per_second": round(total / seconds, 1)}

    def _inputs(self, values: Tensor) -> Tensor:
        return normalised(values).contiguous(memory_format=self.order)

    def _step(self, batch: Batch, boxes: NDArray[np.float32]) -> Tensor:
        """Take a step; return the sum of losses and the number of errors."""
        inputs = self._inputs(cropped(batch.pixels, sent(boxes, self.device)))
        # A smaller last batch is not worth compiling for.
        forward = self.forward if len(boxes) == BATCH else self.network
        self.optimiser.zero_grad()
        logits = self.precision.run(forward, inputs)
        loss = functional.cross_entropy(logits, batch.labels)
        loss.backward()
        self.optimiser.step()
        with torch.no_grad():
            wrong = (logits.argmax(1) != batch.labels).sum()
            return torch.stack([loss.double() * len(boxes), wrong.double()])

    def rates(self) -> dict[str, float]:
        """Return the errors, named as by the evaluate stage, and like there never in bfloat16."""
        return dict(zip(KINDS, self._errors(self._ten_and_one), strict=True))

    @torch.no_grad()
    def _errors(self, scores: Callable[[Batch], list[Tensor]]) -> list[float]:
        """Return top-1 and top-5 error of the validation pictures by each of the scores."""
        self.network.eval()
        count, wrong = self.pictures["val"], torch.zeros((), dtype=torch.int64, device=self.device)
        for batch in self.validation.batches(in_storage_order(count)):
            both = [(found, k) for found in scores(batch) for k in (1, 5)]
            wrong = wrong + torch.stack([top_k_wrong(found, batch.labels, k).sum() for found, k in both])
        return [each / count for each in wrong.tolist()]

    def _centre(self, batch: Batch) -> list[Tensor]:
        return [self.precision.run(self.network, self._inputs(centre_patch(batch, PATCH).pixels))]

    def _ten_and_one(self, batch: Batch) -> list[Tensor]:
        logits = self.network(self._inputs(ten_patches(batch, PATCH).pixels))
        probabilities = logits.double().softmax(1).reshape(TEN, len(batch.pixels), -1)
        return [probabilities.mean(0), probabilities[CENTRE]]

    def described(self) -> dict[str, Any]:
        gpu, theirs = self.device.type == "cuda", type(self.network).__module__.startswith("torchvision")
        return {
            "network": "torchvision's" if theirs else "torchvision's, as rebuilt by one_tower",
            "pictures": self.pictures,
            "recipe": {"batch": BATCH, "rate": RATE, "momentum": MOMENTUM, "weight_decay": DECAY},
            **self.asked._asdict(),
            "precision": self.precision.name,
            "mode": self.mode,
            "device": torch.cuda.get_device_name(self.device) if gpu else "cpu",
            "versions": versions(),
            "git_commit": git_commit(),
        }


@shown_plainly
def main(
    epochs: Annotated[int, typer.Option(min=1, help="torchvision's recipe has 90")],
    index: Annotated[Path, typer.Option(help="what the index stage wrote")] = INDEX,
    records: Annotated[Path, typer.Option(help="what the preprocess stage wrote")] = RECORDS,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    precision: Annotated[str, typer.Option(help=" or ".join(PRECISIONS))] = "float32",
    width: Annotated[float, typer.Option(min=0.01, max=4, help="multiplies kernels and neurons")] = 1.0,
    seconds: Annotated[float, typer.Option(min=0, help="after which it stops")] = math.inf,
    out: Annotated[Path | None, typer.Option(help="JSON, written after every epoch")] = None,
) -> None:
    """Train torchvision's AlexNet by torchvision's recipe, and evaluate it."""
    late, machine = time.monotonic() + seconds, read_machine(MACHINE)
    if precision not in PRECISIONS:
        raise UserError(f"--precision: found {precision}; allowed: {', '.join(PRECISIONS)}")
    device, classes = choose_device(machine), len(read_classes(index))
    asked = Asked(classes, seed, epochs, width, precision)
    training = Training(machine, device, records, asked)
    found = training.described()

    def write(history: list[Row]) -> None:
        if out is not None:
            write_json(out, {**found, "history": history})

    def report(history: list[Row]) -> None:
        row = history[-1]
        print(
            f"epoch {len(history)}/{epochs}: loss {row['train_loss']:.3f}, error {row['train_error']:.1%}"
            f" training, {row['val_top1_error']:.1%} validation; rate {row['learning_rate']:g};"
            f" {row['pictures_per_second']:.0f} pictures/s",
            flush=True,
        )
        write(history)

    history = training.run(lambda: time.monotonic() > late, report)
    if len(history) < epochs:
        print(f"stopped in epoch {len(history) + 1} of {epochs} after {seconds:g} s, as asked")
    else:
        found["rates"] = rates = training.rates()
        print(", ".join(f"{name} {value:.2%}" for name, value in rates.items()))
    write(history)


if __name__ == "__main__":
    typer.run(main)
