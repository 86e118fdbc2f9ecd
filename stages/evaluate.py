"""Measure the error rates of the trained network with ten patches and with one."""

from functools import partial
from pathlib import Path

from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.places import INDEX, MACHINE, PREDICTIONS, RECORDS, REPORTS, SKIPPED, WEIGHTS
from alexnet.core.stage import PARAMS, MachineFile, Params, run
from alexnet.evaluation.evaluate import evaluate_network
from alexnet.evaluation.params import Evaluate
from alexnet.parallel.launch import on_devices


def main(
    params: Params = PARAMS,
    machine: MachineFile = MACHINE,
    index: Path = INDEX,
    records: Path = RECORDS,
    skipped: Path = SKIPPED,
    weights: Path = WEIGHTS,
    predictions: Path = PREDICTIONS,
    metrics: Path = REPORTS / "metrics.json",
) -> None:
    """Evaluate the weights after the last epoch, not those with the lowest validation error."""
    here = read_machine(machine)
    work = partial(
        evaluate_network,
        settings=read(params, Evaluate),
        machine=here,
        index=index,
        records=records,
        skipped=skipped,
        weights=weights,
        predictions=predictions,
        metrics=metrics,
    )
    # Each device holds the whole network here, so any number of devices can share the pictures.
    on_devices(work, here, columns=1)


if __name__ == "__main__":
    run(main)
