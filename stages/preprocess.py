"""Turn the raw pictures into 256×256 records in tar shards."""

from __future__ import annotations

import json
from pathlib import Path

from alexnet.core.files import STATE, replacing, write_json
from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.processes import executor
from alexnet.core.stage import INDEX, MACHINE, PARAMS, RECORDS, REPORTS, MachineFile, Params, run
from alexnet.ingest.params import Preprocess
from alexnet.ingest.prepare import preprocess
from alexnet.store.index import SOURCE, read_index


def main(
    params: Params = PARAMS,
    machine: MachineFile = MACHINE,
    index: Path = INDEX,
    out: Path = RECORDS,
    counts: Path = REPORTS / "data.json",
    skipped: Path = REPORTS / "skipped.csv",
) -> None:
    """Decode, square, encode and store every picture of the index."""
    place = read_machine(machine)
    found = read_index(index)
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
    layout = json.loads((index / SOURCE).read_text())["layout"]
    write_json(counts, {"layout": layout, "classes": len(found.classes), "splits": outcome.counts})
    with replacing(skipped) as temporary:
        outcome.skipped.to_csv(temporary, index=False)


if __name__ == "__main__":
    run(main)
