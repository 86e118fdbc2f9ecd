"""Test error of cuda-convnet's net with or without normalisation across maps (paper, section 3.3).

python -m experiments.figure1.norm with 1
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor

from alexnet.core.draws import generator
from alexnet.core.files import replacing, write_json
from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.stage import MACHINE, MachineFile, run
from alexnet.parallel.device import choose_device
from alexnet.training.precision import Precision
from experiments.figure1.arrays import Pictures, read_pictures
from experiments.figure1.loading import Data, load
from experiments.figure1.networks import LOCAL_NET_WEIGHTS, LocalNet, initialise
from experiments.figure1.settings import PARAMS, PICTURES, RUNS, Figure1, Norm
from experiments.figure1.training import Training
from experiments.shared.values import write_made_with

Arm = Literal["with", "without"]
# Layers whose weights decay; the convolutions' do not (layer-params-conv-local-13pct.cfg).
DECAYING = ("local3", "local4", "fc")
TEST_BATCH = 500


class Augmented:
    """Random patches and mirrors, as functions of (seed, epoch, picture)."""

    def __init__(self, crop: int, side: int, pictures: int, seed: int) -> None:
        self.crop, self.side, self.pictures, self.seed = crop, side, pictures, seed
        self._epoch = 0
        self._draws: NDArray[np.int64] = np.zeros((3, 0), np.int64)

    def __call__(self, batch: Tensor, epoch: int, numbers: NDArray[np.int64]) -> Tensor:
        """Return patches (batch, 3, crop, crop) of `batch`, whose pictures have these `numbers`."""
        if epoch != self._epoch:
            draw = generator(self.seed, "figure 1, crops and mirrors", epoch)
            highest = np.array([self.side - self.crop + 1, self.side - self.crop + 1, 2])[:, None]
            self._draws, self._epoch = draw.integers(0, highest, (3, self.pictures)), epoch
        top, left, mirrored = torch.from_numpy(self._draws[:, numbers]).to(batch.device)
        along = torch.arange(self.crop, device=batch.device)
        rows = top[:, None] + along
        columns = left[:, None] + torch.where(mirrored[:, None] == 1, along.flip(0), along)
        one = torch.arange(len(batch), device=batch.device)[:, None, None, None]
        maps = torch.arange(batch.shape[1], device=batch.device)[:, None, None]
        return batch[one, maps, rows[:, None, :, None], columns[:, None, None, :]]


def ten_patches(pictures: Tensor, crop: int) -> list[Tensor]:
    """Return the four corner patches and the central one, and the mirrors of all five."""
    last = pictures.shape[-1] - crop
    corners = [(0, 0), (0, last), (last, 0), (last, last), (last // 2, last // 2)]
    patches = [pictures[..., top : top + crop, left : left + crop] for top, left in corners]
    return patches + [patch.flip(-1) for patch in patches]


@torch.no_grad()
def error_rate(training: Training, test: Pictures, crop: int) -> float:
    """Return the share of `test` whose likeliest class, over ten averaged softmaxes, is wrong."""
    wrong = 0
    training.network.eval()
    device = training.data.labels.device
    for start in range(0, len(test.labels), TEST_BATCH):
        pixels = torch.from_numpy(test.pixels[start : start + TEST_BATCH]).to(device)
        pictures = training.data.prepare(pixels)
        outputs = [
            training.precision.run(training.network, patch.contiguous(memory_format=torch.channels_last))
            for patch in ten_patches(pictures, crop)
        ]
        likeliest = torch.stack([logits.softmax(1) for logits in outputs]).mean(0).argmax(1).cpu()
        wrong += int((likeliest.numpy() != test.labels[start : start + TEST_BATCH]).sum())
    return wrong / len(test.labels)


def begin(settings: Figure1, arm: Arm, seed: int, data: Data) -> Training:
    """Return the training of one network, begun or gone on with."""
    norm = settings.norm
    network = LocalNet(norm if arm == "with" else None, norm.crop, int(data.labels.max()) + 1)
    initialise(network, LOCAL_NET_WEIGHTS, seed)
    device = data.labels.device
    network.to(device)
    return Training(
        network,
        parameter_groups(network, norm),
        data,
        settings.batch_size,
        settings.momentum,
        seed,
        Precision(settings.precision, device),
        {"arm": arm, "side": settings.side, "norm": norm.model_dump(exclude={"seeds", "epochs"})},
        Augmented(norm.crop, settings.side, len(data.labels), seed),
        epochs=norm.epochs,
    )


def parameter_groups(network: LocalNet, norm: Norm) -> list[dict[str, object]]:
    """Return what has one rate and one decay each."""
    groups: list[dict[str, object]] = []
    for layer, module in network.named_children():
        for kind, parameter in module.named_parameters():
            bias = kind == "bias"
            decay = norm.weight_decay if layer in DECAYING and not bias else 0.0
            rate = norm.learning_rate * (2 if bias else 1)
            groups.append({"params": [parameter], "full_rate": rate, "weight_decay": decay})
    return groups


def main(
    arm: Arm,
    seed: int,
    params: Annotated[Path, typer.Option(help="the experiment")] = PARAMS,
    machine: MachineFile = MACHINE,
    pictures: Path = PICTURES,
    out: Path = RUNS,
) -> None:
    """Train, test once at the end, and write both."""
    settings, where = read(params, Figure1), read_machine(machine)
    norm = settings.norm
    training = begin(settings, arm, seed, load(pictures, choose_device(where), unit_deviation=False))
    while len(training.errors) < norm.epochs:
        epoch = len(training.errors) + 1
        divisor = 10.0 ** sum(drop <= epoch for drop in norm.drop_epochs)
        error = training.train_epoch(f"{arm} norm, seed {seed}", where.progress, divisor)
        print(f"{arm} norm, seed {seed}: epoch {epoch}: training error {error:.1%}", flush=True)
    test = read_pictures(pictures, "test")
    error = error_rate(training, test, norm.crop)
    folder = out / f"norm-{arm}-{seed}"
    with replacing(folder / "history.csv") as temporary:
        rows = list(enumerate(training.errors, 1))
        pd.DataFrame(rows, columns=["epoch", "train_error"]).to_csv(temporary, index=False)
    write_json(folder / "test.json", {"test_error": error, "pictures": len(test.labels)})
    write_made_with(folder, settings.of_norm())
    print(f"{arm} norm, seed {seed}: test error {error:.2%} of {len(test.labels):,} with ten patches")


if __name__ == "__main__":
    run(main)
