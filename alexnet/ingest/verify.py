"""Checking a store against its checksums, its own tables and the index."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.core.files import sha256_of
from alexnet.core.progress import Progress
from alexnet.store.index import Index, differences
from alexnet.store.records import SHARDS, TABLE, read_shards, read_table, tar_name
from alexnet.store.statistics import SUMS, read_sums


def find_problems(records: Path, index: Index, skipped: pd.DataFrame) -> list[str]:
    """Return a line for each thing that is wrong with the store in `records`; none when it is right.

    Every byte of every shard is read.

    Args:
        skipped: split and name of the pictures that were left out with a reason.

    Raises:
        UserError: there is no store, or one of its tables cannot be read.
    """
    table, shards = read_table(records), read_shards(records)
    listed = {tar_name(row.split, row.shard) for row in shards.itertuples()}
    there = {path.name for path in records.glob("*.tar")}
    found = [f"{name}: not listed in {SHARDS}" for name in sorted(there - listed)]
    with Progress("verify", len(table), "auto") as progress:
        for (split, number), rows in table.groupby(["split", "shard"], sort=False):
            lines = shards[(shards["split"] == split) & (shards["shard"] == number)]
            path = records / tar_name(split, number)
            try:
                found += _shard_problems(path, rows, lines)
            except OSError as error:
                found.append(f"{path.name}: cannot be read: {error.strerror or error}")
            progress.advance(len(rows))
    found += differences(index.pictures, table, skipped)
    found += _sums_problems(records, int((table["split"] == "train").sum()))
    return found


def _shard_problems(path: Path, rows: pd.DataFrame, lines: pd.DataFrame) -> Iterator[str]:
    if not path.exists():
        yield f"{path.name}: missing, with {len(rows):,} pictures"
        return
    if len(lines) != 1:
        yield f"{path.name}: stands {len(lines)} times in {SHARDS}"
        return
    expected: Any = next(lines.itertuples())
    size = path.stat().st_size
    if size != expected.bytes:
        yield f"{path.name}: {size:,} bytes, listed are {expected.bytes:,}"
    elif sha256_of(path) != expected.sha256:
        yield f"{path.name}: its SHA-256 is not the one listed; its bytes have changed"
    elif _contents(path) != list(zip(rows["offset"], rows["size"], rows["label"], strict=True)):
        yield f"{path.name}: holds other pictures or labels than {TABLE} says"
    elif expected.records != len(rows):
        yield f"{path.name}: {len(rows)} pictures, listed are {expected.records}"


def _contents(path: Path) -> list[tuple[int, int, int]]:
    """Return offset, size and label of each picture in a shard that is whole."""
    with tarfile.open(path, "r:") as tar:
        members = list(tar)
        texts: Any = [tar.extractfile(text) for text in members[1::2]]
        labels = [int(text.read()) for text in texts]
    pairs = zip(members[::2], labels, strict=True)
    return [(picture.offset_data, picture.size, label) for picture, label in pairs]


def _sums_problems(records: Path, there: int) -> Iterator[str]:
    """Check what can be checked without decoding; the sums do not say which pictures they are of."""
    try:
        sums = read_sums(records)
    except UserError as error:
        yield str(error)
        return
    if sums.images != there:
        yield f"{SUMS}: sums of {sums.images:,} training pictures, but {there:,} are there"
