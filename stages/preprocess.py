"""Turn the raw pictures into 256×256 records in tar shards."""

from __future__ import annotations

import json
from pathlib import Path

from alexnet.data import index as indexes
from alexnet.data.preprocess import preprocess
from alexnet.files import STATE, replacing, write_json
from alexnet.params import machine as machines
from alexnet.params.base import read
from alexnet.params.preprocess import Preprocess
from alexnet.processes import executor
from stages.options import INDEX, MACHINE, PARAMS, RECORDS, REPORTS, MachineFile, Params, run


def main(
    params: Params = PARAMS,
    machine: MachineFile = MACHINE,
    index: Path = INDEX,
    out: Path = RECORDS,
    counts: Path = REPORTS / "data.json",
    skipped: Path = REPORTS / "skipped.csv",
) -> None:
    """Decode, square, encode and store every picture of the index."""
    place = machines.read(machine)
    found = indexes.read(index)
    with executor(place) as pool:
        outcome = preprocess(
            Path(place.data_root).expanduser(),
            found,
            read(params, Preprocess),
            out,
            STATE / "preprocess",
            pool,
            place.progress,
            place.timeout_seconds,
            place.worker_count,
            place.shuffle,
        )
    layout = json.loads((index / indexes.SOURCE).read_text())["layout"]
    write_json(counts, {"layout": layout, "classes": len(found.classes), "splits": outcome.counts})
    with replacing(skipped) as temporary:
        outcome.skipped.to_csv(temporary, index=False)


if __name__ == "__main__":
    run(main)
