"""Index to store: every picture decoded, squared, encoded and put in a seeded global order.

A shard is the unit of equality and of restart: its pictures are a function of index and seed
alone, so any number of workers writes the same bytes, and finished shards survive a stop. The
pictures of a shard lie all over the source. Either a worker seeks for each of them (`seek`), or the
source is read once in its own order and the shards are gathered from pieces (`scatter`); then
finished pieces survive a stop as well.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from alexnet.core.code import sha256_of_code
from alexnet.core.draws import generator
from alexnet.core.errors import UserError
from alexnet.core.files import fingerprint, sole_writer
from alexnet.core.machine import Shuffle
from alexnet.core.progress import Progress, Style, duration
from alexnet.ingest.params import Preprocess
from alexnet.ingest.resize import BadPictureError
from alexnet.ingest.shards import (
    Run,
    Shard,
    SumsLedger,
    gather_shard,
    make_run,
    make_shard,
    prepared_square,
    stored_form,
)
from alexnet.store.index import Index
from alexnet.store.records import shard_name, write_tables
from alexnet.store.statistics import SUMS

SPLITS = ("train", "val", "test")
NEEDED = ("train", "val")
# Enough pictures for an estimate within about a tenth, in well under a second.
TRIAL_PICTURES = 48
# A run is read in one go: long against a seek, short against what a stop loses.
RUN_PICTURES = 8192
# A bucket's pictures are gathered while they are still in memory; each is an open file while a run is made.
BUCKET_PICTURES = 4096
MAX_BUCKETS = 400

Unit = TypeVar("Unit", Run, Shard)


@dataclass(frozen=True)
class Outcome:
    """What became of the pictures.

    Attributes:
        counts: per split, pictures stored and skipped.
        skipped: a row per skipped picture: split, name, reason.
    """

    counts: dict[str, dict[str, int]]
    skipped: pd.DataFrame


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
    shuffle: Shuffle = "seek",
) -> Outcome:
    """Write the store of all pictures of `index` into the folder `records`.

    Finished work is kept below `state` until all is there, then moved; a restart goes on.
    `workers`, how many `pool` has, serves the estimate of the time alone.

    Raises:
        UserError: more than `max_bad_fraction` of the pictures are bad, none of a split or class
            is left, the disk is too small or cannot be written, or another process does the same work.
    """
    key = fingerprint(
        index=[int(value) for value in pd.util.hash_pandas_object(index.pictures, index=False)],
        settings=settings.model_dump(exclude={"max_bad_fraction"}),
        shuffle=shuffle,
        code=sha256_of_code("preprocess"),
    )
    folder = state / key
    with sole_writer(folder, timeout_seconds):
        shards = _plan(root, index, settings, folder)
        runs = _plan_runs(shards, root, settings, folder) if shuffle == "scatter" else []
        _say_what_it_needs(root, index, settings, folder, shards, runs, workers)
        ledger = SumsLedger(folder)
        if runs:
            _finish(pool, make_run, runs, "preprocess, reading", style, ledger.add)
            _gather(pool, shards, runs, folder, style)
        else:
            _finish(pool, make_shard, shards, "preprocess", style, ledger.add)
        ledger.settle()
        rows = pd.concat([pd.read_parquet(shard.rows) for shard in shards], ignore_index=True)
        outcome = _outcome(rows, index, settings)
        ledger.total.write(folder / SUMS)
        _deliver(rows[rows["reason"] == ""].drop(columns="reason"), folder, records)
        shutil.rmtree(folder)
    return outcome


def _plan(root: Path, index: Index, settings: Preprocess, folder: Path) -> list[Shard]:
    shards = []
    for split in SPLITS:
        pictures = index.pictures[index.pictures["split"] == split]
        order = generator(settings.seed, f"storage order of {split}").permutation(len(pictures))
        for number, first in enumerate(range(0, len(order), settings.shard_pictures)):
            chosen = pictures.iloc[order[first : first + settings.shard_pictures]]
            shards.append(Shard(folder, root, split, number, first, chosen, settings))
    return shards


def _plan_runs(shards: list[Shard], root: Path, settings: Preprocess, folder: Path) -> list[Run]:
    together = max(1, BUCKET_PICTURES // settings.shard_pictures, -(-len(shards) // MAX_BUCKETS))
    parts = [
        shard.pictures.assign(
            position=np.arange(shard.first_key, shard.first_key + len(shard.pictures)),
            bucket=number // together,
        )
        for number, shard in enumerate(shards)
    ]
    pictures = pd.concat(parts, ignore_index=True).sort_values(["path", "offset"], ignore_index=True)
    return [
        Run(folder, root, number, pictures.iloc[first : first + RUN_PICTURES], settings)
        for number, first in enumerate(range(0, len(pictures), RUN_PICTURES))
    ]


def _finish(
    pool: Executor,
    make: Callable[[Unit], int],
    units: Sequence[Unit],
    label: str,
    style: Style,
    finished: Callable[[str], None],
) -> None:
    """Have `pool` make all units that are not finished, and tell `finished` the name of each that is."""
    total = sum(len(unit.pictures) for unit in units)
    waiting = [unit for unit in units if not unit.finished]
    for unit in units:
        if unit.finished:
            finished(unit.name)
    with Progress(label, total, style, total - sum(len(unit.pictures) for unit in waiting)) as progress:
        futures = {pool.submit(make, unit): unit for unit in waiting}
        try:
            for future in as_completed(futures):
                progress.advance(future.result())
                finished(futures[future].name)
        except BrokenExecutor:
            raise UserError(
                "preprocess: a worker process was ended from outside, often for want of memory. What is"
                " finished is kept: run again, with fewer workers (machine.yaml) if it happens again."
            ) from None
        finally:
            # After an error nobody wants the rest.
            for future in futures:
                future.cancel()


def _gather(pool: Executor, shards: list[Shard], runs: list[Run], folder: Path, style: Style) -> None:
    """Make the shards from the finished runs; a bucket's pieces go when its last shard is there."""
    rows = pd.concat([pd.read_parquet(run.rows) for run in runs], ignore_index=True)
    rows = rows.sort_values(["split", "position"], ignore_index=True)
    first_row = {split: int(rows["split"].searchsorted(split)) for split in SPLITS}
    planned, left, bucket_of = [], dict[int, int](), dict[str, int]()
    for shard in shards:
        start = first_row[shard.split] + shard.first_key
        planned.append(shard._replace(pictures=rows.iloc[start : start + len(shard.pictures)]))
        bucket = bucket_of[shard.name] = int(rows["bucket"].iloc[start])
        left[bucket] = left.get(bucket, 0) + 1

    def finished(name: str) -> None:
        bucket = bucket_of[name]
        left[bucket] -= 1
        if left[bucket] == 0:
            for run in runs:
                (folder / run.name / f"{bucket:05d}").unlink(missing_ok=True)

    _finish(pool, gather_shard, planned, "preprocess, gathering", style, finished)


def _say_what_it_needs(
    root: Path,
    index: Index,
    settings: Preprocess,
    folder: Path,
    shards: list[Shard],
    runs: list[Run],
    workers: int,
) -> None:
    """Print disk and time of the work ahead, from a trial on a few pictures."""
    pictures = sum(len(unit.pictures) for unit in (runs or shards) if not unit.finished)
    if pictures <= TRIAL_PICTURES:
        return
    chosen = generator(settings.seed, "trial").choice(len(index.pictures), TRIAL_PICTURES, replace=False)
    start, size, tried = time.perf_counter(), 0, 0
    for row in index.pictures.iloc[np.sort(chosen)].itertuples():
        try:
            picture = prepared_square(root, row)
        except BadPictureError:
            continue
        tried += 1
        # Two tar headers, the label, and the padding of each to whole blocks.
        size += len(stored_form(picture, settings)) + 1800
    if tried == 0:
        return
    seconds = (time.perf_counter() - start) / TRIAL_PICTURES * pictures / workers
    needed, free = size / tried * pictures, shutil.disk_usage(folder).free
    how = "one seek a picture; on a spinning disk rather shuffle: scatter"
    if runs:
        # While a bucket is gathered it is there twice.
        needed *= 1 + 1 / (1 + int(runs[-1].pictures["bucket"].max()))
        how = "in the order of the source"
    print(
        f"preprocess: {pictures:,} pictures need about {_gigabytes(needed)} of disk and"
        f" {duration(seconds)} with {workers} workers, reading {how} (machine.yaml). DVC's cache then holds"
        " them a second time, unless cache.type is reflink, hardlink or symlink (for large data:"
        " dvc config cache.type hardlink).",
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
    # A shard whose pictures were all skipped stays behind: the store's tables do not know it.
    shards = rows[["split", "shard"]].drop_duplicates().itertuples(index=False)
    names = [f"{shard_name(*shard)}.{suffix}" for shard in shards for suffix in ("tar", "idx")]
    try:
        records.mkdir(parents=True, exist_ok=True)
        for name in [*names, SUMS]:
            _also_at(folder / name, records / name)
    except OSError as error:
        raise UserError(f"{records}: cannot be written: {error.strerror or error}") from error
    write_tables(records, rows.reset_index(drop=True))


def _also_at(path: Path, target: Path) -> None:
    """Give a file a second name; the first goes when all is delivered, so a stop here loses nothing."""
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(path, target)
