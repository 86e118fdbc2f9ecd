"""Train the network, resuming where an earlier run of the same numbers stopped."""

from functools import partial
from pathlib import Path

from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.places import INDEX, MACHINE, RECORDS, REPORTS, STATISTICS, WEIGHTS
from alexnet.core.stage import PARAMS, MachineFile, Params, is_forced, run
from alexnet.feed.params import Augment
from alexnet.model.params import Model
from alexnet.parallel.launch import on_devices
from alexnet.training.params import Train
from alexnet.training.train import train_network


def main(
    params: Params = PARAMS,
    machine: MachineFile = MACHINE,
    index: Path = INDEX,
    records: Path = RECORDS,
    statistics: Path = STATISTICS,
    weights: Path = WEIGHTS,
    logs: Path = REPORTS / "training",
) -> None:
    """Train, and write weights, curves and a description of the run."""
    model, here = read(params, Model), read_machine(machine)
    work = partial(
        train_network,
        model=model,
        augment=read(params, Augment),
        train=read(params, Train),
        machine=here,
        index=index,
        records=records,
        statistics=statistics,
        weights=weights,
        logs=logs,
        anew=is_forced(),
    )
    on_devices(work, here, model.columns)


if __name__ == "__main__":
    run(main)
