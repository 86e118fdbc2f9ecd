"""Checking a store against its checksums, its own tables and the index."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.core.files import sha256_of
from alexnet.core.progress import Progress, Style
from alexnet.store.index import Index, differences
from alexnet.store.records import SHARDS, TABLE, read_shards, read_table, shard_name
from alexnet.store.statistics import SUMS, sums_of


def find_problems(records: Path, index: Index, skipped: pd.DataFrame, style: Style = "auto") -> list[str]:
    """Return a line for each thing that is wrong with the store in `records`; none when it is right.

    Every byte of every shard is read.

    Args:
        skipped: split and name of the pictures that were left out with a reason.

    Raises:
        UserError: there is no store, or one of its tables cannot be read.
    """
    table, shards = read_table(records), read_shards(records)
    listed = {f"{shard_name(row.split, row.shard)}.tar" for row in shards.itertuples()}
    strange = sorted(path.name for path in records.glob("*.tar") if path.name not in listed)
    found = [f"{name}: not listed in {SHARDS}" for name in strange]
    with Progress("verify", len(table), style) as progress:
        for (split, number), rows in table.groupby(["split", "shard"], sort=False):
            lines = shards[(shards["split"] == split) & (shards["shard"] == number)]
            found += _shard_problems(records / f"{shard_name(split, number)}.tar", rows, lines)
            progress.advance(len(rows))
    found += differences(index, table, skipped)
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
    else:
        yield from _contents(path, rows, int(expected.records))


def _contents(path: Path, rows: pd.DataFrame, listed: int) -> Iterator[str]:
    """Compare a shard that is whole with its rows."""
    with tarfile.open(path, "r:") as tar:
        members = list(tar)
        texts = [tar.extractfile(text) for text in members[1::2]]
        labels = [int(text.read()) for text in texts if text is not None]
    found = [
        (picture.offset_data, picture.size, label)
        for picture, label in zip(members[::2], labels, strict=True)
    ]
    table = list(zip(rows["offset"], rows["size"], rows["label"], strict=True))
    if found != table or listed != len(found):
        yield f"{path.name}: holds other pictures or labels than {TABLE} says"


def _sums_problems(records: Path, there: int) -> Iterator[str]:
    """Check what can be checked without decoding; the sums do not say which pictures they are of."""
    try:
        sums = sums_of(records)
    except UserError as error:
        yield str(error)
        return
    if sums is not None and sums.images != there:
        yield f"{SUMS}: sums of {sums.images:,} training pictures, but {there:,} are there"
    elif sums is not None and not sums.possible():
        yield f"{SUMS}: no {there:,} pictures add up to this; the sums have changed"
