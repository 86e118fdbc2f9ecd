"""The store: the same bytes from any workers and after any stop, true labels, and bad pictures named."""

import contextlib
import errno
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from archives import SETTINGS, builder, official_files, store, unpack
from PIL import Image
from tiny import encoded, flip, hashes, largest_file

from alexnet.core.errors import UserError
from alexnet.core.files import sole_writer
from alexnet.core.machine import Machine
from alexnet.core.processes import executor
from alexnet.ingest import prepare, scatter, shards, stored
from alexnet.ingest.decode import decode, read_picture
from alexnet.ingest.resize import to_square
from alexnet.ingest.verify import find_problems
from alexnet.store.counts import SplitCounts
from alexnet.store.index import Index, write_index
from alexnet.store.records import SHARDS, TABLE, decoded, encode, open_records, store_fingerprint
from alexnet.store.statistics import SUMS, Sums, measure_statistics

SHUFFLES = pytest.mark.parametrize("shuffle", ["seek", "scatter"])
Make = Callable[..., prepare.Outcome]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample") / "raw"
    return official_files(root, train_per_class=12, val_per_class=4)


@pytest.fixture(scope="module")
def index(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    return builder(tmp_path_factory.mktemp("state"))(raw)


def prepared(folder: Path, root: Path, index: Index, **options: Any) -> prepare.Outcome:
    """Write the store into ``folder / "records"``, with its state beside it."""
    return store(root, index, folder / "records", folder / "state", **{"shard_pictures": 8} | options)


@pytest.fixture
def make(raw: Path, index: Index, tmp_path: Path) -> Make:
    """Return a function that prepares the sample in a folder below `tmp_path`, by default there."""

    def make(name: str = "", **options: Any) -> prepare.Outcome:
        return prepared(tmp_path / name, raw, index, **options)

    return make


@pytest.fixture(scope="module")
def records(raw: Path, index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the store of all pictures, made by one thread; not to be written to."""
    folder = tmp_path_factory.mktemp("store")
    prepared(folder, raw, index)
    return folder / "records"


def square_of(raw: Path, index: Index, split: str, name: str) -> Any:
    """Return a picture of the sample, 256×256."""
    rows = index.pictures[(index.pictures["split"] == split) & (index.pictures["name"] == name)]
    path, offset, size = rows[["path", "offset", "size"]].iloc[0]
    return to_square(decode((raw / path).read_bytes()[offset : offset + size]))


@contextlib.contextmanager
def stopped_before_delivery(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("alexnet.ingest.prepare.os.link", stopped)
        with pytest.raises(KeyboardInterrupt):
            yield patch


# --- content --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "run_pictures"),
    [("processes", 5), ("threads", None), ("threads", 5), ("threads", 1000)],
)
def test_any_workers_write_the_same_bytes_either_way(
    make: Make,
    records: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: str,
    run_pictures: int | None,
) -> None:
    if run_pictures:
        monkeypatch.setattr(scatter, "RUN_PICTURES", run_pictures)
        monkeypatch.setattr(scatter, "BUCKET_PICTURES", 16)
    pool = executor(Machine(workers=2)) if workers == "processes" else ThreadPoolExecutor(3)
    make(pool=pool, shuffle="scatter" if run_pictures else "seek")
    assert hashes(tmp_path / "records") == hashes(records)


def test_scattering_reads_the_source_in_its_order(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, int]] = []

    def reading(root: Path, row: Any) -> Any:
        read.append((row.path, row.offset))
        return read_picture(root, row)

    monkeypatch.setattr(shards, "read_picture", reading)
    monkeypatch.setattr(prepare, "TRIAL_PICTURES", 1000)
    make("a", shuffle="scatter")
    assert read == sorted(read)
    read.clear()
    make("b")
    assert read != sorted(read)


@SHUFFLES
def test_raw_records_are_the_squares_and_sums_are_theirs(
    raw: Path, index: Index, make: Make, tmp_path: Path, shuffle: str
) -> None:
    make(shuffle=shuffle, encoding="raw")
    folder = tmp_path / "records"
    found = open_records(folder, "val")
    assert len(found) == 12
    for record, name in enumerate(found.names):
        square = square_of(raw, index, "val", name)
        np.testing.assert_array_equal(found.stored(record), square)
        np.testing.assert_array_equal(decoded(found, record), square)
    with tarfile.open(folder / "val-00000.tar") as tar:
        assert tar.getnames()[:2] == ["00000000.rgb", "00000000.cls"]
        assert tar.getmembers()[0].size == 256 * 256 * 3

    found = open_records(folder, "train")
    squares = np.stack([found.stored(record) for record in range(len(found))]).astype(np.int64)
    sums = Sums.read(folder / SUMS)
    assert sums.images == 36
    np.testing.assert_array_equal(sums.pixels, squares.sum(0))
    pixels = squares.reshape(-1, 3)
    np.testing.assert_array_equal(sums.products, pixels.T @ pixels)
    np.testing.assert_allclose(measure_statistics(folder).channel_means, pixels.mean(0), rtol=1e-12)


def test_every_picture_is_stored_once_with_its_label(raw: Path, index: Index, records: Path) -> None:
    for split, count in (("train", 36), ("val", 12)):
        found = open_records(records, split)
        assert len(found) == count
        rows = index.pictures[index.pictures["split"] == split].set_index("name")
        assert sorted(found.names) == sorted(rows.index)
        assert found.labels.tolist() == [rows["label"][name] for name in found.names]
        for record, name in enumerate(found.names):
            square = square_of(raw, index, split, name)
            assert found.stored(record).tobytes() == encode(square, 95, "4:2:0")


def test_quality_chroma_and_size_of_shards_change_no_order(
    raw: Path, index: Index, records: Path, make: Make, tmp_path: Path
) -> None:
    make(jpeg_quality=60, chroma="4:4:4", shard_pictures=20)
    found, usual = open_records(tmp_path / "records", "train"), open_records(records, "train")
    assert found.names.tolist() == usual.names.tolist()
    assert len(list((tmp_path / "records").glob("train-*.tar"))) == 2
    square = square_of(raw, index, "train", found.names[0])
    assert found.stored(0).tobytes() == encode(square, 60, "4:4:4") != usual.stored(0).tobytes()


def test_the_order_is_a_seeded_shuffle_of_the_whole_split(records: Path, make: Make, tmp_path: Path) -> None:
    make(seed=2)
    found = open_records(records, "train")
    first = found.names.tolist()
    assert open_records(tmp_path / "records", "train").names.tolist() != first != sorted(first)
    assert store_fingerprint(tmp_path / "records") != store_fingerprint(records)
    # Were each class kept together, a shard would hold one or two.
    assert all(len(set(found.labels[start : start + 8])) == 3 for start in range(0, 32, 8))
    ranks = [sorted(first).index(name) for name in first]
    assert abs(np.corrcoef(ranks, range(len(ranks)))[0, 1]) < 0.5


# --- form -----------------------------------------------------------------------------------------


def test_the_tables_tell_what_the_tars_hold(records: Path, index: Index) -> None:
    # That offsets, sizes, labels and checksums are those of the tars.
    assert find_problems(records, index, pd.DataFrame(columns=["split", "name"])) == []
    lines, found = pd.read_csv(records / SHARDS), hashes(records)
    assert lines.columns.tolist() == ["split", "shard", "records", "bytes", "sha256"]
    assert lines["records"].tolist() == [8, 8, 8, 8, 4, 8, 4]
    tars = [f"{line.split}-{line.shard:05d}.tar" for line in lines.itertuples()]
    assert set(found) == {*tars, TABLE, SHARDS, SUMS}
    assert lines["sha256"].tolist() == [found[name] for name in tars]
    members: dict[str, list[str]] = {"train": [], "val": []}
    for name in tars:
        with tarfile.open(records / name) as tar:
            members[name.partition("-")[0]] += tar.getnames()
    for split, count in (("train", 36), ("val", 12)):
        assert members[split] == [f"{n:08d}.{kind}" for n in range(count) for kind in ("jpg", "cls")]


def test_opening_what_is_not_there(records: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro preprocess"):
        open_records(tmp_path, "train")
    with pytest.raises(UserError, match="no records of the split test"):
        open_records(records, "test")


def test_a_shard_of_another_size_is_not_opened(records: Path, tmp_path: Path) -> None:
    """It would be read beyond its end, which kills a process."""
    shutil.copytree(records, tmp_path / "copy")
    path = tmp_path / "copy/train-00001.tar"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"train-00001\.tar: 5,000 bytes, but shards\.csv lists"):
        open_records(tmp_path / "copy", "train")
    assert len(open_records(tmp_path / "copy", "val")) == 12


# --- bad pictures ---------------------------------------------------------------------------------


def picture(seed: int) -> bytes:
    return encoded(np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8), "JPEG")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Return two classes of six training and three validation pictures, in folders."""
    counts = {"train": 6, "val": 3}
    return unpack(
        tmp_path / "raw",
        {
            f"{split}/{wnid}/{number}.jpg": picture(1000 * len(split) + number)
            for split, count in counts.items()
            for wnid in ("cat", "dog")
            for number in range(count)
        },
    )


def indexed(root: Path) -> Index:
    return builder(root.parent / "scans")(root)


def test_bad_pictures_are_skipped_and_named_with_a_reason(folders: Path, tmp_path: Path) -> None:
    (folders / "train/cat/1.jpg").write_bytes(b"")
    (folders / "train/dog/4.jpg").write_bytes(picture(0)[:-400])
    (folders / "val/dog/0.jpg").write_bytes(b"no picture")
    Image.new("L", (1, 60_000)).save(folders / "val/dog/1.jpg", "PNG")
    (folders / "train/cat/2.jpg").unlink()
    os.mkfifo(folders / "train/cat/2.jpg")
    index = indexed(folders)
    with pytest.raises(UserError, match=r"preprocess\.max_bad_fraction: 5 of 18 .*(cat|dog)/\d\.jpg: "):
        prepared(tmp_path, folders, index, shard_pictures=4, max_bad_fraction=0.1)
    assert not (tmp_path / "records").exists()
    # The finished shards wait for a more generous knob.
    outcome = prepared(tmp_path, folders, index, shard_pictures=4, max_bad_fraction=5 / 18)
    counts = {split: (of.pictures, of.skipped) for split, of in outcome.counts.items()}
    assert counts == {"train": (9, 3), "val": (4, 2)}
    assert outcome.skipped["split"].tolist() == ["train", "train", "train", "val", "val"]
    reasons = dict(zip(outcome.skipped["name"], outcome.skipped["reason"], strict=True))
    expected = {
        "cat/1.jpg": "empty file",
        "cat/2.jpg": "not a regular file",
        "dog/4.jpg": "truncated",
        "dog/0.jpg": "cannot",
        "dog/1.jpg": "too thin",
    }
    assert set(reasons) == set(expected)
    assert all(part in reasons[name] for name, part in expected.items())
    found = open_records(tmp_path / "records", "train")
    assert not set(found.names) & {"cat/1.jpg", "cat/2.jpg", "dog/4.jpg"}
    assert found.labels.tolist() == [["cat", "dog"].index(name[:3]) for name in found.names]
    assert all(decoded(found, record).shape == (256, 256, 3) for record in range(9))


def test_bad_pictures_that_stop_the_stage_are_listed(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folders / "train/cat/1.jpg").write_bytes(b"")
    (folders / "val/dog/0.jpg").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    write_index(tmp_path / "index", indexed(folders))
    machine = Machine(data_root=str(folders), workers=1, progress="none")
    made = {name: tmp_path / name for name in ("index", "records", "counts")}
    with pytest.raises(UserError, match=r"2 of 18 pictures .*skipped.csv lists all bad pictures$"):
        prepare.prepare_index(SETTINGS, machine, **made, skipped=tmp_path / "skipped.csv")
    assert pd.read_csv(tmp_path / "skipped.csv")["name"].tolist() == ["cat/1.jpg", "dog/0.jpg"]
    assert not made["counts"].exists()


def test_a_file_that_is_gone_is_no_bad_picture(folders: Path, tmp_path: Path) -> None:
    index = indexed(folders)
    (folders / "train/cat/2.jpg").unlink()
    with pytest.raises(UserError, match=r"raw/train/cat/2\.jpg: No such file.*dvc repro -f index"):
        prepared(tmp_path, folders, index, max_bad_fraction=1.0)


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_a_disk_that_fails_for_a_moment_makes_no_bad_picture(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    left, read = [failures], stored._read_bytes

    def failing(path: Path, row: Any) -> bytes:
        if row.name == "dog/3.jpg" and left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error")
        return read(path, row)

    monkeypatch.setattr(stored, "_read_bytes", failing)
    monkeypatch.setattr(stored, "PAUSES", (0.0, 0.0))
    options: dict[str, Any] = {"shard_pictures": 4, "max_bad_fraction": 1.0}
    if failures == 3:
        with pytest.raises(UserError, match=r"dog/3\.jpg: cannot be read: Input/output error"):
            prepared(tmp_path, folders, indexed(folders), **options)
        assert not (tmp_path / "records").exists()
    outcome = prepared(tmp_path, folders, indexed(folders), **options)
    assert outcome.skipped.empty


@SHUFFLES
def test_a_shard_of_bad_pictures_alone_does_no_harm(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffle: str
) -> None:
    for number in range(1, 6):
        (folders / f"train/cat/{number}.jpg").write_bytes(b"")
    index = indexed(folders)
    options: dict[str, Any] = {"shard_pictures": 1, "max_bad_fraction": 0.5, "shuffle": shuffle}
    with stopped_before_delivery(monkeypatch):
        prepared(tmp_path, folders, index, **options)
    outcome = prepared(tmp_path, folders, index, **options)
    assert len(list((tmp_path / "records").glob("train-*.tar"))) == 7
    assert find_problems(tmp_path / "records", index, outcome.skipped) == []
    assert outcome.counts["train"] == SplitCounts(pictures=7, skipped=5)
    found = open_records(tmp_path / "records", "train")
    assert sorted(found.names) == sorted(["cat/0.jpg", *(f"dog/{number}.jpg" for number in range(6))])
    for record, name in enumerate(found.names):
        square = to_square(decode((folders / "train" / name).read_bytes()))
        assert found.stored(record).tobytes() == encode(square, 95, "4:2:0")


@pytest.mark.parametrize(
    ("emptied", "reason"),
    [
        ("train/dog/*", "class dog: no training picture is left"),
        ("train/*/*", "no picture of the split train is left"),
        ("val/*/*", "no picture of the split val is left"),
    ],
)
def test_a_class_or_split_without_a_picture_is_refused(
    folders: Path, tmp_path: Path, emptied: str, reason: str
) -> None:
    for path in folders.glob(emptied):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=reason):
        prepared(tmp_path, folders, indexed(folders), max_bad_fraction=1.0)


@pytest.mark.parametrize("large", [0, prepare.LARGE])
def test_what_it_needs_is_told_beforehand(
    large: int,
    make: Make,
    records: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(prepare, "LARGE", large)
    monkeypatch.setattr(prepare, "TRIAL_PICTURES", 24)
    monkeypatch.setattr(prepare, "make_shard", lambda shard: pytest.fail("work began"))
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=100_000))
    with pytest.raises(UserError, match=r"data\.classes, data\.per_class"):
        make()
    said = capsys.readouterr().out
    assert said.startswith("preprocess: 48 pictures need about ")
    true = sum(path.stat().st_size for path in records.glob("*.tar")) / 1e6
    assert float(said.split("about ")[1].split(" MB")[0]) == pytest.approx(true, rel=0.35)
    assert ("dvc config cache.type hardlink" in said) == (large == 0)


# --- stops and restarts ---------------------------------------------------------------------------


def test_a_restart_keeps_finished_shards(
    make: Make, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def until(stop: int, shard: shards.Shard) -> int:
        if len(asked) == stop:
            raise OSError("the power went")
        asked.append(shard.name)
        return shards.make_shard(shard)

    monkeypatch.setattr(prepare, "make_shard", partial(until, 1))
    with pytest.raises(OSError, match="the power went"):
        make()
    assert not (tmp_path / "records").exists()
    (left,) = (tmp_path / "state").glob("*/*.tar")
    written = left.stat().st_mtime_ns
    monkeypatch.setattr(prepare, "make_shard", partial(until, -1))
    make()
    # The first one was made once, before the stop.
    assert f"{asked[0]}.tar" == left.name
    assert sorted(asked) == [f"train-{n:05d}" for n in range(5)] + [f"val-{n:05d}" for n in range(2)]
    assert (tmp_path / "records" / left.name).stat().st_mtime_ns == written
    assert hashes(tmp_path / "records") == hashes(records)
    assert list((tmp_path / "state").iterdir()) == []


@SHUFFLES
def test_nothing_is_kept_of_pictures_that_were_replaced(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffle: str
) -> None:
    """Also when the new files have the sizes and the times of the old ones."""
    index = indexed(folders)
    options: dict[str, Any] = {"shard_pictures": 4, "shuffle": shuffle}
    with stopped_before_delivery(monkeypatch):
        prepared(tmp_path, folders, index, **options)
    for path in folders.glob("train/*/*.jpg"):
        about = path.stat()
        flip(path, 300)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    prepared(tmp_path, folders, index, **options)
    prepared(tmp_path / "fresh", folders, index, **options)
    assert hashes(tmp_path / "records") == hashes(tmp_path / "fresh/records")


@pytest.mark.parametrize(("shuffle", "suffix"), [("seek", "tar"), ("scatter", "parquet")])
def test_a_shard_that_is_damaged_before_it_is_delivered_is_made_again(
    make: Make,
    records: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    shuffle: str,
    suffix: str,
) -> None:
    with stopped_before_delivery(monkeypatch):
        make(shuffle=shuffle)
    (path,) = (tmp_path / "state").glob(f"*/train-00001.{suffix}")
    flip(path, 100)
    make(shuffle=shuffle)
    assert "train-00001.tar: damaged, so it is made again" in capsys.readouterr().out
    assert hashes(tmp_path / "records") == hashes(records)


@pytest.mark.parametrize("other", ["code", "settings"])
def test_other_code_or_settings_do_not_take_over_finished_shards(
    make: Make, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    with stopped_before_delivery(monkeypatch) as patch:
        if other == "code":
            patch.setattr(prepare, "sha256_of_code", lambda _: "of an older version")
            patch.setattr(shards, "to_square", lambda _: np.zeros((256, 256, 3), np.uint8))
        make(jpeg_quality=50 if other == "settings" else 95)
    make()
    assert hashes(tmp_path / "records") == hashes(records)


def test_a_run_made_twice_is_there_once(
    raw: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = scatter.plan_runs(shards.plan_shards(tmp_path, raw, index.pictures, SETTINGS))[0]
    others = 0

    def meanwhile(*arguments: Any) -> Any:
        # The task of a stage that was killed ends while this one is at work.
        nonlocal others
        if not others:
            others += 1
            scatter.make_run(run)
        return shards.prepare_pictures(*arguments)

    monkeypatch.setattr(scatter, "prepare_pictures", meanwhile)
    assert scatter.make_run(run) == len(run.pictures)
    assert run.finished
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("links", [3, None])
def test_a_delivery_that_is_stopped_or_cannot_link(
    make: Make, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: int | None
) -> None:
    """It is stopped after so many links, or the file system has none."""
    made = 0

    def link(source: Path, target: Path) -> None:
        nonlocal made
        made += 1
        if links is None:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        if made > links:
            raise KeyboardInterrupt
        target.hardlink_to(source)

    with monkeypatch.context() as patch:
        patch.setattr("alexnet.ingest.prepare.os.link", link)
        if links is None:
            make()
        else:
            with pytest.raises(KeyboardInterrupt):
                make()
            # As DVC does before it runs a stage again.
            shutil.rmtree(tmp_path / "records")
    make()
    assert hashes(tmp_path / "records") == hashes(records)


@SHUFFLES
@pytest.mark.parametrize("calls", [1, 8])
def test_a_stop_anywhere_ends_with_the_same_store(
    make: Make, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffle: str, calls: int
) -> None:
    """The power goes at some write, and again a few writes later, until all is there."""
    monkeypatch.setattr(scatter, "RUN_PICTURES", 13)
    monkeypatch.setattr(scatter, "BUCKET_PICTURES", 16)
    replace, left, stops = Path.replace, calls, 0

    def failing(source: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        while not (tmp_path / "records" / SHARDS).exists():
            with contextlib.suppress(KeyboardInterrupt):
                make(shuffle=shuffle)
            stops += left < 0
            left = calls + stops
    assert stops > 0
    assert hashes(tmp_path / "records") == hashes(records)
    assert list((tmp_path / "state").iterdir()) == []


@SHUFFLES
@pytest.mark.parametrize("removed", [0, 1, 3, 7])
def test_a_stop_while_the_finished_work_is_removed(
    make: Make, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffle: str, removed: int
) -> None:
    remove, left = shutil.rmtree, removed
    monkeypatch.setattr(scatter, "RUN_PICTURES", 13)

    def stopped(folder: Path) -> None:
        for path in sorted(folder.rglob("*.*"))[:left]:
            path.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", stopped)
        with pytest.raises(KeyboardInterrupt):
            make(shuffle=shuffle)
    remove(tmp_path / "records")
    make(shuffle=shuffle)
    assert hashes(tmp_path / "records") == hashes(records)


@SHUFFLES
def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    make: Make, records: Path, tmp_path: Path, shuffle: str
) -> None:
    # A file may grow to 100 kB here, which a shard or the sums reach in their middle.
    with largest_file(100_000), pytest.raises(UserError, match="cannot be written: File too large"):
        make(shuffle=shuffle)
    assert not (tmp_path / "records").exists()
    make(shuffle=shuffle)
    assert hashes(tmp_path / "records") == hashes(records)


def test_a_target_that_cannot_be_written(raw: Path, index: Index, tmp_path: Path) -> None:
    # Not even root writes there.
    for records, state in ((tmp_path / "x", Path("/proc/x")), (Path("/proc/x"), tmp_path / "state")):
        with pytest.raises(UserError, match=r"/proc/x.*cannot be written"):
            store(raw, index, records, state)


def test_two_at_once_are_refused(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "fingerprint", lambda **_: "same")
    with (
        sole_writer(tmp_path / "state" / "same", 1.0),
        pytest.raises(UserError, match="held by another process"),
    ):
        make(timeout=0.1)
