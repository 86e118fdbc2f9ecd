"""The store of 256×256 records: tar shards of JPEGs or raw pixels in the WebDataset form.

A folder holds

- ``train-00000.tar`` …: pairs ``00000042.jpg`` (the picture; ``.rgb`` when it is raw: 256×256×3
  bytes, row after row) and ``00000042.cls`` (its label);
- ``records.parquet``: one row per record in storage order: split, shard, offset, size, label, name,
  encoding (``jpeg`` or ``raw``);
- ``shards.csv``: split, shard, records, bytes and SHA-256 of each shard;
- ``sums.npz``: what the training pixels added up to before they were encoded, for `rgb_pca`.
"""

import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import simplejpeg
from numpy.typing import NDArray

from alexnet.core.errors import UserError
from alexnet.core.files import add_to_tar, read_csv, read_parquet, replacing, sha256_of, write_table
from alexnet.core.sizes import PICTURE
from alexnet.store.made import read_made

SUFFIXES = {"jpeg": "jpg", "raw": "rgb"}
TABLE = "records.parquet"
COLUMNS = ["split", "shard", "offset", "size", "label", "name", "encoding"]
SHARDS = "shards.csv"


class Record(NamedTuple):
    """A picture on its way into the store: its label, its name in the index, and its encoded bytes.

    Without bytes it is skipped for the `reason`.
    """

    label: int
    name: str
    data: bytes | None
    reason: str = ""


def tar_name(split: str, number: int) -> str:
    return f"{split}-{number:05d}.tar"


def write_shard(
    folder: Path,
    split: str,
    number: int,
    records: Iterable[Record],
    encoding: str = "jpeg",
    first_key: int = 0,
) -> pd.DataFrame:
    """Write one shard, whole or not at all. The `records` are taken one by one and not kept.

    Args:
        first_key: the place of the first record in the order of the split, which names its files.

    Returns:
        A row of ``records.parquet`` for each record, and two columns more: reason, which is empty in what
        was stored, and the sha256 of the shard as it was written.
    """
    path = folder / tar_name(split, number)
    rows, suffix = [], SUFFIXES[encoding]
    with replacing(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, (label, name, data, reason) in enumerate(records, first_key):
            offset = 0
            if data is not None:
                offset = add_to_tar(tar, f"{key:08d}.{suffix}", data)
                add_to_tar(tar, f"{key:08d}.cls", str(label).encode())
            rows.append((split, number, offset, len(data or b""), label, name, encoding, reason))
    return pd.DataFrame(rows, columns=[*COLUMNS, "reason"]).assign(sha256=sha256_of(path))


def write_tables(folder: Path, rows: pd.DataFrame) -> None:
    """Write ``records.parquet`` and ``shards.csv`` of `folder`, from the `rows` that `write_shard` returned.

    A shard whose pictures were all skipped is not listed.
    """
    stored = rows[rows["reason"] == ""]
    write_table(folder / TABLE, stored[COLUMNS])
    shards = stored.groupby(["split", "shard", "sha256"], sort=False).size().rename("records").reset_index()
    paths = [folder / tar_name(row.split, row.shard) for row in shards.itertuples()]
    shards["bytes"] = [path.stat().st_size for path in paths]
    write_table(folder / SHARDS, shards[["split", "shard", "records", "bytes", "sha256"]])


@dataclass(frozen=True)
class Records:
    """One split of a store, its shards memory-mapped.

    Attributes:
        labels: int64 (records,), in storage order.
        names: the pictures' names in the index.
        encoding: ``jpeg`` or ``raw``.
    """

    labels: NDArray[np.int64]
    names: NDArray[np.str_]
    encoding: str
    _shards: list[NDArray[np.uint8]]
    _shard: NDArray[np.int64]
    _offset: NDArray[np.int64]
    _size: NDArray[np.int64]
    _opened: tuple[Path, str] | None = None

    def __reduce__(self) -> str | tuple[Any, ...]:
        # Another process maps the shards by itself. A changed copy is to have `_opened` None.
        return super().__reduce__() if self._opened is None else (open_records, self._opened)

    def __len__(self) -> int:
        return len(self.labels)

    def stored(self, record: int) -> NDArray[np.uint8]:
        """Return a view of a record in the mapped file: uint8 (256, 256, 3) if raw, else (size,)."""
        start = self._offset[record]
        data = self._shards[self._shard[record]][start : start + self._size[record]]
        return data.reshape(PICTURE, PICTURE, 3) if self.encoding == "raw" else data


def read_table(folder: Path) -> pd.DataFrame:
    """Read ``records.parquet`` of the store in `folder`.

    Raises:
        UserError: it is missing, damaged or of an older version.
    """
    rows = read_made(folder / TABLE, "preprocess", read_parquet)
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        raise UserError(
            f"{folder / TABLE}: no column {missing[0]}; made by another version, run dvc repro -f preprocess"
        )
    return rows


def read_shards(folder: Path) -> pd.DataFrame:
    """Read ``shards.csv`` of the store in `folder`.

    Raises:
        UserError: it is missing or damaged.
    """
    types = {"split": str, "shard": int, "records": int, "bytes": int, "sha256": str}
    return read_made(
        folder / SHARDS, "preprocess", lambda path: read_csv(path, dtype=types, usecols=list(types))
    )


def open_records(folder: str | Path, split: str) -> Records:
    """Open one split of the store in `folder`.

    Raises:
        UserError: the store is missing, damaged, of an older version, or has no such split.
    """
    folder = Path(folder)
    rows = read_table(folder)
    rows = rows[rows["split"] == split]
    if rows.empty:
        raise UserError(f"{folder}: no records of the split {split}")
    numbers, places = np.unique(rows["shard"], return_inverse=True)
    listed = read_shards(folder)
    sizes = listed[listed["split"] == split].set_index("shard")["bytes"]
    shards = [_mapped(folder / tar_name(split, number), sizes.get(number)) for number in numbers]
    return Records(
        labels=rows["label"].to_numpy(np.int64, copy=True),
        names=rows["name"].to_numpy(),
        encoding=str(rows["encoding"].iloc[0]),
        _shards=shards,
        _shard=places,
        _offset=rows["offset"].to_numpy(np.int64),
        _size=rows["size"].to_numpy(np.int64),
        _opened=(folder.absolute(), split),
    )


def _mapped(path: Path, listed: int | None) -> NDArray[np.uint8]:
    """Map a file of `listed` bytes, without keeping it open as NumPy does: ImageNet has too many."""
    import torch

    try:
        # To read beyond the end of a map would kill the process.
        if path.stat().st_size != listed:
            raise UserError(
                f"{path}: {path.stat().st_size:,} bytes, but {SHARDS} lists {listed or 0:,}: damaged. Run"
                " dvc repro -f preprocess."
            )
        return torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8).numpy()
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be opened ({reason}); run dvc repro -f preprocess") from None


def encode(picture: NDArray[np.uint8], quality: int, chroma: str, encoding: str = "jpeg") -> bytes:
    """Return `picture`, uint8 (256, 256, 3), as a record: baseline JPEG with `chroma`, or raw.

    Args:
        chroma: ``4:2:0`` or ``4:4:4``.
    """
    if encoding == "raw":
        return picture.tobytes()
    return simplejpeg.encode_jpeg(picture, quality, "RGB", chroma.replace(":", ""))


def decoded(records: Records, record: int) -> NDArray[np.uint8]:
    """Return a record's pixels, uint8 (256, 256, 3)."""
    stored = records.stored(record)
    return stored if records.encoding == "raw" else simplejpeg.decode_jpeg(stored, "RGB")


def store_fingerprint(folder: Path) -> str:
    """Return what stands for the store's contents: the SHA-256 of its list of shards' SHA-256."""
    return sha256_of(folder / SHARDS)
