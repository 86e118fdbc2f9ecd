"""Validate every key of the parameters and of machine.yaml before anything runs."""

from __future__ import annotations

from pathlib import Path

from alexnet.files import write_text
from alexnet.params.everything import check
from stages.options import CHECKED, MACHINE, PARAMS, MachineFile, Params, run


def main(params: Params = PARAMS, machine: MachineFile = MACHINE, out: Path = CHECKED) -> None:
    """Check both files; the output is a constant, so nothing reruns because of it."""
    check(params, machine)
    write_text(out, "every key is known, present, of its type and in range\n")


if __name__ == "__main__":
    run(main)
