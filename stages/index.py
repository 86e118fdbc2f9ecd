"""List every raw picture: where its bytes lie and which class it shows."""

from pathlib import Path

from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.places import INDEX, MACHINE
from alexnet.core.stage import PARAMS, MachineFile, Params, run
from alexnet.evaluation.params import Evaluate
from alexnet.ingest.params import Data
from alexnet.ingest.selection import index_pictures


def main(params: Params = PARAMS, machine: MachineFile = MACHINE, out: Path = INDEX) -> None:
    """Index data_root; runs at every `dvc repro`, so that changed files are noticed."""
    index_pictures(
        data=read(params, Data),
        split=read(params, Evaluate).split,
        machine=read_machine(machine),
        out=out,
    )


if __name__ == "__main__":
    run(main)
