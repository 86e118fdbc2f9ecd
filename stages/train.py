"""Train the network, going on from where an earlier run of the same numbers stopped."""

from __future__ import annotations

from pathlib import Path

from alexnet.launch import on_devices
from alexnet.params import machine as machines
from alexnet.params.augment import Augment
from alexnet.params.base import read
from alexnet.params.model import Model
from alexnet.params.train import Train
from alexnet.training.run import Paths, train_and_record
from stages.options import (
    INDEX,
    MACHINE,
    PARAMS,
    RECORDS,
    REPORTS,
    STATISTICS,
    WEIGHTS,
    MachineFile,
    Params,
    run,
)


def main(
    params: Params = PARAMS,
    machine: MachineFile = MACHINE,
    index: Path = INDEX,
    records: Path = RECORDS,
    statistics: Path = STATISTICS,
    weights: Path = WEIGHTS,
    logs: Path = REPORTS / "training",
) -> None:
    """Train, and write weights, curves and how the run went."""
    model, place = read(params, Model), machines.read(machine)
    paths = Paths(index, records, statistics, weights, logs)
    arguments = (model, read(params, Augment), read(params, Train), place, paths)
    on_devices(train_and_record, arguments, place, model.columns)


if __name__ == "__main__":
    run(main)
