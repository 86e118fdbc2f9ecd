"""What workers do with raw pictures: whole shards at once, or runs of source order gathered later.

Either way a shard is a function of its plan alone, so both write the same bytes.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from alexnet.core.errors import UserError
from alexnet.core.files import partial_of, replacing
from alexnet.ingest.params import Preprocess
from alexnet.ingest.raw import Place, read_picture
from alexnet.ingest.resize import BadPictureError, Picture, encode, expect_many_pictures, to_square
from alexnet.store.records import Record, shard_name, write_shard
from alexnet.store.statistics import Sums


class Prepared(NamedTuple):
    """A picture's place in the order, its label and name, and its bytes or why there are none."""

    label: int
    name: str
    data: bytes | None
    reason: str


class Shard(NamedTuple):
    """Which rows, in storage order, go into which shard of the store in `folder`.

    `pictures` are rows of the index, or with `gather_shard` rows of the runs' tables.
    """

    folder: Path
    root: Path
    split: str
    number: int
    first_key: int
    pictures: pd.DataFrame
    settings: Preprocess

    @property
    def name(self) -> str:
        return shard_name(self.split, self.number)

    @property
    def rows(self) -> Path:
        """The shard's rows of the store's table, skipped pictures among them; written last."""
        return self.folder / f"{self.name}.parquet"

    @property
    def finished(self) -> bool:
        return self.rows.exists() and (self.folder / f"{self.name}.tar").exists()


class Run(NamedTuple):
    """Consecutive pictures of the source: rows of the index, with their position and bucket."""

    folder: Path
    root: Path
    number: int
    pictures: pd.DataFrame
    settings: Preprocess

    @property
    def name(self) -> str:
        return f"run-{self.number:05d}"

    @property
    def rows(self) -> Path:
        """The run's table: split, position, bucket, label, name, offset, size, check, reason."""
        return self.folder / self.name / "rows.parquet"

    @property
    def finished(self) -> bool:
        return self.rows.exists()


def sums_path(folder: Path, name: str) -> Path:
    """Return where a shard or run leaves the sums of its training pictures."""
    return folder / f"{name}.sums.npz"


def prepared_square(root: Path, row: Any) -> Picture:
    """Return the 256×256 picture of a row of the index.

    Raises:
        BadPictureError: there is none; the message is the reason.
    """
    return to_square(read_picture(root, Place(row.path, row.packing, row.form, row.offset, row.size)))


def stored_form(picture: Picture, settings: Preprocess) -> bytes:
    """Return the bytes of `picture` as the store holds them."""
    if settings.encoding == "raw":
        return picture.tobytes()
    return encode(picture, settings.jpeg_quality, settings.chroma)


def make_shard(shard: Shard) -> int:
    """Read, prepare and write one shard. Returns how many pictures it took."""
    sums = Sums()
    _write(shard, _prepare(shard.root, shard.pictures, shard.settings, sums), sums)
    return len(shard.pictures)


def make_run(run: Run) -> int:
    """Prepare a run, its pictures appended to one file a bucket. Returns how many pictures it took.

    So the source is read in its own order, and a bucket's shards find their pictures in a few
    long pieces: no disk has to seek for every picture.
    """
    partial = partial_of(run.folder / run.name)
    partial.mkdir(parents=True)
    sums, rows = Sums(), []
    buckets: dict[int, BinaryIO] = {}
    try:
        done = _prepare(run.root, run.pictures, run.settings, sums)
        for row, item in zip(run.pictures.itertuples(), done, strict=True):
            place: Any = row
            offset, data = 0, item.data or b""
            if data:
                file = buckets.get(place.bucket) or (partial / f"{place.bucket:05d}").open("wb")
                buckets[place.bucket] = file
                offset = file.tell()
                file.write(data)
            about = (place.split, place.position, place.bucket, item.label, item.name)
            rows.append((run.number, *about, offset, len(data), zlib.crc32(data), item.reason))
    except OSError as error:
        raise UserError(f"{partial}: cannot be written: {error.strerror or error}") from error
    finally:
        for file in buckets.values():
            file.close()
    columns = ["run", "split", "position", "bucket", "label", "name", "offset", "size", "check", "reason"]
    _write_sums(run.folder, run.name, sums)
    pd.DataFrame(rows, columns=columns).to_parquet(partial / "rows.parquet", index=False)
    try:
        partial.replace(run.folder / run.name)
    except OSError:
        # On a cluster the task of a stage that was killed may still have been at it; both write the same.
        shutil.rmtree(partial)
        if not run.finished:
            raise
    return len(run.pictures)


def gather_shard(shard: Shard) -> int:
    """Write one shard from the runs' files. Returns how many pictures it took."""
    _write(shard, _gathered(shard), None)
    return len(shard.pictures)


def _prepare(root: Path, pictures: pd.DataFrame, settings: Preprocess, sums: Sums) -> Iterator[Prepared]:
    expect_many_pictures()
    row: Any
    for row in pictures.itertuples():
        try:
            picture = prepared_square(root, row)
        except BadPictureError as error:
            yield Prepared(row.label, row.name, None, str(error))
            continue
        if row.split == "train":
            sums.add_picture(picture)
        yield Prepared(row.label, row.name, stored_form(picture, settings), "")


def _gathered(shard: Shard) -> Iterator[Prepared]:
    row: Any
    for row in shard.pictures.itertuples():
        if row.reason:
            yield Prepared(row.label, row.name, None, row.reason)
            continue
        run = shard.folder / f"run-{row.run:05d}"
        try:
            with (run / f"{row.bucket:05d}").open("rb") as file:
                file.seek(row.offset)
                data = file.read(row.size)
        except OSError:
            data = b""
        if zlib.crc32(data) != row.check:
            raise UserError(f"{run}: damaged. Remove this folder and run dvc repro again.")
        yield Prepared(row.label, row.name, data, "")


def _write(shard: Shard, items: Iterable[Prepared], sums: Sums | None) -> None:
    """Write `items`, in storage order, as a shard, then its sums, then its rows."""
    bad: list[tuple[str, int, int, int, int, str, str, str]] = []
    encoding = shard.settings.encoding

    def good() -> Iterator[Record]:
        for key, item in enumerate(items, shard.first_key):
            if item.data is None:
                bad.append((shard.split, shard.number, 0, 0, item.label, item.name, encoding, item.reason))
            else:
                yield Record(key, item.data, item.label, item.name)

    rows = write_shard(shard.folder, shard.split, shard.number, good(), encoding).assign(reason="")
    if sums is not None:
        _write_sums(shard.folder, shard.name, sums)
    rows = pd.concat([rows, pd.DataFrame(bad, columns=rows.columns)], ignore_index=True)
    with replacing(shard.rows) as temporary:
        rows.to_parquet(temporary, index=False)


def _write_sums(folder: Path, name: str, sums: Sums) -> None:
    if sums.images:
        sums.write(sums_path(folder, name))


class SumsLedger:
    """The sums of what is finished, units merged into one file as they come: kept, they would fill a disk."""

    MERGED_AT_ONCE = 32

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "merged.npz"
        self._waiting: list[str] = []
        self.total, self._merged = Sums(), set[str]()
        if self._path.exists():
            self.total = Sums.read(self._path)
            with np.load(self._path) as arrays:
                self._merged = set(arrays["units"].tolist())

    def add(self, name: str) -> None:
        """Count the sums of a finished unit, once."""
        if name not in self._merged and sums_path(self._folder, name).exists():
            self.total.add(Sums.read(sums_path(self._folder, name)))
            self._merged.add(name)
            self._waiting.append(name)
            if len(self._waiting) == self.MERGED_AT_ONCE:
                self.settle()

    def settle(self) -> None:
        """Write the merged sums down, with the names of the units in them, and drop those units' own."""
        self.total.write(self._path, units=np.array(sorted(self._merged), dtype=str))
        for name in self._waiting:
            sums_path(self._folder, name).unlink(missing_ok=True)
        self._waiting = []
