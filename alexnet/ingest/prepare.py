"""From the index to the store: every picture decoded, resized, encoded and put in a seeded global order.

The work is spread over processes and survives a stop: what is finished stays below a folder of state
until all of it is there, and is then moved to its place. Either a worker reads the pictures of a shard
where they lie (`seek`), or the source is read once in its own order (`scatter`).
"""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd

from alexnet.core.code import sha256_of_code
from alexnet.core.draws import generator
from alexnet.core.errors import UserError
from alexnet.core.files import (
    fingerprint,
    naming_what_cannot_be_written,
    read_parquet,
    sha256_of,
    sole_writer,
    state_of,
    write_checked_json,
    write_table,
)
from alexnet.core.machine import Machine
from alexnet.core.places import STATE
from alexnet.core.processes import executor
from alexnet.core.progress import Progress, Style, bytes_in_words, duration
from alexnet.core.terminal import say
from alexnet.ingest.params import Preprocess
from alexnet.ingest.raw_files import identity, is_remote, parts_of, root_of
from alexnet.ingest.scatter import Bucket, Run, gather_bucket, make_run, plan_buckets, plan_runs
from alexnet.ingest.shards import Shard, SumsLedger, make_shard, plan_shards, prepare_pictures
from alexnet.ingest.stored import is_read_in_order
from alexnet.store.counts import Counts, SplitCounts
from alexnet.store.index import SPLITS, Index, read_index
from alexnet.store.records import tar_name, write_tables
from alexnet.store.statistics import SUMS, Sums

NEEDED = ("train", "val")
SKIPPED_COLUMNS = ["split", "name", "reason"]
# Enough pictures for an estimate within about a tenth, in well under a second.
TRIAL_PICTURES = 48
# Bytes above which it matters how disks are used.
LARGE = 10_000_000_000
# What one worker makes at once.
Unit = TypeVar("Unit", Shard, Run, Bucket)


class BadPicturesError(UserError):
    """So many pictures are bad that there is no store; `skipped` has split, name and reason of each."""

    def __init__(self, message: str, skipped: pd.DataFrame) -> None:
        super().__init__(message)
        self.skipped = skipped


class Outcome(NamedTuple):
    """How many pictures of each split were stored and skipped, and split, name and reason of the latter."""

    counts: dict[str, SplitCounts]
    skipped: pd.DataFrame


def prepare_index(
    settings: Preprocess, machine: Machine, index: Path, records: Path, counts: Path, skipped: Path
) -> None:
    """Write the store of the index in the folder `index`, and what was stored and skipped; see `prepare`."""
    found = read_index(index)

    def list_skipped(bad: pd.DataFrame) -> None:
        # A file that is no picture belongs to no split.
        write_table(skipped, pd.concat([bad, found.left_out.assign(split="")])[SKIPPED_COLUMNS])

    try:
        with executor(machine) as pool:
            outcome = prepare(found, settings, machine, records, STATE.absolute() / "preprocess", pool)
    except BadPicturesError as error:
        list_skipped(error.skipped)
        raise UserError(f"{error}. {skipped} lists all bad pictures") from None
    list_skipped(outcome.skipped)
    described = Counts(
        layout=found.layout,
        classes=len(found.classes),
        splits=outcome.counts,
        skipped_sha256=sha256_of(skipped),
    )
    write_checked_json(counts, described.model_dump())


def prepare(
    index: Index, settings: Preprocess, machine: Machine, records: Path, state: Path, pool: Executor
) -> Outcome:
    """Write the store of all pictures of `index` into the folder `records`.

    Finished work is kept below `state` until all is there, then moved. A restart resumes it, unless the
    files of the source have changed since.

    Raises:
        BadPicturesError: more than `max_bad_fraction` of the pictures are bad, or none of a split or class
            is left.
        UserError: a file of the source cannot be read, the disk is too small or cannot be written, or
            another process does the same work.
    """
    root, style = root_of(machine.data_root), machine.progress
    if not is_remote(root):
        # Workers of a cluster may have been started in another folder.
        root = root.absolute()
    in_order = is_read_in_order(root, index.pictures)
    if in_order and machine.shuffle == "seek":
        say("preprocess: the files of this source are read once in their own order, as with shuffle: scatter")
    shuffle = "scatter" if in_order else machine.shuffle
    key = fingerprint(
        index=[int(value) for value in pd.util.hash_pandas_object(index.pictures, index=False)],
        source=_state_of_source(root, index.pictures),
        settings=settings.model_dump(exclude={"max_bad_fraction"}),
        shuffle=shuffle,
        code=sha256_of_code("preprocess"),
    )
    folder = state / key
    with sole_writer(folder, machine.timeout_seconds):
        shards = plan_shards(folder, root, index.pictures, settings)
        runs = plan_runs(shards) if shuffle == "scatter" else []
        _say_what_it_needs(index.pictures, in_order, shards, runs, machine.worker_count)
        ledger = SumsLedger(folder)
        if runs:
            _make(pool, make_run, runs, "preprocess, reading", style, ledger.add)
            _make(pool, gather_bucket, plan_buckets(shards, runs), "preprocess, gathering", style)
        else:
            _make(pool, make_shard, shards, "preprocess", style, ledger.add)
        _make_damaged_again(pool, shards, style)
        rows = pd.concat([read_parquet(shard.rows) for shard in shards], ignore_index=True)
        outcome = _outcome(rows, index, settings)
        if ledger.total.images != outcome.counts["train"].pictures:
            raise UserError(f"{folder}: sums of shards are missing. Remove it and run dvc repro again.")
        ledger.total.write(folder / SUMS)
        _deliver(rows, folder, records)
        _remove(folder, runs, shards)
    return outcome


def _make(
    pool: Executor,
    make: Callable[[Unit], int],
    units: Sequence[Unit],
    label: str,
    style: Style,
    finished: Callable[[str], None] = lambda _: None,
) -> None:
    """Have `pool` make all units that are not finished, and call `finished` with the name of each that is."""
    waiting = []
    for unit in units:
        if unit.finished:
            finished(unit.name)
        else:
            waiting.append(unit)
    total, left = (sum(len(unit.pictures) for unit in some) for some in (units, waiting))
    with Progress(label, total, style, total - left) as progress:
        futures = {pool.submit(make, unit): unit.name for unit in waiting}
        for future in as_completed(futures):
            progress.advance(future.result())
            finished(futures[future])


def _state_of_source(root: Path, pictures: pd.DataFrame) -> str:
    """Return what changes when `root`, or a file in it that holds pictures, is another than before."""
    files = [root / path for path in sorted(pictures["path"].unique())]
    if is_remote(root):
        return fingerprint(root=str(root), files=[identity(path) for path in files])
    try:
        return str(root.resolve()) + state_of(part for path in files for part in parts_of(path))
    except OSError as error:
        raise UserError(
            f"{error.filename}: {error.strerror or error}, but it is in the index. Bring it back, or run"
            " dvc repro -f index."
        ) from None


def _make_damaged_again(pool: Executor, shards: list[Shard], style: Style) -> None:
    """Make the shards again whose bytes have changed since they were written."""
    damaged = [shard for shard in shards if not shard.sound]
    for shard in damaged:
        say(f"preprocess: {shard.tar}: damaged, so it is made again")
        shard.rows.unlink(missing_ok=True)
    if damaged:
        # The sums of its pictures were counted when it was first made.
        _make(pool, make_shard, damaged, "preprocess, again", style)


def _say_what_it_needs(
    pictures: pd.DataFrame, in_order: bool, shards: list[Shard], runs: list[Run], workers: int
) -> None:
    """Print disk and time of the work ahead, from a trial on a few pictures."""
    left = sum(len(unit.pictures) for unit in (runs or shards) if not unit.finished)
    trial = _trial(pictures, in_order, shards[0]) if left > TRIAL_PICTURES else None
    if trial is None:
        return
    seconds, needed = trial[0] * left / workers, trial[1] * left
    how = "by one seek per picture; on a spinning disk rather shuffle: scatter"
    if runs:
        # While a bucket is gathered it is there twice.
        needed *= 1 + 1 / (1 + int(runs[-1].pictures["bucket"].max()))
        how = "in the order of the source"
    say(
        f"preprocess: {left:,} pictures need about {bytes_in_words(needed)} of disk and"
        f" {duration(seconds)} with {workers} workers"
    )
    if needed > LARGE:
        say(
            f"preprocess: the pictures are read {how} (machine.yaml). DVC's cache then holds the"
            " records a second time, unless cache.type is reflink, hardlink or symlink (dvc config"
            " cache.type hardlink)."
        )
    free = shutil.disk_usage(shards[0].folder).free
    if needed > free:
        raise UserError(
            f"{shards[0].folder}: {bytes_in_words(free)} free, about {bytes_in_words(needed)} needed."
            " Free some, or take fewer pictures (data.classes, data.per_class)."
        )


def _trial(pictures: pd.DataFrame, in_order: bool, shard: Shard) -> tuple[float, float] | None:
    """Return the seconds and bytes that one picture takes, measured on a few; None if none can be read."""
    if in_order:
        chosen = np.lexsort((pictures["offset"], pictures["path"]))[:TRIAL_PICTURES]
    else:
        chosen = generator(shard.settings.seed, "trial").choice(len(pictures), TRIAL_PICTURES, replace=False)
    trial = pictures.iloc[np.sort(chosen)]
    start = time.perf_counter()
    sizes = [
        len(record.data)
        for record in prepare_pictures(shard.root, trial, shard.settings, Sums())
        if record.data
    ]
    # Two tar headers, the label, and the padding of each to whole blocks.
    return ((time.perf_counter() - start) / TRIAL_PICTURES, float(np.mean(sizes)) + 1800) if sizes else None


def _remove(folder: Path, runs: list[Run], shards: list[Shard]) -> None:
    # First what says that work is finished: a stop here must not leave that without the work itself.
    for rows in [*(run.rows for run in runs), *(shard.rows for shard in shards)]:
        rows.unlink()
    shutil.rmtree(folder)


def _outcome(rows: pd.DataFrame, index: Index, settings: Preprocess) -> Outcome:
    good, bad = rows[rows["reason"] == ""], rows[rows["reason"] != ""]
    skipped = bad[SKIPPED_COLUMNS].sort_values(["split", "name"])
    if len(bad) > settings.max_bad_fraction * len(rows):
        first = skipped.iloc[0]
        raise BadPicturesError(
            f"preprocess.max_bad_fraction: {len(bad)} of {len(rows)} pictures are bad, allowed are"
            f" {settings.max_bad_fraction:g} of them; the first is {first['name']}: {first['reason']}."
            " Mend or remove the bad pictures, or allow more",
            skipped,
        )
    counts = {}
    for split in SPLITS:
        stored, lost = int((good["split"] == split).sum()), int((bad["split"] == split).sum())
        if split not in NEEDED and stored + lost == 0:
            continue
        if stored == 0:
            raise BadPicturesError(f"no picture of the split {split} is left ({lost} were bad)", skipped)
        counts[split] = SplitCounts(pictures=stored, skipped=lost)
    labels = set(good["label"][good["split"] == "train"])
    for label, wnid in enumerate(index.classes["wnid"]):
        if label not in labels:
            raise BadPicturesError(f"class {wnid}: no training picture is left", skipped)
    return Outcome(counts, skipped)


def _deliver(rows: pd.DataFrame, folder: Path, records: Path) -> None:
    # A shard whose pictures were all skipped stays behind: the store's tables do not know it.
    stored = rows.loc[rows["reason"] == "", ["split", "shard"]].drop_duplicates()
    names = [tar_name(row.split, row.shard) for row in stored.itertuples()]
    with naming_what_cannot_be_written(records):
        records.mkdir(parents=True, exist_ok=True)
        for name in [*names, SUMS]:
            path, target = folder / name, records / name
            target.unlink(missing_ok=True)
            # A second name: the first goes when all is delivered, so a stop here loses nothing.
            try:
                os.link(path, target)
            except OSError:
                # Another file system, or one without links.
                shutil.copyfile(path, target)
    write_tables(records, rows)
