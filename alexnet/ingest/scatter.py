"""Reading the source once in its own order: first runs of pictures are prepared, then the shards gathered.

The pictures of a shard lie all over the source. A run is a stretch of the source; its records are appended
to one file per bucket, which is a few consecutive shards. So a bucket's shards find their records in a few
long pieces, and no disk has to seek for every picture. Finished runs survive a stop as finished shards do.
"""

import contextlib
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.core.files import naming_what_cannot_be_written, partial_of, read_parquet, write_table
from alexnet.ingest.params import Preprocess
from alexnet.ingest.shards import Shard, prepare_pictures, write_sums
from alexnet.store.records import Record
from alexnet.store.statistics import Sums

# A run is read in one go: long against a seek, short against what a stop loses.
RUN_PICTURES = 8192
# A bucket's pictures are gathered while they are still in memory; each is an open file while a run is made.
BUCKET_PICTURES = 4096
MAX_BUCKETS = 400


class Run(NamedTuple):
    """Consecutive pictures of the source: rows of the index, with their shard, position in it, and bucket."""

    folder: Path
    root: Path
    name: str
    pictures: pd.DataFrame
    settings: Preprocess

    @property
    def rows(self) -> Path:
        """The run's table: where in the bucket's file each record lies."""
        return self.folder / self.name / "rows.parquet"

    @property
    def finished(self) -> bool:
        return self.rows.exists()


class Bucket(NamedTuple):
    """Consecutive shards that are gathered together; their pictures are rows of the runs' tables."""

    name: str
    shards: list[Shard]

    @property
    def pictures(self) -> pd.DataFrame:
        return pd.concat([shard.pictures for shard in self.shards])

    @property
    def finished(self) -> bool:
        return all(shard.finished for shard in self.shards)


def plan_runs(shards: list[Shard]) -> list[Run]:
    """Cut the pictures of all `shards`, in the order of the source, into runs."""
    folder, root, *_, settings = shards[0]
    together = max(1, BUCKET_PICTURES // settings.shard_pictures, -(-len(shards) // MAX_BUCKETS))
    parts = [
        shard.pictures.assign(shard=number, position=range(len(shard.pictures)), bucket=number // together)
        for number, shard in enumerate(shards)
    ]
    pictures = pd.concat(parts, ignore_index=True).sort_values(["path", "offset"], ignore_index=True)
    return [
        Run(folder, root, f"run-{number:05d}", pictures.iloc[first : first + RUN_PICTURES], settings)
        for number, first in enumerate(range(0, len(pictures), RUN_PICTURES))
    ]


def make_run(run: Run) -> int:
    """Prepare a run, its records appended to one file per bucket. Returns the number of pictures."""
    partial = partial_of(run.folder / run.name)
    partial.mkdir(parents=True)
    sums, places = Sums(), []
    files: dict[int, BinaryIO] = {}
    with naming_what_cannot_be_written(partial), contextlib.ExitStack() as stack:
        records = prepare_pictures(run.root, run.pictures, run.settings, sums)
        for bucket, record in zip(run.pictures["bucket"].tolist(), records, strict=True):
            data, offset = record.data or b"", 0
            if data:
                if bucket not in files:
                    files[bucket] = stack.enter_context((partial / str(bucket)).open("wb"))
                offset = files[bucket].tell()
                files[bucket].write(data)
            places.append((offset, len(data), zlib.crc32(data), record.reason))
    write_sums(run.folder, run.name, sums)
    rows = run.pictures[["shard", "position", "bucket", "label", "name"]].reset_index(drop=True)
    found = pd.DataFrame(places, columns=["offset", "size", "check", "reason"])
    write_table(partial / run.rows.name, rows.assign(run=run.name).join(found))
    try:
        partial.replace(run.folder / run.name)
    except OSError:
        # On a cluster the task of a stage that was killed may still have been running; both write the same.
        shutil.rmtree(partial)
        if not run.finished:
            raise
    return len(run.pictures)


def plan_buckets(shards: list[Shard], runs: list[Run]) -> list[Bucket]:
    """Plan the gathering of `shards` from the finished `runs`."""
    try:
        rows = pd.concat([read_parquet(run.rows) for run in runs], ignore_index=True)
    except ValueError as error:
        raise UserError(f"{error}. Remove {shards[0].folder} and run dvc repro again.") from None
    rows = rows.sort_values(["shard", "position"], ignore_index=True)
    return [
        Bucket(str(number), [shards[place]._replace(pictures=part) for place, part in own.groupby("shard")])
        for number, own in rows.groupby("bucket")
    ]


def gather_bucket(bucket: Bucket) -> int:
    """Write the shards of `bucket` and drop the pieces they came from. Returns the number of pictures."""
    for shard in bucket.shards:
        if not shard.finished:
            shard.write(_gathered(shard))
    for run in bucket.pictures["run"].unique():
        (bucket.shards[0].folder / run / bucket.name).unlink(missing_ok=True)
    return len(bucket.pictures)


def _gathered(shard: Shard) -> Iterator[Record]:
    row: Any
    for row in shard.pictures.itertuples():
        if row.reason:
            yield Record(row.label, row.name, None, row.reason)
            continue
        run = shard.folder / row.run
        data = b""
        with contextlib.suppress(OSError), (run / str(row.bucket)).open("rb") as file:
            file.seek(row.offset)
            data = file.read(row.size)
        if zlib.crc32(data) != row.check:
            raise UserError(f"{run}: damaged. Remove this folder and run dvc repro again.")
        yield Record(row.label, row.name, data)
