"""The store of 256×256 records: tar shards of JPEGs in the WebDataset form.

A folder holds

- ``train-00000.tar`` …: pairs ``00000042.jpg`` (the picture) and ``00000042.cls`` (its label);
- ``train-00000.idx`` …: each shard's offsets, as DALI's `readers.webdataset` wants them;
- ``records.parquet``: a row per record in storage order: split, shard, offset, size, label, name;
- ``shards.csv``: split, shard, records, bytes and SHA-256 of each shard.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from alexnet.errors import UserError
from alexnet.files import replacing, sha256_of, write_text

TABLE = "records.parquet"
SHARDS = "shards.csv"


class Record(NamedTuple):
    """A picture ready to be stored: JPEG bytes, label, and its name in the index."""

    key: int
    jpeg: bytes
    label: int
    name: str


def shard_name(split: str, number: int) -> str:
    return f"{split}-{number:05d}"


def write_shard(folder: Path, split: str, number: int, records: Sequence[Record]) -> pd.DataFrame:
    """Write one shard and its index of offsets, each whole or not at all.

    Returns:
        The shard's rows of ``records.parquet``.
    """
    name = shard_name(split, number)
    rows, lines = [], []
    with (
        replacing(folder / f"{name}.tar") as temporary,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for record in records:
            label = str(record.label).encode()
            picture, text = f"{record.key:08d}.jpg", f"{record.key:08d}.cls"
            jpeg_at, label_at = _add(tar, picture, record.jpeg), _add(tar, text, label)
            lines.append(f"jpg {jpeg_at} {len(record.jpeg)} {picture} cls {label_at} {len(label)} {text}")
            rows.append((split, number, jpeg_at, len(record.jpeg), record.label, record.name))
    write_text(folder / f"{name}.idx", "\n".join([f"v1.2 {len(lines)}", *lines]) + "\n")
    columns = ["split", "shard", "offset", "size", "label", "name"]
    return pd.DataFrame(rows, columns=columns).astype({"shard": "int32", "label": "int32"})


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
    # The data ends at the tar's end, padded to whole blocks.
    return int(tar.offset) - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def write_tables(folder: Path, rows: pd.DataFrame) -> None:
    """Write ``records.parquet`` and ``shards.csv`` of the shards in `folder`."""
    with replacing(folder / TABLE) as temporary:
        rows.to_parquet(temporary, index=False)
    shards = rows.groupby(["split", "shard"], sort=False).size().rename("records").reset_index()
    paths = [folder / f"{shard_name(row.split, row.shard)}.tar" for row in shards.itertuples()]
    shards["bytes"] = [path.stat().st_size for path in paths]
    shards["sha256"] = [sha256_of(path) for path in paths]
    with replacing(folder / SHARDS) as temporary:
        shards.to_csv(temporary, index=False)


@dataclass(frozen=True)
class Records:
    """One split of a store, its shards memory-mapped.

    Attributes:
        labels: int64 (records,), in storage order.
        names: the pictures' names in the index.
    """

    labels: NDArray[np.int64]
    names: NDArray[np.str_]
    _shards: list[NDArray[np.uint8]]
    _shard: NDArray[np.int64]
    _offset: NDArray[np.int64]
    _size: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def jpeg(self, record: int) -> NDArray[np.uint8]:
        """Return the bytes of a record, uint8 (size,), a view of the mapped file."""
        start = self._offset[record]
        return self._shards[self._shard[record]][start : start + self._size[record]]


def open_records(folder: Path, split: str) -> Records:
    """Open one split of the store in `folder`.

    Raises:
        UserError: the store is missing, or has no such split.
    """
    path = folder / TABLE
    if not path.exists():
        raise UserError(f"{path}: missing; run the preprocess stage first (dvc repro preprocess)")
    with path.open("rb") as file:
        rows = pd.read_parquet(file)
    rows = rows[rows["split"] == split]
    if rows.empty:
        raise UserError(f"{folder}: no records of the split {split}")
    numbers = sorted(rows["shard"].unique())
    shards: list[NDArray[np.uint8]] = [
        np.memmap(folder / f"{shard_name(split, number)}.tar", np.uint8, "r") for number in numbers
    ]
    place = {number: position for position, number in enumerate(numbers)}
    return Records(
        labels=rows["label"].to_numpy(np.int64, copy=True),
        names=rows["name"].to_numpy(),
        _shards=shards,
        _shard=rows["shard"].map(place).to_numpy(np.int64),
        _offset=rows["offset"].to_numpy(np.int64),
        _size=rows["size"].to_numpy(np.int64),
    )


def decoded(records: Records, record: int) -> NDArray[np.uint8]:
    """Return a record's pixels, uint8 (256, 256, 3), by Pillow."""
    with Image.open(io.BytesIO(records.jpeg(record).tobytes())) as image:
        return np.asarray(image)


def store_fingerprint(folder: Path) -> str:
    """Return what stands for the store's contents: the SHA-256 of its list of shards' SHA-256."""
    return sha256_of(folder / SHARDS)
