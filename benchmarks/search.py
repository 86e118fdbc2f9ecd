"""Nearest neighbours among features: blocks of a mapped file, beside FAISS, exactly and by code.

    pip install faiss-cpu        # to compare with; no part of the project
    python -m benchmarks.search [--pictures N] [--dimensions D] [--queries Q] [--folder DISK]

Ours reads a memory-mapped file a block at a time. FAISS searches the same blocks one after the other, and,
where they fit, all vectors in memory (IndexFlatL2). The contestants take turns over several rounds, on the
same queries, and their answers are compared. For ImageNet's 1.2 million × 4096, 20 GB of disk:

    python -m benchmarks.search --pictures 1200000 --dimensions 4096 --rounds 1 --folder /some/disk
"""

import importlib.util
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from alexnet.retrieval.search import BLOCK_BYTES, by_code, nearest
from benchmarks.turns import ratios, spread

NEIGHBOURS = 6
CANDIDATES = 100
CODE_BITS = 128
ROWS_DRAWN = 8192


def mapped_features(path: Path, pictures: int, dimensions: int) -> NDArray[np.float32]:
    """Write features like fc7's: half of them zero, along fewer directions than there are neurons.

    Drawn once; each further block holds the same with the neurons in another order.
    """
    draw = np.random.default_rng(1)
    directions = draw.standard_normal((64, dimensions), np.float32)
    drawn = np.maximum(draw.standard_normal((ROWS_DRAWN, 64), np.float32) @ directions, 0)
    features = np.lib.format.open_memmap(path, "w+", np.float32, (pictures, dimensions))
    for start in range(0, pictures, ROWS_DRAWN):
        rows = min(ROWS_DRAWN, pictures - start)
        features[start : start + rows] = np.roll(drawn[:rows], start // ROWS_DRAWN, axis=1)
    return features


def memory(kind: str, of: str = "/proc/self/status") -> int:
    """Return bytes by Linux' accounts; a process' ``RssAnon`` is its own, not a mapped file's."""
    found = re.search(rf"^{kind}:\s+(\d+) kB", Path(of).read_text(), re.MULTILINE)
    assert found
    return 1024 * int(found[1])


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Yield a list that afterwards holds how far the process' own memory rose in the block, in bytes."""
    start, highest, done = memory("RssAnon"), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            highest[0] = max(highest[0], memory("RssAnon") - start)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield highest
    finally:
        done.set()
        watcher.join()


def compare(
    what: str, contestants: dict[str, Callable[[], NDArray[np.int64]]], rounds: int, queries: int
) -> None:
    """Print what each takes, in turns, beside the first, and how many of its answers are the same."""
    print(what)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    peaks, answers = dict.fromkeys(contestants, 0), {}
    for _ in range(rounds):
        for name, search in contestants.items():
            start, busy = time.perf_counter(), time.process_time()
            with peak_memory() as peak:
                answers[name] = search()
            seconds[name].append(time.perf_counter() - start)
            peaks[name] = max(peaks[name], peak[0])
            busy = time.process_time() - busy
            print(f"  {name}: {seconds[name][-1]:.1f} s, {busy:.1f} s of a core", flush=True)
    first = next(iter(contestants))
    for name, own in seconds.items():
        print(
            f"  {name:42}{1000 * statistics.median(own) / queries:9.3f} ms a query  "
            f" {spread(ratios(own, seconds[first]))} times ours;"
            f" at most {peaks[name] / 1e6:.0f} MB of memory of its own;"
            f" equal answers: {np.mean(answers[first] == answers[name]):.2%}"
        )


def faiss_by_blocks(
    faiss: Any, features: NDArray[np.float32], asked: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return what FAISS' exact search finds in the same blocks, the best of each joined."""
    rows = max(1, BLOCK_BYTES // features[0].nbytes)
    distances, records = [], []
    for start in range(0, len(features), rows):
        apart, places = faiss.knn(asked, np.array(features[start : start + rows]), NEIGHBOURS)
        distances.append(apart)
        records.append(places + start)
    best = np.argsort(np.concatenate(distances, 1), axis=1, kind="stable")[:, :NEIGHBOURS]
    return np.take_along_axis(np.concatenate(records, 1), best, 1)


def main(
    pictures: Annotated[int, typer.Option(min=1000)] = 100_000,
    dimensions: Annotated[int, typer.Option(min=8)] = 1024,
    queries: Annotated[int, typer.Option(min=1)] = 100,
    codes: Annotated[int, typer.Option(min=1000, help="pictures in the search by code")] = 1_200_000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    folder: Annotated[Path | None, typer.Option(help="for the features, deleted at the end")] = None,
) -> None:
    """Time both searches."""
    faiss = importlib.import_module("faiss") if importlib.util.find_spec("faiss") else None
    if faiss is None:
        print("FAISS is not installed (pip install faiss-cpu): ours alone")
    draw = np.random.default_rng(2)
    size = 4 * pictures * dimensions
    with tempfile.TemporaryDirectory(dir=folder) as place:
        free = shutil.disk_usage(place).free
        if free < size + 2**30:
            sys.exit(f"{place}: {free / 1e9:.0f} GB free, {size / 1e9:.0f} GB needed; name another --folder")
        features = mapped_features(Path(place) / "features.npy", pictures, dimensions)
        asked = np.array(features[draw.permutation(pictures)[:queries]]) + np.float32(0.1)
        contestants: dict[str, Callable[[], Any]] = {
            "ours, blocks of a mapped file": lambda: nearest(features, asked, NEIGHBOURS).records
        }
        if faiss is not None:
            contestants["FAISS, the same blocks"] = lambda: faiss_by_blocks(faiss, features, asked)
        if faiss is not None and 3 * size < memory("MemAvailable", "/proc/meminfo"):
            index = faiss.IndexFlatL2(dimensions)
            index.add(np.array(features))
            contestants["FAISS IndexFlatL2, all in memory"] = lambda: index.search(asked, NEIGHBOURS)[1]
        held = f"ours holds {BLOCK_BYTES / 1e6:.0f} MB of {features.nbytes / 1e6:.0f} MB at once"
        what = f"exact: {pictures:,} × {dimensions:,}, {queries} queries together; {held}"
        compare(what, contestants, rounds, queries)

    words = draw.integers(0, 2**63, (codes, CODE_BITS // 64), np.uint64)
    wanted = words[:queries] ^ np.uint64(5)
    # Of the answers, the first: behind it many codes are equally far, and either may take its own.
    contestants = {"ours, XOR and population counts": lambda: by_code(words, wanted, CANDIDATES)[:, :1]}
    if faiss is not None:
        binary = faiss.IndexBinaryFlat(CODE_BITS)
        binary.add(words.view(np.uint8))
        asked_bytes = wanted.view(np.uint8)
        contestants["FAISS IndexBinaryFlat"] = lambda: binary.search(asked_bytes, CANDIDATES)[1][:, :1]
    what = f"by code: {codes:,} × {CODE_BITS} bits, first {CANDIDATES}; {words.nbytes / 1e6:.0f} MB"
    compare(what, contestants, rounds, queries)


if __name__ == "__main__":
    typer.run(main)
