"""What Python's lock leaves of many threads that load pictures, in one process and in several.

    python -m benchmarks.lock [--threads 16]

A machine with few cores cannot decode in sixteen threads. So here a picture takes the time of decoding, but
no processor; only the rest of the loader's work is done. The numbers of processes take turns.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from alexnet.core.errors import shown_plainly
from alexnet.core.params import read
from alexnet.core.sizes import PICTURE
from alexnet.feed import process
from alexnet.feed.order import training_epoch
from alexnet.feed.params import Augment
from alexnet.feed.threads import ThreadLoader
from alexnet.store.records import Record, Records, open_records, write_shard, write_tables
from benchmarks.train_step import PROFILE
from benchmarks.turns import in_turns, tell

# About what decoding takes on one core.
SECONDS = 330e-6
BATCH, CPU = 128, torch.device("cpu")


class SlowRecords(Records):
    """Raw records, each of which takes a while to come; other threads can go on meanwhile."""

    def __reduce__(self) -> tuple[Any, ...]:
        return slow, self._opened

    def stored(self, record: int) -> NDArray[np.uint8]:
        time.sleep(SECONDS)
        return super().stored(record)


def slow(folder: Path, split: str) -> SlowRecords:
    return SlowRecords(**vars(open_records(folder, split)))


def loading(records: Records, threads: int, processes: int) -> Callable[[], float]:
    with patch.object(process, "PROCESSES", processes), patch.object(process, "THREADS", 1):
        loader = process.ProcessLoader(ThreadLoader(records, BATCH, CPU, threads), CPU)
    plan = training_epoch(1, 1, len(records), read(PROFILE, Augment))

    def measure() -> float:
        start = time.perf_counter()
        for _ in loader.batches(plan):
            pass
        return len(records) / (time.perf_counter() - start)

    # Until all processes have started.
    measure()
    return measure


@shown_plainly
def main(
    threads: Annotated[int, typer.Option(min=1, help="threads of all processes together")] = 16,
    pictures: Annotated[int, typer.Option(min=BATCH, help="pictures a turn")] = 8192,
    rounds: Annotated[int, typer.Option(min=1, help="how often each takes its turn")] = 5,
) -> None:
    """Compare the same number of threads in one process and in more."""
    raw = np.zeros((PICTURE, PICTURE, 3), np.uint8).tobytes()
    with tempfile.TemporaryDirectory() as folder:
        shard = (Record(0, str(number), raw) for number in range(pictures))
        write_tables(Path(folder), write_shard(Path(folder), "train", 0, shard, "raw"))
        records = slow(Path(folder), "train")
        counts = [count for count in (1, 2, 4, 8) if count <= threads]
        contestants = {f"processes: {n}": loading(records, threads, n) for n in counts}
        tell(in_turns(contestants, rounds))


if __name__ == "__main__":
    typer.run(main)
