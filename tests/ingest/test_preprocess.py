"""The store: the same bytes from any workers and after any stop, true labels, and bad pictures named."""

from __future__ import annotations

import errno
import hashlib
import io
import resource
import shutil
import signal
import tarfile
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from alexnet.core.errors import UserError
from alexnet.core.files import sole_writer
from alexnet.core.machine import Machine, Shuffle
from alexnet.core.processes import executor
from alexnet.ingest import prepare as stage
from alexnet.ingest import shards as preparing
from alexnet.ingest.params import Data, Preprocess
from alexnet.ingest.prepare import Outcome, preprocess
from alexnet.ingest.raw import Place, read_picture
from alexnet.ingest.resize import decode, encode, to_square
from alexnet.ingest.selection import select_pictures
from alexnet.ingest.shards import SumsLedger
from alexnet.ingest.verify import problems
from alexnet.sample import generate
from alexnet.sample.params import Sample
from alexnet.store import records as store
from alexnet.store.index import Index
from alexnet.store.statistics import SUMS, Sums, measure_statistics

SAMPLE = Sample(seed=8, classes=3, first_class=0, train_per_class=12, val_per_class=4)
SETTINGS = Preprocess(
    encoding="jpeg", jpeg_quality=95, chroma="4:2:0", shard_pictures=8, seed=1, max_bad_fraction=0.0
)
SHUFFLES = pytest.mark.parametrize("shuffle", ["seek", "scatter"])
Pool = Callable[[], AbstractContextManager[Executor]]
DATA = Data(layout="auto", classes="all", per_class="all", held_out=0.0, seed=1)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample") / "raw"
    generate(root, SAMPLE, "none")
    return root


@pytest.fixture(scope="module")
def index(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    return select_pictures(raw, DATA, tmp_path_factory.mktemp("state"))[0]


def threads(count: int = 1) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)


def made(
    folder: Path,
    root: Path,
    index: Index,
    pool: Pool = threads,
    shuffle: Shuffle = "seek",
    **changes: Any,
) -> Outcome:
    """Write the store into ``folder / "records"``, with its state beside it."""
    settings = SETTINGS.model_copy(update=changes)
    place, state = folder / "records", folder / "state"
    with pool() as workers:
        return preprocess(root, index, settings, place, state, workers, "none", 2.0, 1, shuffle)


@pytest.fixture(scope="module")
def records(raw: Path, index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the store of all pictures, made by one thread; not to be written to."""
    folder = tmp_path_factory.mktemp("store")
    made(folder, raw, index)
    return folder / "records"


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def names(folder: Path, split: str = "train") -> list[str]:
    return [str(name) for name in store.open_records(folder, split).names]


# --- content --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pool",
    [
        lambda: executor(Machine(workers=1)),
        lambda: executor(Machine(workers=2)),
        lambda: executor(Machine(workers=5)),
        lambda: threads(3),
    ],
    ids=["1 process", "2 processes", "5 processes", "3 threads"],
)
def test_any_workers_write_the_same_bytes(
    raw: Path, index: Index, records: Path, tmp_path: Path, pool: Pool
) -> None:
    made(tmp_path, raw, index, pool)
    assert hashes(tmp_path / "records") == hashes(records)


@pytest.mark.parametrize("pool", [threads, lambda: executor(Machine(workers=2))])
@pytest.mark.parametrize("run_pictures", [5, 1000])
def test_scattering_writes_the_same_bytes(
    raw: Path,
    index: Index,
    records: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pool: Pool,
    run_pictures: int,
) -> None:
    monkeypatch.setattr(stage, "RUN_PICTURES", run_pictures)
    monkeypatch.setattr(stage, "BUCKET_PICTURES", 16)
    made(tmp_path, raw, index, pool, "scatter")
    assert hashes(tmp_path / "records") == hashes(records)


def test_scattering_reads_the_source_in_its_order(
    raw: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, int]] = []

    def reading(root: Path, place: Place) -> Any:
        read.append((place.path, place.offset))
        return read_picture(root, place)

    monkeypatch.setattr(preparing, "read_picture", reading)
    monkeypatch.setattr(stage, "TRIAL_PICTURES", 1000)
    made(tmp_path / "a", raw, index, shuffle="scatter")
    assert read == sorted(read)
    read.clear()
    made(tmp_path / "b", raw, index)
    assert read != sorted(read)


def test_raw_records_are_the_squares_themselves(raw: Path, index: Index, tmp_path: Path) -> None:
    made(tmp_path / "a", raw, index, encoding="raw")
    made(tmp_path / "b", raw, index, shuffle="scatter", encoding="raw")
    assert hashes(tmp_path / "a/records") == hashes(tmp_path / "b/records")
    found = store.open_records(tmp_path / "a/records", "val")
    rows = index.pictures[index.pictures["split"] == "val"].set_index("name")
    total = 0
    for record, name in enumerate(found.names):
        row = rows.loc[name]
        content = (raw / row["path"]).read_bytes()[row["offset"] : row["offset"] + row["size"]]
        np.testing.assert_array_equal(found.stored(record), to_square(decode(content)))
        np.testing.assert_array_equal(store.decoded(found, record), to_square(decode(content)))
        total += 1
    assert total == 12
    with tarfile.open(tmp_path / "a/records/val-00000.tar") as tar:
        assert tar.getnames()[:2] == ["00000000.rgb", "00000000.cls"]
        assert tar.getmembers()[0].size == 256 * 256 * 3


@SHUFFLES
def test_sums_are_those_of_the_training_squares(
    raw: Path, index: Index, tmp_path: Path, shuffle: Shuffle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SumsLedger, "MERGED_AT_ONCE", 2)
    made(tmp_path, raw, index, shuffle=shuffle, encoding="raw")
    found = store.open_records(tmp_path / "records", "train")
    squares = np.stack([found.stored(record) for record in range(len(found))]).astype(np.int64)
    sums = Sums.read(tmp_path / "records" / SUMS)
    assert sums.images == 36
    np.testing.assert_array_equal(sums.pixels, squares.sum(0))
    pixels = squares.reshape(-1, 3)
    np.testing.assert_array_equal(sums.products, pixels.T @ pixels)
    with threads() as pool:
        by_sums = measure_statistics(tmp_path / "records", pool, "none")
        (tmp_path / "records" / SUMS).unlink()
        by_reading = measure_statistics(tmp_path / "records", pool, "none")
    for one, other in zip(by_sums.__dict__.values(), by_reading.__dict__.values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_sums_before_jpeg_are_near_those_of_the_records(records: Path, tmp_path: Path) -> None:
    shutil.copytree(records, tmp_path / "copy")
    with threads() as pool:
        before = measure_statistics(tmp_path / "copy", pool, "none")
        (tmp_path / "copy" / SUMS).unlink()
        after = measure_statistics(tmp_path / "copy", pool, "none")
    assert np.abs(before.channel_means - after.channel_means).max() < 0.3
    assert np.abs(before.mean_image - after.mean_image).mean() < 1.5


def test_the_store_is_the_same_wherever_the_raw_files_lie(
    raw: Path, index: Index, records: Path, tmp_path: Path
) -> None:
    shutil.copytree(raw, tmp_path / "moved")
    moved = select_pictures(tmp_path / "moved", DATA, tmp_path / "scans")[0]
    made(tmp_path, tmp_path / "moved", moved)
    assert hashes(tmp_path / "records") == hashes(records)


def test_the_folder_holds_what_is_documented(records: Path) -> None:
    shards = [f"train-{n:05d}" for n in range(5)] + [f"val-{n:05d}" for n in range(2)]
    expected = {f"{name}{suffix}" for name in shards for suffix in (".tar", ".idx")}
    assert set(hashes(records)) == expected | {store.TABLE, store.SHARDS, SUMS}


def test_every_picture_is_stored_once_with_its_label(raw: Path, index: Index, records: Path) -> None:
    for split, count in (("train", 36), ("val", 12)):
        found = store.open_records(records, split)
        assert len(found) == count
        rows = index.pictures[index.pictures["split"] == split].set_index("name")
        assert sorted(found.names) == sorted(rows.index)
        assert found.labels.tolist() == [rows["label"][name] for name in found.names]
        for record, name in enumerate(found.names):
            row = rows.loc[name]
            raw_bytes = (raw / row["path"]).read_bytes()[row["offset"] : row["offset"] + row["size"]]
            expected = encode(to_square(decode(raw_bytes)), 95, "4:2:0")
            assert found.stored(record).tobytes() == expected


def test_quality_and_chroma_are_obeyed(raw: Path, index: Index, records: Path, tmp_path: Path) -> None:
    made(tmp_path, raw, index, jpeg_quality=60, chroma="4:4:4")
    found = store.open_records(tmp_path / "records", "train")
    usual = store.open_records(records, "train")
    assert found.names.tolist() == usual.names.tolist()
    assert found.stored(0).tobytes() == encode_again(raw, index, found.names[0], 60, "4:4:4")
    assert found.stored(0).tobytes() != usual.stored(0).tobytes()


def encode_again(raw: Path, index: Index, name: str, quality: int, chroma: str) -> bytes:
    row = index.pictures[index.pictures["name"] == name].iloc[0]
    content = (raw / row["path"]).read_bytes()[row["offset"] : row["offset"] + row["size"]]
    return encode(to_square(decode(content)), quality, chroma)


def test_the_order_is_a_seeded_shuffle_of_the_whole_split(
    raw: Path, index: Index, records: Path, tmp_path: Path
) -> None:
    made(tmp_path / "again", raw, index, seed=1)
    made(tmp_path / "other", raw, index, seed=2)
    first = names(records)
    assert names(tmp_path / "again" / "records") == first
    assert names(tmp_path / "other" / "records") != first
    assert first != sorted(first)
    labels = store.open_records(records, "train").labels
    # Were each class kept together, a shard would hold one or two.
    assert all(len(set(labels[start : start + 8])) == 3 for start in range(0, 32, 8))
    ranks = [sorted(first).index(name) for name in first]
    assert abs(np.corrcoef(ranks, range(len(ranks)))[0, 1]) < 0.5


def test_the_order_does_not_depend_on_the_size_of_shards(
    raw: Path, index: Index, records: Path, tmp_path: Path
) -> None:
    made(tmp_path, raw, index, shard_pictures=20)
    assert names(tmp_path / "records") == names(records)
    assert len(list((tmp_path / "records").glob("train-*.tar"))) == 2


# --- form -----------------------------------------------------------------------------------------


def test_offsets_agree_with_tarfile(records: Path) -> None:
    table = pd.read_parquet(records / store.TABLE)
    for path in sorted(records.glob("*.tar")):
        with tarfile.open(path) as tar:
            members = {member.name: (member.offset_data, member.size) for member in tar}
        lines = path.with_suffix(".idx").read_text().splitlines()
        assert lines[0] == f"v1.2 {len(members) // 2}"
        from_index = {}
        for line in lines[1:]:
            fields = line.split(" ")
            assert fields[0::4] == ["jpg", "cls"]
            for offset, size, name in (fields[1:4], fields[5:8]):
                from_index[name] = (int(offset), int(size))
        assert from_index == members
        split, number = path.stem.split("-")
        rows = table[(table["split"] == split) & (table["shard"] == int(number))]
        pictures = [place for name, place in members.items() if name.endswith(".jpg")]
        assert list(zip(rows["offset"], rows["size"], strict=True)) == pictures


def test_members_are_pairs_with_keys_in_storage_order(records: Path) -> None:
    keys = []
    for path in sorted(records.glob("train-*.tar")):
        with tarfile.open(path) as tar:
            found = tar.getnames()
        assert found[0::2] == [name.replace(".cls", ".jpg") for name in found[1::2]]
        keys += [name.removesuffix(".jpg") for name in found[0::2]]
    assert keys == [f"{number:08d}" for number in range(36)]


def test_dali_reads_the_shards_by_its_own_reader(records: Path) -> None:
    from nvidia.dali import fn, pipeline_def

    paths = sorted(str(path) for path in records.glob("train-*.tar"))

    @pipeline_def(batch_size=36, num_threads=1, device_id=None)
    def pipeline() -> Any:
        components: Any = fn.readers.webdataset(
            paths=paths,
            index_paths=[path.replace(".tar", ".idx") for path in paths],
            ext=["jpg", "cls"],
            missing_component_behavior="error",
        )
        return tuple(components)

    reader = pipeline()
    reader.build()
    jpegs, labels = reader.run()
    found = store.open_records(records, "train")
    for record in range(36):
        assert np.asarray(jpegs[record]).tobytes() == found.stored(record).tobytes()
        assert int(np.asarray(labels[record]).tobytes()) == found.labels[record]


def test_shards_csv_tells_the_truth(records: Path) -> None:
    table = pd.read_csv(records / store.SHARDS)
    assert table.columns.tolist() == ["split", "shard", "records", "bytes", "sha256"]
    assert len(table) == 7
    found = hashes(records)
    row: Any
    for row in table.itertuples():
        path = records / f"{row.split}-{row.shard:05d}.tar"
        assert row.sha256 == found[path.name]
        assert row.bytes == path.stat().st_size
        with tarfile.open(path) as tar:
            assert row.records == len(tar.getnames()) / 2


def test_store_fingerprint_follows_the_contents(
    raw: Path, index: Index, records: Path, tmp_path: Path
) -> None:
    made(tmp_path, raw, index, seed=2)
    assert store.store_fingerprint(tmp_path / "records") != store.store_fingerprint(records)
    shutil.copytree(records, tmp_path / "copy")
    assert store.store_fingerprint(tmp_path / "copy") == store.store_fingerprint(records)


def test_opening_what_is_not_there(records: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro preprocess"):
        store.open_records(tmp_path, "train")
    with pytest.raises(UserError, match="no records of the split test"):
        store.open_records(records, "test")


# --- bad pictures ---------------------------------------------------------------------------------


def picture(seed: int) -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, "JPEG")
    return content.getvalue()


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Return two classes of six training and three validation pictures, in folders."""
    root = tmp_path / "raw"
    for number, (split, count) in enumerate((("train", 6), ("val", 3))):
        for wnid in ("cat", "dog"):
            (root / split / wnid).mkdir(parents=True)
            for picture_number in range(count):
                content = picture(1000 * number + picture_number)
                (root / split / wnid / f"{picture_number}.jpg").write_bytes(content)
    return root


def indexed(root: Path) -> Index:
    return select_pictures(root, DATA, root.parent / "scans")[0]


def test_bad_pictures_are_skipped_and_named_with_a_reason(folders: Path, tmp_path: Path) -> None:
    (folders / "train/cat/1.jpg").write_bytes(b"")
    (folders / "train/dog/4.jpg").write_bytes(picture(0)[:-400])
    (folders / "val/dog/0.jpg").write_bytes(b"no picture")
    Image.new("L", (1, 60_000)).save(folders / "val/dog/1.jpg", "PNG")
    index = indexed(folders)
    (folders / "train/cat/2.jpg").unlink()
    outcome = made(tmp_path, folders, index, shard_pictures=4, max_bad_fraction=5 / 18)
    assert outcome.counts == {"train": {"pictures": 9, "skipped": 3}, "val": {"pictures": 4, "skipped": 2}}
    reasons = dict(zip(outcome.skipped["name"], outcome.skipped["reason"], strict=True))
    assert set(reasons) == {"cat/1.jpg", "cat/2.jpg", "dog/4.jpg", "dog/0.jpg", "dog/1.jpg"}
    assert reasons["cat/1.jpg"] == "empty file"
    assert "No such file" in reasons["cat/2.jpg"]
    assert "truncated" in reasons["dog/4.jpg"]
    assert "cannot" in reasons["dog/0.jpg"]
    assert "too thin" in reasons["dog/1.jpg"]
    assert outcome.skipped["split"].tolist() == ["train", "train", "train", "val", "val"]
    found = store.open_records(tmp_path / "records", "train")
    assert not set(found.names) & {"cat/1.jpg", "cat/2.jpg", "dog/4.jpg"}
    assert found.labels.tolist() == [["cat", "dog"].index(name[:3]) for name in found.names]
    assert all(decode(found.stored(record).tobytes()).shape == (256, 256, 3) for record in range(9))


@SHUFFLES
@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_of_bad_pictures_alone_does_no_harm(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffle: Shuffle, workers: int
) -> None:
    for number in range(1, 6):
        (folders / f"train/cat/{number}.jpg").write_bytes(b"")
    index = indexed(folders)
    small: dict[str, Any] = {"shard_pictures": 1, "max_bad_fraction": 0.5}

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("alexnet.ingest.prepare.os.link", stopped)
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path, folders, index, lambda: threads(workers), shuffle, **small)
    outcome = made(tmp_path, folders, index, lambda: threads(workers), shuffle, **small)
    made(tmp_path / "again", folders, index, **small)
    assert hashes(tmp_path / "records") == hashes(tmp_path / "again/records")
    assert len(list((tmp_path / "records").glob("train-*.tar"))) == 7
    assert problems(tmp_path / "records", index, outcome.skipped, "none") == []
    assert outcome.counts["train"] == {"pictures": 7, "skipped": 5}
    found = store.open_records(tmp_path / "records", "train")
    expected = sorted(["cat/0.jpg", *(f"dog/{number}.jpg" for number in range(6))])
    assert sorted(found.names) == expected
    for record, name in enumerate(found.names):
        again = encode(to_square(decode((folders / "train" / name).read_bytes())), 95, "4:2:0")
        assert found.stored(record).tobytes() == again


def test_too_many_bad_pictures_name_the_knob(folders: Path, tmp_path: Path) -> None:
    for number in range(2):
        (folders / f"train/cat/{number}.jpg").write_bytes(b"")
    index = indexed(folders)
    with pytest.raises(UserError, match=r"preprocess\.max_bad_fraction: 2 of 18 .*cat/[01]\.jpg: empty file"):
        made(tmp_path, folders, index, max_bad_fraction=0.1)
    assert not (tmp_path / "records").exists()
    # The finished shards wait for a more generous knob.
    assert made(tmp_path, folders, index, max_bad_fraction=0.12).counts["train"]["skipped"] == 2


def test_a_class_without_a_training_picture_is_refused(folders: Path, tmp_path: Path) -> None:
    for path in (folders / "train/dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match="class dog: no training picture is left"):
        made(tmp_path, folders, indexed(folders), max_bad_fraction=1.0)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_a_picture_is_refused(folders: Path, tmp_path: Path, split: str) -> None:
    for path in (folders / split).glob("*/*"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=f"no picture of the split {split} is left"):
        made(tmp_path, folders, indexed(folders), max_bad_fraction=1.0)


def test_a_full_disk_is_told_beforehand(
    raw: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "TRIAL_PICTURES", 4)
    monkeypatch.setattr(stage, "make_shard", lambda shard: pytest.fail("work began"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=100_000))
    with pytest.raises(UserError, match=r"data\.classes, data\.per_class"):
        made(tmp_path, raw, index)


def test_what_it_needs_is_told_beforehand(
    raw: Path,
    index: Index,
    records: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(stage, "TRIAL_PICTURES", 24)
    made(tmp_path, raw, index)
    said = capsys.readouterr().out
    assert said.startswith("preprocess: 48 pictures need about ")
    megabytes = float(said.split("about ")[1].split(" MB")[0])
    true = sum(path.stat().st_size for path in records.glob("*.tar")) / 1e6
    assert megabytes == pytest.approx(true, rel=0.35)


# --- stops and restarts ---------------------------------------------------------------------------


def test_a_restart_keeps_finished_shards_and_ends_with_the_same_store(
    raw: Path, index: Index, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = preparing.make_shard
    asked: list[tuple[str, int]] = []

    def failing(shard: Any) -> int:
        if asked:
            raise OSError("the power went")
        asked.append((shard.split, shard.number))
        return make(shard)

    monkeypatch.setattr(stage, "make_shard", failing)
    with pytest.raises(OSError, match="the power went"):
        made(tmp_path, raw, index)
    assert not (tmp_path / "records").exists()
    finished = asked[:]
    (left,) = (tmp_path / "state").glob("*/*.tar")
    written = left.stat().st_mtime_ns

    def counting(shard: Any) -> int:
        asked.append((shard.split, shard.number))
        return make(shard)

    asked.clear()
    monkeypatch.setattr(stage, "make_shard", counting)
    made(tmp_path, raw, index)
    every = [("train", number) for number in range(5)] + [("val", number) for number in range(2)]
    assert sorted(asked + finished) == every
    assert (tmp_path / "records" / left.name).stat().st_mtime_ns == written
    assert hashes(tmp_path / "records") == hashes(records)
    assert list((tmp_path / "state").iterdir()) == []


def test_a_stop_in_the_middle_of_a_shard_leaves_nothing_that_counts(
    raw: Path, index: Index, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def failing(*arguments: Any) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 13:
            raise KeyboardInterrupt
        return encode(*arguments)

    monkeypatch.setattr(preparing, "encode", failing)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, raw, index)
    monkeypatch.setattr(preparing, "encode", encode)
    made(tmp_path, raw, index)
    assert hashes(tmp_path / "records") == hashes(records)


def test_other_code_does_not_take_over_finished_shards(
    raw: Path, index: Index, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise OSError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(stage, "_deliver", stopped)
        patch.setattr(stage, "sha256_of_code", lambda _: "of an older version")
        patch.setattr(preparing, "to_square", lambda _: np.zeros((256, 256, 3), np.uint8))
        with pytest.raises(OSError, match="stopped"):
            made(tmp_path, raw, index)
    made(tmp_path, raw, index)
    assert hashes(tmp_path / "records") == hashes(records)


def test_a_run_made_twice_is_there_once(
    raw: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = stage._plan(raw, index, SETTINGS, tmp_path)
    run = stage._plan_runs(shards, raw, SETTINGS, tmp_path)[0]
    prepare = preparing._prepare
    others = 0

    def meanwhile(*arguments: Any) -> Any:
        # The task of a stage that was killed ends while this one is at work.
        nonlocal others
        if not others:
            others += 1
            preparing.make_run(run)
        return prepare(*arguments)

    monkeypatch.setattr(preparing, "_prepare", meanwhile)
    assert preparing.make_run(run) == len(run.pictures)
    assert run.finished
    assert not list(tmp_path.glob("*.partial"))


def test_other_settings_do_not_take_over_finished_shards(
    raw: Path, index: Index, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise OSError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(stage, "_deliver", stopped)
        with pytest.raises(OSError, match="stopped"):
            made(tmp_path, raw, index, jpeg_quality=50)
    made(tmp_path, raw, index)
    assert hashes(tmp_path / "records") == hashes(records)


@SHUFFLES
def test_a_stop_during_delivery_is_mended(
    raw: Path,
    index: Index,
    records: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shuffle: Shuffle,
) -> None:
    left = 3

    def linking_three(source: Path, target: Path) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        target.hardlink_to(source)

    with monkeypatch.context() as patch:
        patch.setattr("alexnet.ingest.prepare.os.link", linking_three)
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path, raw, index, shuffle=shuffle)
    # As DVC does before it runs a stage again.
    shutil.rmtree(tmp_path / "records")
    made(tmp_path, raw, index, shuffle=shuffle)
    assert hashes(tmp_path / "records") == hashes(records)


def test_delivery_to_a_file_system_that_cannot_link(
    raw: Path, index: Index, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("alexnet.ingest.prepare.os.link", refusing)
    made(tmp_path, raw, index)
    assert hashes(tmp_path / "records") == hashes(records)


@SHUFFLES
@pytest.mark.parametrize("calls", [1, 8, 17])
def test_a_stop_anywhere_ends_with_the_same_store(
    raw: Path,
    index: Index,
    records: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shuffle: Shuffle,
    calls: int,
) -> None:
    """The power goes at some write, and again a few writes later, until all is there."""
    monkeypatch.setattr(stage, "RUN_PICTURES", 13)
    monkeypatch.setattr(SumsLedger, "MERGED_AT_ONCE", 3)
    replace, left = Path.replace, 0

    def failing(source: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return replace(source, target)

    stops = 0
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        while True:
            left = calls
            try:
                made(tmp_path, raw, index, shuffle=shuffle)
                break
            except KeyboardInterrupt:
                stops += 1
                calls += 1
    assert stops > 0
    assert hashes(tmp_path / "records") == hashes(records)
    assert list((tmp_path / "state").iterdir()) == []


@SHUFFLES
def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    raw: Path,
    index: Index,
    records: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shuffle: Shuffle,
) -> None:
    # A file may grow to 100 kB here, which a shard or the sums reach in their middle.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(UserError, match="cannot be written: File too large"):
            made(tmp_path, raw, index, shuffle=shuffle)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not (tmp_path / "records").exists()
    made(tmp_path, raw, index, shuffle=shuffle)
    assert hashes(tmp_path / "records") == hashes(records)


def test_a_target_that_cannot_be_written(raw: Path, index: Index, tmp_path: Path) -> None:
    with threads() as pool:
        # Not even root writes there.
        with pytest.raises(UserError, match=r"/proc/x.*cannot be written"):
            preprocess(raw, index, SETTINGS, tmp_path / "records", Path("/proc/x"), pool, "none")
        with pytest.raises(UserError, match="/proc/x: cannot be written"):
            preprocess(raw, index, SETTINGS, Path("/proc/x"), tmp_path / "state", pool, "none")


def test_a_worker_that_is_killed_is_told(
    raw: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(shard: Any) -> int:
        raise BrokenProcessPool

    monkeypatch.setattr(stage, "make_shard", dying)
    with pytest.raises(UserError, match="ended from outside"):
        made(tmp_path, raw, index)


def test_two_at_once_are_refused(raw: Path, index: Index, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "fingerprint", lambda **_: "same")
        with (
            sole_writer(tmp_path / "state" / "same", 1.0),
            threads() as pool,
            pytest.raises(UserError, match="held by another process"),
        ):
            preprocess(raw, index, SETTINGS, tmp_path / "x", tmp_path / "state", pool, "none", 0.1)
