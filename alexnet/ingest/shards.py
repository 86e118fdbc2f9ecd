"""One shard: the pictures that its plan names, prepared and written in their order.

A shard is a function of its plan alone, so the same bytes come from any worker, any number of them, and
either way of reading. It is also the unit of restart: what was finished before a stop is kept.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from alexnet.core.draws import generator
from alexnet.core.errors import UserError
from alexnet.core.files import read_arrays, read_parquet, sha256_of, write_table
from alexnet.core.processes import keep_freed_memory
from alexnet.ingest.decode import read_picture
from alexnet.ingest.params import Preprocess
from alexnet.ingest.resize import to_square
from alexnet.ingest.stored import BadPictureError
from alexnet.store.index import SPLITS
from alexnet.store.records import Record, encode, tar_name, write_shard
from alexnet.store.statistics import Sums

# Bytes of the largest array whose memory serves the next picture: of ten million pixels.
KEPT = 31_000_000


class Shard(NamedTuple):
    """Which pictures, in storage order, go into which shard of the store in `folder`.

    `pictures` are rows of the index, or of the runs' tables (see `alexnet.ingest.scatter`).
    """

    folder: Path
    root: Path
    split: str
    number: int
    pictures: pd.DataFrame
    settings: Preprocess

    @property
    def name(self) -> str:
        return self.tar.stem

    @property
    def rows(self) -> Path:
        """The table that `write_shard` returned; written last."""
        return self.tar.with_suffix(".parquet")

    @property
    def tar(self) -> Path:
        return self.folder / tar_name(self.split, self.number)

    @property
    def finished(self) -> bool:
        return self.rows.exists() and self.tar.exists()

    @property
    def sound(self) -> bool:
        """Whether the shard and its table are as they were written."""
        try:
            return set(read_parquet(self.rows)["sha256"]) == {sha256_of(self.tar)}
        except (OSError, ValueError, KeyError):
            return False

    def write(self, records: Iterable[Record], sums: Sums | None = None) -> int:
        """Write `records` as this shard, then the sums of its pictures. Returns the number of pictures."""
        form, first_key = self.settings.encoding, self.number * self.settings.shard_pictures
        rows = write_shard(self.folder, self.split, self.number, records, form, first_key)
        if sums is not None:
            write_sums(self.folder, self.name, sums)
        write_table(self.rows, rows)
        return len(rows)


def plan_shards(folder: Path, root: Path, pictures: pd.DataFrame, settings: Preprocess) -> list[Shard]:
    """Put the pictures of each split in a seeded order and cut it into shards."""
    shards = []
    for split in SPLITS:
        own = pictures[pictures["split"] == split]
        order = generator(settings.seed, f"storage order of {split}").permutation(len(own))
        for number, first in enumerate(range(0, len(own), settings.shard_pictures)):
            chosen = own.iloc[order[first : first + settings.shard_pictures]]
            shards.append(Shard(folder, root, split, number, chosen, settings))
    return shards


def make_shard(shard: Shard) -> int:
    """Read, prepare and write one shard. Returns the number of pictures."""
    sums = Sums()
    return shard.write(prepare_pictures(shard.root, shard.pictures, shard.settings, sums), sums)


def prepare_pictures(
    root: Path, pictures: pd.DataFrame, settings: Preprocess, sums: Sums
) -> Iterator[Record]:
    """Yield the record of each row of the index, and add the training pictures to `sums`."""
    expect_many_pictures()
    row: Any
    for row in pictures.itertuples():
        try:
            square = to_square(read_picture(root, row))
        except BadPictureError as error:
            yield Record(row.label, row.name, None, str(error))
            continue
        if row.split == "train":
            sums.add_picture(square)
        data = encode(square, settings.jpeg_quality, settings.chroma, settings.encoding)
        yield Record(row.label, row.name, data)


def expect_many_pictures() -> None:
    """Set this process up for pictures one after another: in one thread each, in memory that it keeps."""
    cv2.setNumThreads(1)
    keep_freed_memory(KEPT)


def write_sums(folder: Path, name: str, sums: Sums) -> None:
    """Write the `sums` of a shard or run beside it, if it holds training pictures."""
    if sums.images:
        sums.write(folder / f"{name}.sums.npz")


class SumsLedger:
    """The sums of all that is finished, in one file: kept apart, they would fill a disk."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "merged.npz"
        self.total, self._merged = Sums(), set[str]()
        if self._path.exists():
            self.total = self._read(self._path)
            self._merged = set(read_arrays(self._path)["names"].tolist())

    def add(self, name: str) -> None:
        """Count the sums of a finished shard or run, once, and drop its own file."""
        path = self._folder / f"{name}.sums.npz"
        if path.exists() and name not in self._merged:
            self.total.add(self._read(path))
            self._merged.add(name)
            self.total.write(self._path, names=np.array(sorted(self._merged), dtype=str))
        path.unlink(missing_ok=True)

    def _read(self, path: Path) -> Sums:
        try:
            return Sums.read(path)
        except (OSError, ValueError, KeyError) as error:
            where = f"Remove {self._folder} and run dvc repro again."
            raise UserError(f"{path}: damaged ({error}). {where}") from None
