"""Generate the sample, a small data set in the layout of the official ILSVRC-2012 files."""

from __future__ import annotations

from pathlib import Path

from alexnet.data.sample import generate
from alexnet.params import machine as machines
from alexnet.params.base import read
from alexnet.params.sample import Sample
from stages.options import MACHINE, PARAMS, SAMPLE, MachineFile, Params, run


def main(params: Params = PARAMS, machine: MachineFile = MACHINE, out: Path = SAMPLE) -> None:
    """Write the sample, or an empty folder's note when `sample.classes` is 0."""
    place = machines.read(machine)
    generate(out, read(params, Sample), place.progress, place.worker_count)


if __name__ == "__main__":
    run(main)
