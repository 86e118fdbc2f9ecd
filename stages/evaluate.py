"""Measure the error rates of the trained network with ten patches and with one."""

from __future__ import annotations

from pathlib import Path

from alexnet.evaluation.run import Paths, evaluate_and_record
from alexnet.launch import on_devices
from alexnet.params import machine as machines
from alexnet.params.base import read
from alexnet.params.evaluate import Evaluate
from stages.options import (
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
    place = machines.read(machine)
    paths = Paths(index, records, skipped, weights, predictions, metrics)
    # Each device holds the whole network here: patches of other pictures need no word of one another.
    on_devices(evaluate_and_record, (read(params, Evaluate), place, paths), place, columns=1)


if __name__ == "__main__":
    run(main)
