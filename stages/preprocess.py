"""Turn the raw pictures into 256×256 records in tar shards."""

from pathlib import Path

from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.places import INDEX, MACHINE, RECORDS, REPORTS, SKIPPED
from alexnet.core.stage import PARAMS, MachineFile, Params, run
from alexnet.ingest.params import Preprocess
from alexnet.ingest.prepare import prepare_index


def main(
    params: Params = PARAMS,
    machine: MachineFile = MACHINE,
    index: Path = INDEX,
    out: Path = RECORDS,
    counts: Path = REPORTS / "data.json",
    skipped: Path = SKIPPED,
) -> None:
    """Decode every picture of the index, bring it to 256×256, encode it and store it."""
    prepare_index(
        settings=read(params, Preprocess),
        machine=read_machine(machine),
        index=index,
        records=out,
        counts=counts,
        skipped=skipped,
    )


if __name__ == "__main__":
    run(main)
