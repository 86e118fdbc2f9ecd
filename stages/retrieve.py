"""Make the training pictures searchable by fc7's activations, and measure the short codes."""

from __future__ import annotations

from pathlib import Path

from alexnet.params import machine as machines
from alexnet.params.base import read
from alexnet.params.evaluate import Evaluate
from alexnet.params.retrieve import Retrieve
from alexnet.retrieval.run import Paths, retrieve_and_record
from stages.options import MACHINE, PARAMS, RECORDS, REPORTS, RETRIEVAL, WEIGHTS, MachineFile, Params, run


def main(
    params: Params = PARAMS,
    machine: MachineFile = MACHINE,
    records: Path = RECORDS,
    weights: Path = WEIGHTS,
    library: Path = RETRIEVAL,
    summary: Path = REPORTS / "retrieval.json",
) -> None:
    """Write features and codes of the training pictures, and what the report tells of them."""
    retrieve_and_record(
        read(params, Retrieve),
        read(params, Evaluate),
        machines.read(machine),
        Paths(records, weights, library, summary),
    )


if __name__ == "__main__":
    run(main)
