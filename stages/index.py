"""List every raw picture: where its bytes lie and which class it shows."""

from __future__ import annotations

from pathlib import Path

from alexnet.data import index, indexing
from alexnet.params import machine as machines
from alexnet.params.base import read
from alexnet.params.data import Data
from alexnet.params.evaluate import Evaluate
from stages.options import INDEX, MACHINE, PARAMS, MachineFile, Params, run


def main(params: Params = PARAMS, machine: MachineFile = MACHINE, out: Path = INDEX) -> None:
    """Index data_root; runs at every `dvc repro`, so that changed files are noticed."""
    root = Path(machines.read(machine).data_root).expanduser()
    found, layout = indexing.build(root, read(params, Data))
    indexing.require_split(found, read(params, Evaluate).split, root)
    index.write(out, found, layout)
    counts = found.pictures["split"].value_counts()
    pictures = ", ".join(
        f"{counts[split]:,} {split}" for split in ("train", "val", "test") if split in counts
    )
    print(f"index: {root} ({layout}): {len(found.classes)} classes; pictures: {pictures}")


if __name__ == "__main__":
    run(main)
