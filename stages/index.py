"""List every raw picture: where its bytes lie and which class it shows."""

from __future__ import annotations

from pathlib import Path

from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.stage import INDEX, MACHINE, PARAMS, MachineFile, Params, run
from alexnet.evaluation.params import Evaluate
from alexnet.ingest.params import Data
from alexnet.ingest.selection import require_split, select_pictures
from alexnet.store.index import write_index


def main(params: Params = PARAMS, machine: MachineFile = MACHINE, out: Path = INDEX) -> None:
    """Index data_root; runs at every `dvc repro`, so that changed files are noticed."""
    root = Path(read_machine(machine).data_root).expanduser()
    found, layout = select_pictures(root, read(params, Data))
    require_split(found, read(params, Evaluate).split, root)
    write_index(out, found, layout)
    counts = found.pictures["split"].value_counts()
    pictures = ", ".join(
        f"{counts[split]:,} {split}" for split in ("train", "val", "test") if split in counts
    )
    print(f"index: {root} ({layout}): {len(found.classes)} classes; pictures: {pictures}")


if __name__ == "__main__":
    run(main)
