"""Nearest neighbours among features: blocks of a mapped file, beside FAISS, exactly and by code.

    pip install faiss-cpu        # to compare with; no part of the project
    python -m benchmarks.search [--pictures N] [--dimensions D] [--queries Q]

Ours reads a memory-mapped file a block at a time; FAISS' flat index holds all vectors in memory. The
contestants take turns over several rounds, on the same queries, and their answers are compared.
"""

from __future__ import annotations

import importlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from alexnet.retrieval.search import BLOCK_BYTES, by_code, nearest

NEIGHBOURS = 6
CANDIDATES = 100
CODE_BITS = 128


def mapped_features(path: Path, pictures: int, dimensions: int) -> NDArray[np.float32]:
    """Write features like fc7's: half of them zero, along fewer directions than there are neurons."""
    draw = np.random.default_rng(1)
    directions = draw.standard_normal((64, dimensions), np.float32)
    features = np.lib.format.open_memmap(path, "w+", np.float32, (pictures, dimensions))
    for start in range(0, pictures, 16384):
        rows = min(16384, pictures - start)
        features[start : start + rows] = np.maximum(
            draw.standard_normal((rows, 64), np.float32) @ directions, 0
        )
    return features


def in_turns(
    contestants: dict[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return each contestant's median seconds, and its answer."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    answers = {}
    for _ in range(rounds):
        for name, search in contestants.items():
            start = time.perf_counter()
            answers[name] = search()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}, answers


def show(what: str, seconds: dict[str, float], queries: int) -> None:
    ours = next(iter(seconds.values()))
    print(what)
    for name, median in seconds.items():
        print(f"  {name:42}{1000 * median / queries:9.3f} ms a query   {median / ours:5.2f} × ours")


def main(
    pictures: Annotated[int, typer.Option(min=1000)] = 100_000,
    dimensions: Annotated[int, typer.Option(min=8)] = 1024,
    queries: Annotated[int, typer.Option(min=1)] = 100,
    codes: Annotated[int, typer.Option(min=1000, help="pictures in the search by code")] = 1_200_000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Time both searches."""
    faiss = _faiss()
    if faiss is None:
        print("FAISS is not installed (pip install faiss-cpu): ours alone")
    draw = np.random.default_rng(2)
    with tempfile.TemporaryDirectory() as folder:
        features = mapped_features(Path(folder) / "features.npy", pictures, dimensions)
        asked = np.array(features[draw.permutation(pictures)[:queries]]) + np.float32(0.1)
        contestants: dict[str, Callable[[], Any]] = {
            "ours, blocks of a mapped file": lambda: nearest(features, asked, NEIGHBOURS).records
        }
        if faiss is not None:
            index = faiss.IndexFlatL2(dimensions)
            index.add(np.array(features))
            contestants["FAISS IndexFlatL2, all in memory"] = lambda: index.search(asked, NEIGHBOURS)[1]
        seconds, answers = in_turns(contestants, rounds)
        held = f"ours holds {BLOCK_BYTES / 1e6:.0f} MB of {features.nbytes / 1e6:.0f} MB at once"
        show(f"exact: {pictures:,} × {dimensions:,}, {queries} queries together; {held}", seconds, queries)
        _compare(list(answers.values()))

    words = draw.integers(0, 2**63, (codes, CODE_BITS // 64), np.uint64)
    wanted = words[:queries] ^ np.uint64(5)
    contestants = {"ours, XOR and population counts": lambda: by_code(words, wanted, CANDIDATES)}
    if faiss is not None:
        binary = faiss.IndexBinaryFlat(CODE_BITS)
        binary.add(words.view(np.uint8))
        contestants["FAISS IndexBinaryFlat"] = lambda: binary.search(wanted.view(np.uint8), CANDIDATES)[1]
    seconds, answers = in_turns(contestants, rounds)
    show(
        f"by code: {codes:,} × {CODE_BITS} bits, first {CANDIDATES}; {words.nbytes / 1e6:.0f} MB",
        seconds,
        queries,
    )
    # Beyond the first, many codes are equally far, and either may take its own.
    _compare([answer[:, :1] for answer in answers.values()])


def _faiss() -> Any:
    try:
        return importlib.import_module("faiss")
    except ImportError:
        return None


def _compare(answers: list[NDArray[np.int64]]) -> None:
    if len(answers) == 2:
        print(f"  equal answers: {np.mean(answers[0] == answers[1]):.2%}")


if __name__ == "__main__":
    typer.run(main)
