"""Make the training pictures searchable by fc7's activations, and measure the short codes."""

from pathlib import Path

from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.places import MACHINE, RECORDS, REPORTS, RETRIEVAL, WEIGHTS
from alexnet.core.stage import PARAMS, MachineFile, Params, run
from alexnet.evaluation.params import Evaluate
from alexnet.retrieval.params import Retrieve
from alexnet.retrieval.retrieve import retrieve_pictures


def main(
    params: Params = PARAMS,
    machine: MachineFile = MACHINE,
    records: Path = RECORDS,
    weights: Path = WEIGHTS,
    library: Path = RETRIEVAL,
    summary: Path = REPORTS / "retrieval.json",
) -> None:
    """Write the fc7 features and the codes of the training pictures, and a summary for the report."""
    retrieve_pictures(
        settings=read(params, Retrieve),
        split=read(params, Evaluate).split,
        machine=read_machine(machine),
        records=records,
        weights=weights,
        library=library,
        summary=summary,
    )


if __name__ == "__main__":
    run(main)
