"""Validate every key of the parameters and of machine.yaml before anything runs."""

from pathlib import Path

from alexnet.check import check
from alexnet.core.files import write_text
from alexnet.core.places import CHECKED, MACHINE, PARAMS_FILE
from alexnet.core.stage import MachineFile, ParamsFile, run


def main(params: ParamsFile = PARAMS_FILE, machine: MachineFile = MACHINE, out: Path = CHECKED) -> None:
    """Check both files. The output file never changes, so no other stage runs again because of it."""
    check(params, machine)
    write_text(out, "every key is known, present, of its type and in range\n")


if __name__ == "__main__":
    run(main)
