"""Measure the error rates of the trained network with ten patches and with one."""

from __future__ import annotations

from pathlib import Path

from alexnet.evaluation.run import Paths, evaluate_and_record
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
    evaluate_and_record(
        read(params, Evaluate),
        machines.read(machine),
        Paths(index, records, skipped, weights, predictions, metrics),
    )


if __name__ == "__main__":
    run(main)
