"""Generate the sample, a small data set in the layout of the official ILSVRC-2012 files."""

from pathlib import Path

from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.places import MACHINE, SAMPLE
from alexnet.core.stage import PARAMS, MachineFile, Params, run
from alexnet.sample.files import generate
from alexnet.sample.params import Sample


def main(params: Params = PARAMS, machine: MachineFile = MACHINE, out: Path = SAMPLE) -> None:
    """Write the sample; if `sample.classes` is 0, only a README.txt that says so."""
    here = read_machine(machine)
    generate(root=out, settings=read(params, Sample), style=here.progress, workers=here.worker_count)


if __name__ == "__main__":
    run(main)
