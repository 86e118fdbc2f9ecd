"""Index to store: every picture decoded, squared, encoded and put in a seeded global order.

A shard is the unit of work, of restart and of equality: its pictures are a function of index and
seed alone, so any number of workers writes the same bytes, and finished shards survive a stop.
"""

from __future__ import annotations

import shutil
import time
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from alexnet.data.index import Index
from alexnet.data.raw import Place, read_picture
from alexnet.data.records import Record, shard_name, write_shard, write_tables
from alexnet.data.resize import BadPictureError, encode, to_square
from alexnet.draws import generator
from alexnet.errors import UserError
from alexnet.files import fingerprint, replacing, sole_writer
from alexnet.params.preprocess import Preprocess
from alexnet.progress import Progress, Style, duration

SPLITS = ("train", "val", "test")
NEEDED = ("train", "val")
# Enough pictures for an estimate within about a tenth, in well under a second.
TRIAL_PICTURES = 48


@dataclass(frozen=True)
class Outcome:
    """What became of the pictures.

    Attributes:
        counts: per split, pictures stored and skipped.
        skipped: a row per skipped picture: split, name, reason.
    """

    counts: dict[str, dict[str, int]]
    skipped: pd.DataFrame


class _Shard(NamedTuple):
    """One unit of work: which rows of the index go into which shard."""

    folder: Path
    root: Path
    split: str
    number: int
    first_key: int
    pictures: pd.DataFrame
    settings: Preprocess


def preprocess(
    root: Path,
    index: Index,
    settings: Preprocess,
    records: Path,
    state: Path,
    pool: Executor,
    style: Style = "auto",
    timeout_seconds: float = 600.0,
    workers: int = 1,
) -> Outcome:
    """Write the store of all pictures of `index` into the folder `records`.

    Finished shards are kept below `state` until all are there, then moved; a restart goes on.
    `workers`, how many `pool` has, serves the estimate of the time alone.

    Raises:
        UserError: more than `max_bad_fraction` of the pictures are bad, none of a split or class
            is left, the disk is too small, or another process does the same work.
    """
    key = fingerprint(
        index=[int(value) for value in pd.util.hash_pandas_object(index.pictures, index=False)],
        settings=settings.model_dump(exclude={"max_bad_fraction"}),
    )
    folder = state / key
    with sole_writer(folder, timeout_seconds):
        shards = _plan(root, index, settings, folder)
        waiting = [shard for shard in shards if not _finished(shard)]
        total = len(index.pictures)
        done = total - sum(len(shard.pictures) for shard in waiting)
        _say_what_it_needs(root, index, settings, folder, total - done, workers)
        with Progress("preprocess", total, style, done) as progress:
            for future in as_completed([pool.submit(_make_shard, shard) for shard in waiting]):
                progress.advance(future.result())
        rows = pd.concat([pd.read_parquet(_rows_path(shard)) for shard in shards], ignore_index=True)
        outcome = _outcome(rows, index, settings)
        _deliver(rows[rows["reason"] == ""].drop(columns="reason"), folder, records)
        shutil.rmtree(folder)
    return outcome


def _plan(root: Path, index: Index, settings: Preprocess, folder: Path) -> list[_Shard]:
    shards = []
    for split in SPLITS:
        pictures = index.pictures[index.pictures["split"] == split]
        order = generator(settings.seed, f"storage order of {split}").permutation(len(pictures))
        for number, first in enumerate(range(0, len(order), settings.shard_pictures)):
            chosen = pictures.iloc[order[first : first + settings.shard_pictures]]
            shards.append(_Shard(folder, root, split, number, first, chosen, settings))
    return shards


def _rows_path(shard: _Shard) -> Path:
    return shard.folder / f"{shard.split}-{shard.number:05d}.parquet"


def _finished(shard: _Shard) -> bool:
    tar = shard.folder / f"{shard_name(shard.split, shard.number)}.tar"
    return _rows_path(shard).exists() and tar.exists()


def _make_shard(shard: _Shard) -> int:
    """Write one shard and its rows; runs in a worker. Returns how many pictures it took."""
    cv2.setNumThreads(1)
    records, bad = [], []
    for position, row in enumerate(shard.pictures.itertuples()):
        try:
            picture = to_square(read_picture(shard.root, _place(row)))
        except BadPictureError as error:
            bad.append((shard.split, shard.number, 0, 0, row.label, row.name, str(error)))
            continue
        jpeg = encode(picture, shard.settings.jpeg_quality, shard.settings.chroma)
        records.append(Record(shard.first_key + position, jpeg, row.label, row.name))
    rows = write_shard(shard.folder, shard.split, shard.number, records).assign(reason="")
    rows = pd.concat([rows, pd.DataFrame(bad, columns=rows.columns)], ignore_index=True)
    with replacing(_rows_path(shard)) as temporary:
        rows.to_parquet(temporary, index=False)
    return len(shard.pictures)


def _place(row: Any) -> Place:
    return Place(row.path, row.packing, row.form, row.offset, row.size)


def _say_what_it_needs(
    root: Path, index: Index, settings: Preprocess, folder: Path, pictures: int, workers: int
) -> None:
    """Print disk and time of the work ahead, from a trial on a few pictures."""
    if pictures <= TRIAL_PICTURES:
        return
    chosen = generator(settings.seed, "trial").choice(len(index.pictures), TRIAL_PICTURES, replace=False)
    start, size, tried = time.perf_counter(), 0, 0
    for row in index.pictures.iloc[np.sort(chosen)].itertuples():
        try:
            picture = to_square(read_picture(root, _place(row)))
        except BadPictureError:
            continue
        tried += 1
        # Two tar headers, the label, and the padding of each to whole blocks.
        size += len(encode(picture, settings.jpeg_quality, settings.chroma)) + 1800
    if tried == 0:
        return
    seconds = (time.perf_counter() - start) / TRIAL_PICTURES * pictures / workers
    needed, free = size / tried * pictures, shutil.disk_usage(folder).free
    print(
        f"preprocess: {pictures:,} pictures need about {_gigabytes(needed)} of disk and"
        f" {duration(seconds)} with {workers} workers. DVC's cache then holds them a second time, unless"
        " cache.type is reflink, hardlink or symlink (for large data: dvc config cache.type hardlink).",
        flush=True,
    )
    if needed > free:
        raise UserError(
            f"{folder}: {_gigabytes(free)} free, about {_gigabytes(needed)} needed."
            " Free some, or take fewer pictures (data.classes, data.per_class)."
        )


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"


def _outcome(rows: pd.DataFrame, index: Index, settings: Preprocess) -> Outcome:
    bad = rows[rows["reason"] != ""]
    if len(bad) > settings.max_bad_fraction * len(rows):
        first = bad.iloc[0]
        raise UserError(
            f"preprocess.max_bad_fraction: {len(bad)} of {len(rows)} pictures are bad, allowed are"
            f" {settings.max_bad_fraction:g} of them; the first is {first['name']}: {first['reason']}"
        )
    good = rows[rows["reason"] == ""]
    counts = {}
    for split in SPLITS:
        stored, skipped = int((good["split"] == split).sum()), int((bad["split"] == split).sum())
        if split not in NEEDED and stored + skipped == 0:
            continue
        if stored == 0:
            raise UserError(f"no picture of the split {split} is left ({skipped} were bad)")
        counts[split] = {"pictures": stored, "skipped": skipped}
    labels = set(good["label"][good["split"] == "train"])
    for label, wnid in enumerate(index.classes["wnid"]):
        if label not in labels:
            raise UserError(f"class {wnid}: no training picture is left")
    skipped_rows = bad[["split", "name", "reason"]].sort_values(["split", "name"])
    return Outcome(counts, skipped_rows)


def _deliver(rows: pd.DataFrame, folder: Path, records: Path) -> None:
    for suffix in (".tar", ".idx"):
        for path in sorted(folder.glob("*" + suffix)):
            records.mkdir(parents=True, exist_ok=True)
            shutil.move(path, records / path.name)
    write_tables(records, rows.reset_index(drop=True))
