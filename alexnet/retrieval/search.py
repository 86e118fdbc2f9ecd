"""Exact search in Euclidean distance and search by Hamming distance, both in bounded memory.

Features are a memory-mapped array that is walked through in blocks: products of a block with all
queries are one matrix product, so that 1.2 million features of 4096 numbers are read once for any
number of queries, a block at a time (`benchmarks.search` compares with FAISS).
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

# Of features in memory at once, and queries whose distances to a block are there at once.
BLOCK_BYTES = 128 * 2**20
QUERIES_AT_ONCE = 512
# Products in float32 lose digits to cancellation: this many more candidates are compared in float64.
SPARE = 32


class Hits(NamedTuple):
    """What is nearest to each query, the nearest first, equals by record number; both (queries, hits).

    Distances are Euclidean. Of more than `SPARE` equals, `nearest` may return any.
    """

    records: NDArray[np.int64]
    distances: NDArray[np.float64]


def nearest(
    features: NDArray[np.float32],
    queries: NDArray[np.float32],
    count: int,
    device: torch.device | None = None,
) -> Hits:
    """Return the `count` rows of `features` (n, d) nearest to each of the `queries` (q, d), exactly.

    Products are made on the `device`, with `BLOCK_BYTES` of the features in memory at once.
    """
    count = min(count, len(features))
    found = [
        _candidates(features, queries[start : start + QUERIES_AT_ONCE], count + SPARE, device)
        for start in range(0, len(queries), QUERIES_AT_ONCE)
    ]
    return rerank(features, queries, np.concatenate(found), count)


def _candidates(
    features: NDArray[np.float32], queries: NDArray[np.float32], count: int, device: torch.device | None
) -> NDArray[np.int64]:
    # Distances from here are the same, and lose fewer digits where all features lie close together.
    origin = torch.from_numpy(np.array(features[0])).to(device)
    wanted = torch.from_numpy(np.array(queries)).to(device) - origin
    best = torch.empty(len(queries), 0, device=device)
    records = torch.empty(len(queries), 0, dtype=torch.int64, device=device)
    rows = max(1, BLOCK_BYTES // (features.shape[1] * features.itemsize))
    for start in range(0, len(features), rows):
        block = torch.from_numpy(np.array(features[start : start + rows])).to(device).sub_(origin)
        # |q|² is the same for all rows and changes no order.
        scores = torch.addmm(block.square().sum(1), wanted, block.T, alpha=-2)
        nearer, places = scores.topk(min(count, len(block)), largest=False)
        best, records = torch.cat([best, nearer], 1), torch.cat([records, places + start], 1)
        best, places = best.topk(min(count, best.shape[1]), largest=False)
        records = records.gather(1, places)
    return records.cpu().numpy()


def rerank(
    features: NDArray[np.float32], queries: NDArray[np.float32], candidates: NDArray[np.int64], count: int
) -> Hits:
    """Return the nearest `count` of each query's `candidates` (q, c), by distances in float64."""
    records, distances = [], []
    for query, rows in zip(queries, candidates, strict=True):
        apart = np.sqrt(((features[rows].astype(np.float64) - query) ** 2).sum(1))
        order = np.lexsort((rows, apart))[:count]
        records.append(rows[order])
        distances.append(apart[order])
    return Hits(np.array(records), np.array(distances))


def by_code(codes: NDArray[np.uint64], queries: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """Return the `count` codes nearest in Hamming distance to each query's, int64 (queries, count).

    Args:
        codes, queries: (n, words) and (q, words), as `pack` makes them; equals by record number.
    """
    count = min(count, len(codes))
    found = []
    for query in queries:
        apart = np.zeros(len(codes), np.uint16)
        for word, asked in enumerate(query):
            apart += np.bitwise_count(codes[:, word] ^ asked)
        # All within the radius that holds enough: few are left to be sorted.
        radius = int(np.searchsorted(np.cumsum(np.bincount(apart)), count))
        near = np.flatnonzero(apart <= radius)
        found.append(near[np.argsort(apart[near], kind="stable")[:count]])
    return np.array(found)


def pack(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return codes of bool (n, bits) as uint64 (n, words), filled up with zeros."""
    packed = np.packbits(bits, axis=1)
    return np.pad(packed, [(0, 0), (0, -packed.shape[1] % 8)]).view(np.uint64)


def recall(exact: NDArray[np.int64], candidates: NDArray[np.int64]) -> float:
    """Return the share of the `exact` records (q, k) that are among its `candidates` (q, c)."""
    return float((exact[:, :, None] == candidates[:, None, :]).any(2).mean())
