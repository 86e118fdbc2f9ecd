"""Measure the error rates of the trained network with ten patches and with one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.stage import (
    INDEX,
    MACHINE,
    PARAMS,
    PREDICTIONS,
    RECORDS,
    REPORTS,
    WEIGHTS,
    MachineFile,
    Params,
    run,
)
from alexnet.evaluation.evaluate import Paths, evaluate_network
from alexnet.evaluation.params import Evaluate
from alexnet.parallel.launch import on_devices


def main(
    params: Params = PARAMS,
    machine: MachineFile = MACHINE,
    index: Path = INDEX,
    records: Path = RECORDS,
    skipped: Path = REPORTS / "skipped.csv",
    weights: Path = WEIGHTS,
    predictions: Path = PREDICTIONS,
    metrics: Path = REPORTS / "metrics.json",
) -> None:
    """Evaluate the last weights; no weights are chosen by their validation error."""
    place = read_machine(machine)
    paths = Paths(index, records, skipped, weights, predictions, metrics)
    # Each device holds the whole network here: patches of other pictures need no word of one another.
    work = partial(evaluate_network, settings=read(params, Evaluate), machine=place, paths=paths)
    on_devices(work, place, columns=1)


if __name__ == "__main__":
    run(main)
