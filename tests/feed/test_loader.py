"""Order, cuts and mirrors, and loaders that give the same batches however they are asked."""

import io
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from conftest import ROOT
from nvidia.dali import backend
from PIL import Image
from tiny import CPU, coarse_pictures, encoded, section, told, write_shards

from alexnet.core.errors import UserError
from alexnet.core.machine import Machine
from alexnet.feed.loader import FOR_RAW, Loader, chosen_loader, open_loader
from alexnet.feed.order import WHOLE, Epoch, Share, in_storage_order, training_epoch
from alexnet.feed.params import Augment
from alexnet.feed.process import PLACES, ProcessLoader
from alexnet.feed.threads import ThreadLoader, one_ahead, put
from alexnet.model.input import Batch
from alexnet.store.records import Records, encode, open_records, write_tables

SEED = 4
PICTURES = 30
STARTED: dict[Any, ProcessLoader] = {}
LABELS = [n * n % 3 for n in range(PICTURES)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    """Records in four shards, whose names and labels are known."""
    folder = tmp_path_factory.mktemp("store")
    contents = [encoded(each, "JPEG") for each in coarse_pictures(PICTURES, 64)]
    rows = write_shards(folder, "train", contents, LABELS, per_shard=8)
    write_tables(folder, pd.concat(rows, ignore_index=True))
    yield open_records(folder, "train")
    STARTED.clear()


def decoded(records: Records, record: int) -> npt.NDArray[np.uint8]:
    """Return a record's pixels by Pillow, which no loader uses."""
    with Image.open(io.BytesIO(records.stored(record).tobytes())) as picture:
        return np.asarray(picture)


# Both ends of the 33 offsets, and what tells top from left.
CORNERS = [(0, 0), (0, 32), (32, 0), (32, 32), (1, 31), (31, 1), (15, 17)]


def plan(epoch: int = 1) -> Epoch:
    """Return the plan of an epoch, in which the first records are cut at the `CORNERS`."""
    drawn = training_epoch(SEED, epoch, PICTURES, section(Augment))
    drawn.top[: len(CORNERS)], drawn.left[: len(CORNERS)] = zip(*CORNERS, strict=True)
    return drawn


def opened(
    kind: Any,
    records: Records,
    batch_size: int = 8,
    side: int = 224,
    share: Share = WHOLE,
    device: torch.device = CPU,
    **machine: Any,
) -> Loader:
    if kind == "process":
        return in_a_process(records, batch_size, side, share, machine.get("workers", 1))
    place = Machine(loader=kind, **{"workers": 1, **machine})
    return open_loader(place, records, batch_size, device, side, share)


def in_a_process(records: Records, batch_size: int, side: int, share: Share, threads: int) -> ProcessLoader:
    """Return one for all tests that ask for the same: each needs seconds to start."""
    key = id(records), batch_size, side, share, threads
    if key not in STARTED:
        STARTED[key] = ProcessLoader(ThreadLoader(records, batch_size, CPU, threads, side, share), CPU)
    return STARTED[key]


def joined(batches: Iterator[Batch]) -> dict[str, npt.NDArray[Any]]:
    """Return the fields of all `batches`, each as one array."""
    listed = list(batches)
    return {name: np.concatenate([np.asarray(getattr(b, name)) for b in listed]) for name in Batch._fields}


def same(one: dict[str, npt.NDArray[Any]], other: dict[str, npt.NDArray[Any]]) -> bool:
    return all(
        one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name])
        for name in Batch._fields
    )


@pytest.fixture(scope="module")
def expected(made: Records) -> dict[str, npt.NDArray[Any]]:
    """Return the first epoch, put together here from the plan and Pillow's decoding."""
    epoch = plan()
    patches = []
    for record in epoch.order:
        top, left = epoch.top[record], epoch.left[record]
        patch = decoded(made, record)[top : top + 224, left : left + 224]
        patches.append(patch[:, ::-1] if epoch.mirrored[record] else patch)
    return {
        "pixels": np.stack(patches),
        "top": epoch.top[epoch.order],
        "left": epoch.left[epoch.order],
        "mirrored": epoch.mirrored[epoch.order],
        "labels": np.array(LABELS)[epoch.order],
        "records": epoch.order,
    }


# --- all loaders ---------------------------------------------------------------------------------

KINDS = pytest.mark.parametrize("kind", ["torch", "dali"])
ALL_KINDS = pytest.mark.parametrize("kind", ["torch", "dali", "process"])


@KINDS
@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (7, 1), (10, 1), (30, 1), (64, 1), (8, 2)])
def test_patches_are_as_planned_in_batches_of_any_size_by_any_number_of_threads(
    made: Records, expected: dict[str, npt.NDArray[Any]], kind: str, batch_size: int, workers: int
) -> None:
    batches = list(opened(kind, made, batch_size, workers=workers).batches(plan()))
    # The last may be smaller. None is changed while later ones come, as DALI's own memory is.
    sizes = [min(batch_size, PICTURES - first) for first in range(0, PICTURES, batch_size)]
    assert [len(batch.pixels) for batch in batches] == sizes
    assert same(joined(iter(batches)), expected)


@ALL_KINDS
@pytest.mark.parametrize("batch_size", [4, 13])
def test_whole_pictures_in_storage_order(made: Records, kind: str, batch_size: int) -> None:
    loader = opened(kind, made, batch_size, side=256)
    found = joined(loader.batches(in_storage_order(PICTURES)))
    pictures = np.stack([decoded(made, record) for record in range(PICTURES)])
    np.testing.assert_array_equal(found["pixels"], pictures)
    assert found["records"].tolist() == list(range(PICTURES))
    assert set(found["top"]) == set(found["left"]) == {16}
    assert not found["mirrored"].any()
    # A plan's cuts and mirrors are for patches; whole pictures stay whole.
    shuffled = joined(loader.batches(plan()))
    np.testing.assert_array_equal(shuffled["pixels"], pictures[plan().order])


@ALL_KINDS
@pytest.mark.parametrize("first", [0, 1, 8, 13, 29, 30])
def test_an_epoch_goes_on_from_any_picture(
    made: Records, expected: dict[str, npt.NDArray[Any]], kind: str, first: int
) -> None:
    batches = list(opened(kind, made, 8).batches(plan(), first))
    assert sum(len(batch.records) for batch in batches) == PICTURES - first
    if first < PICTURES:
        rest = {name: values[first:] for name, values in expected.items()}
        assert same(joined(iter(batches)), rest)


@ALL_KINDS
@pytest.mark.parametrize("taken", [1, 2, 4])
def test_stopping_early_leaves_nothing_to_the_next_epoch(
    made: Records, expected: dict[str, npt.NDArray[Any]], kind: str, taken: int
) -> None:
    loader = opened(kind, made, 8)
    second = plan(2)
    undisturbed = joined(loader.batches(second))
    for _, batch in zip(range(taken), loader.batches(plan()), strict=False):
        assert len(batch.records) > 0
    assert same(joined(loader.batches(second)), undisturbed)
    stopped = loader.batches(plan())
    seen = [next(stopped) for _ in range(taken)]
    stopped.close()  # type: ignore[attr-defined]
    begun = sum(len(batch.records) for batch in seen)
    rest = list(loader.batches(plan(), begun))
    for found in (iter([*seen, *rest]), loader.batches(plan())):
        assert same(joined(found), expected)


@KINDS
@pytest.mark.parametrize("of", [2, 3, 4, 7])
@pytest.mark.parametrize("first", [0, 13])
def test_shares_together_are_the_whole_batches(made: Records, kind: str, of: int, first: int) -> None:
    def shares(share: Share) -> list[Batch]:
        return list(opened(kind, made, share=share).batches(plan(), first))

    parts = [shares(Share(part, part + 1, of)) for part in range(of)]
    whole = list(opened(kind, made).batches(plan(), first))
    assert [len(part) for part in parts] == [len(whole)] * of
    for batch, *pieces in zip(whole, *parts, strict=True):
        sizes = [len(piece.records) for piece in pieces]
        assert max(sizes) - min(sizes) <= 1
        assert same(joined(iter([batch])), joined(iter(pieces)))


def test_on_a_gpu_dali_is_told_how_much_its_jpeg_engine_takes(
    made: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []

    class Pipeline:
        def __init__(self, _request: object, side: int, decoding: dict[str, Any], **options: Any) -> None:
            told.append({"side": side, **decoding, "device_id": options["device_id"]})

        def build(self) -> None:
            pass

    monkeypatch.setattr("alexnet.feed.dali._pipeline", Pipeline)
    for side in (224, 256):
        opened("dali", made, 8, side, device=torch.device("cuda", 3), hardware_decoder_load=0.9)
        expected = {"side": side, "device": "mixed", "hw_decoder_load": 0.9, "device_id": 3}
        assert told.pop() == expected | {"jpeg_fancy_upsampling": True}
        opened("dali", made, 8, side, hardware_decoder_load=0.9)
        assert told.pop() == {"side": side, "device": "cpu", "device_id": None}
    for operator in ("decoders__Image", "decoders__ImageSlice"):
        schema = backend.GetSchema(operator)  # type: ignore[attr-defined]
        default = schema.GetArgumentDefaultValueString("hw_decoder_load")
        assert float(default) == Machine().hardware_decoder_load


def test_auto_takes_dali_where_it_is_installed(made: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(opened("auto", made)).__name__ == "DaliLoader"
    assert isinstance(opened("torch", made), ThreadLoader)

    def absent(name: str) -> None:
        if "." in name:
            raise ModuleNotFoundError(name)

    # Without DALI, and where nothing of NVIDIA's is installed.
    for find_spec in (absent, lambda name: None):
        monkeypatch.setattr("importlib.util.find_spec", find_spec)
        assert isinstance(opened("auto", made), ThreadLoader)
        assert chosen_loader("torch", "jpeg") == "torch"
    with told("loader: found dali, which is not installed; allowed here: auto, torch"):
        chosen_loader("dali", "jpeg")


@pytest.mark.parametrize(
    ("encoding", "workers", "processes", "threads"),
    [("jpeg", 5, 2, 2), ("jpeg", 2, 4, 1), ("jpeg", 6, 1, 6), ("raw", 16, 1, FOR_RAW), ("raw", 2, 1, 2)],
)
def test_processes_share_the_threads_and_raw_records_take_few(
    made: Records, encoding: str, workers: int, processes: int, threads: int
) -> None:
    machine, records = Machine(loader="torch", workers=workers), replace(made, encoding=encoding)
    loader = open_loader(machine, records, 8, CPU, processes_here=processes)
    assert isinstance(loader, ThreadLoader)
    assert loader.threads == threads


# Nine threads are three processes, whose parts of small batches can be empty.
@pytest.mark.parametrize("batch_size", [8, 2])
def test_processes_take_parts_of_a_share(made: Records, batch_size: int) -> None:
    share = Share(1, 3, 3)
    found = joined(opened("process", made, batch_size, share=share, workers=9).batches(plan(), 13))
    assert same(found, joined(opened("torch", made, batch_size, share=share).batches(plan(), 13)))


def test_a_process_of_its_own_has_more_batches_than_places(made: Records) -> None:
    loader = opened("process", made, 1)
    for first in (0, PICTURES - PLACES, PICTURES - 1, PICTURES):
        found, expected = (list(each.batches(plan(), first)) for each in (loader, opened("torch", made, 1)))
        assert len(found) == len(expected) == PICTURES - first
        assert all(same(joined(iter([a])), joined(iter([b]))) for a, b in zip(found, expected, strict=True))


def test_what_fails_in_the_other_process_fails_here_unless_its_pass_was_left(
    tmp_path: Path, made: Records
) -> None:
    contents = [made.stored(0).tobytes()] * 4 + [b"no JPEG"]
    write_tables(tmp_path, write_shards(tmp_path, "train", contents, [0] * 5)[0])
    loader = ProcessLoader(ThreadLoader(open_records(tmp_path, "train"), 2, CPU, 5), CPU)
    left = loader.batches(in_storage_order(5))
    next(left)
    # Until the third batch has failed.
    time.sleep(0.5)
    left.close()  # type: ignore[attr-defined]
    assert len(list(loader.batches(in_storage_order(4)))) == 2
    for _ in range(2):
        with pytest.raises(ValueError, match="JPEG") as failed:
            list(loader.batches(in_storage_order(5)))
        assert "decode_jpeg" in failed.value.__notes__[0], "where it failed in the other process"


def test_a_process_slow_to_leave_a_pass_puts_nothing_into_the_next(tmp_path: Path) -> None:
    # The last batch is small, so its parts lie where other processes put those of a whole one. Its pictures
    # take long to decode.
    quick, slow = np.zeros((256, 256, 3), np.uint8), np.random.default_rng(SEED)
    contents = [encode(quick + number, 95, "4:2:0") for number in range(72)]
    contents += [encode(slow.integers(0, 256, quick.shape, np.uint8), 100, "4:4:4") for _ in range(9)]
    write_tables(tmp_path, write_shards(tmp_path, "train", contents, [0] * 81)[0])
    threads = ThreadLoader(open_records(tmp_path, "train"), 24, CPU, 9)
    loader, every = ProcessLoader(threads, CPU), in_storage_order(81)
    expected = joined(threads.batches(every))
    for _ in range(40):
        left = loader.batches(every, 24)
        next(left)
        left.close()  # type: ignore[attr-defined]
        assert same(joined(loader.batches(every)), expected)


class LateCopy:
    """Stands for a copy to a GPU, which is made when it is waited for."""

    def __init__(self, target: torch.Tensor, source: torch.Tensor) -> None:
        self.synchronize = partial(target.copy_, source)


def test_a_pass_waits_for_the_copies_of_the_one_before_and_ends_it(
    made: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(pixels: torch.Tensor) -> tuple[torch.Tensor, LateCopy]:
        copied = torch.empty_like(pixels)
        return copied, LateCopy(copied, pixels)

    loader = opened("process", made)
    monkeypatch.setattr(loader, "_fetched", fetched)
    earlier = loader.batches(plan())
    batch = next(earlier)
    later = loader.batches(plan(2))
    next(later)
    assert torch.equal(batch.pixels, next(opened("torch", made).batches(plan())).pixels)
    with pytest.raises(RuntimeError, match="a later pass"):
        next(earlier)


SLOW = """
import sys, time
from pathlib import Path
import torch
from alexnet.core.processes import stop_requests
from alexnet.feed.order import in_storage_order
from alexnet.feed.process import ProcessLoader
from alexnet.feed.threads import ThreadLoader
from alexnet.store.records import encode, open_records

if __name__ == "__main__":
    records = open_records(Path(sys.argv[1]), "train")
    with stop_requests() as stop_asked:
        cpu = torch.device("cpu")
        loader = ProcessLoader(ThreadLoader(records, 1, cpu, 1), cpu)
        print("ready", flush=True)
        while True:
            for batch in loader.batches(in_storage_order(len(records))):
                if stop_asked():
                    print("asked to stop", flush=True)
                    sys.exit()
"""


# While the other process starts, and while it loads.
@pytest.mark.parametrize(("number", "seconds"), [(signal.SIGINT, 0.1), (signal.SIGTERM, 3)])
def test_a_signal_to_all_processes_is_for_the_one_that_trains(
    made: Records, tmp_path: Path, number: signal.Signals, seconds: float
) -> None:
    assert made._opened
    script = tmp_path / "script.py"
    script.write_text(SLOW)
    command = [sys.executable, str(script), str(made._opened[0])]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, process_group=0, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        os.killpg(process.pid, number)
        assert process.communicate(timeout=30)[0] == "asked to stop\n"
    assert process.returncode == 0


def test_a_process_that_was_killed_is_told(made: Records) -> None:
    before = set(multiprocessing.active_children())
    loader = ProcessLoader(ThreadLoader(made, 8, CPU, 1), CPU)
    (process,) = set(multiprocessing.active_children()) - before
    batches = loader.batches(plan())
    next(batches)
    process.kill()
    process.join()
    with pytest.raises(UserError, match=r"a process that loads pictures was ended.*fewer workers"):
        list(batches)
    with pytest.raises(UserError, match="a process that loads pictures"):
        next(loader.batches(plan()))


@pytest.mark.parametrize("loads", [True, False])
def test_the_process_ends_with_its_loader(
    made: Records, loads: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    # The first process also starts what Python keeps for all.
    opened("process", made)
    before, files = set(multiprocessing.active_children()), len(os.listdir("/proc/self/fd"))
    loader = ProcessLoader(ThreadLoader(made, 8, CPU, 5), CPU)
    assert len(set(multiprocessing.active_children()) - before) == 2
    if loads:
        next(loader.batches(plan()))
    # Else it is still starting.
    del loader
    assert capfd.readouterr().err == ""
    assert set(multiprocessing.active_children()) == before
    assert len(os.listdir("/proc/self/fd")) == files


def test_raw_records_are_cut_the_same(made: Records, tmp_path: Path) -> None:
    contents = [decoded(made, record).tobytes() for record in range(PICTURES)]
    write_tables(tmp_path, write_shards(tmp_path, "train", contents, LABELS, encoding="raw")[0])
    raw = open_records(tmp_path, "train")
    # Whichever is asked for, the threads load them.
    for side in (224, 256):
        found = joined(opened("dali", raw, 7, side).batches(plan()))
        assert same(found, joined(opened("torch", made, 7, side).batches(plan())))


def test_a_store_has_more_shards_than_files_may_be_open(made: Records, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    content = made.stored(0).tobytes()
    rows = write_shards(tmp_path, "train", [content] * 100, [0] * 100, per_shard=1)
    write_tables(tmp_path, pd.concat(rows, ignore_index=True))
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, limits[1]))
    try:
        records = open_records(tmp_path, "train")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert all(records.stored(n).tobytes() == content for n in range(100))


def test_a_store_of_another_version_is_told(made: Records, tmp_path: Path) -> None:
    (rows,) = write_shards(tmp_path, "train", [made.stored(0).tobytes()], [0])
    write_tables(tmp_path, rows)
    rows.drop(columns="encoding").to_parquet(tmp_path / "records.parquet")
    with pytest.raises(UserError, match=r"records\.parquet: no column encoding.*dvc repro -f preprocess"):
        open_records(tmp_path, "train")


# --- the plan -------------------------------------------------------------------------------------


def test_epochs_show_every_record_once_in_unrelated_orders() -> None:
    orders = [training_epoch(SEED, number, 2000, section(Augment)).order for number in (1, 2, 50)]
    assert all(sorted(order) == list(range(2000)) for order in orders)
    # Places are ranks already.
    places = [*map(np.argsort, orders), np.arange(2000)]
    assert np.abs(np.corrcoef(places) - np.eye(4)).max() < 0.05


def test_draws_are_a_function_of_seed_and_epoch() -> None:
    def fields(seed: int, epoch: int) -> list[npt.NDArray[Any]]:
        return list(training_epoch(seed, epoch, 500, section(Augment)).__dict__.values())

    usual = fields(1, 1)
    assert all(np.array_equal(one, other) for one, other in zip(usual, fields(1, 1), strict=True))
    for others in (fields(1, 2), fields(2, 1)):
        assert not any(np.array_equal(one, other) for one, other in zip(usual, others, strict=True))


def test_offsets_and_mirrors_are_uniform_and_unrelated() -> None:
    epoch = training_epoch(SEED, 1, 33_000, section(Augment))
    for offsets in (epoch.top, epoch.left):
        counts = np.bincount(offsets, minlength=33)
        assert len(counts) == 33, "0 to 32"
        # 1000 each, give or take four standard deviations.
        assert np.abs(counts - 1000).max() < 130
    assert len(set(zip(epoch.top.tolist(), epoch.left.tolist(), strict=True))) == 33 * 33
    assert abs(epoch.mirrored.mean() - 0.5) < 0.012
    draws = np.stack([epoch.top, epoch.left, epoch.mirrored, *epoch.noise.T, np.argsort(epoch.order)])
    assert np.abs(np.corrcoef(draws) - np.eye(len(draws))).max() < 0.025
    assert np.abs(epoch.noise.mean(0)).max() < 0.025
    assert np.abs(epoch.noise.std(0) - 1).max() < 0.02


def test_switched_off_draws_leave_the_others_alone() -> None:
    usual = training_epoch(SEED, 1, 500, section(Augment))
    centre = training_epoch(SEED, 1, 500, section(Augment, crop="centre"))
    assert set(centre.top) == set(centre.left) == {16}
    np.testing.assert_array_equal(centre.mirrored, usual.mirrored)
    straight = training_epoch(SEED, 1, 500, section(Augment, mirror=False))
    assert not straight.mirrored.any()
    np.testing.assert_array_equal(straight.top, usual.top)
    for changed in (centre, straight):
        np.testing.assert_array_equal(changed.noise, usual.noise)
        np.testing.assert_array_equal(changed.order, usual.order)


def test_pictures_that_follow_each_other_may_share_a_patch() -> None:
    usual = training_epoch(SEED, 2, 500, section(Augment))
    shared = training_epoch(SEED, 2, 500, section(Augment, pictures_per_crop=32))
    np.testing.assert_array_equal(shared.order, usual.order)
    np.testing.assert_array_equal(shared.noise, usual.noise)
    for place, record in enumerate(shared.order):
        first = usual.order[place // 32 * 32]
        for name in ("top", "left", "mirrored"):
            assert getattr(shared, name)[record] == getattr(usual, name)[first]
    assert len(set(zip(shared.top, shared.left, shared.mirrored, strict=True))) == 16, "500 / 32, rounded up"


def test_a_fixed_order_is_that_of_the_records_in_every_epoch() -> None:
    first, second = (training_epoch(SEED, number, 500, section(Augment), "fixed") for number in (1, 2))
    np.testing.assert_array_equal(first.order, np.arange(500))
    np.testing.assert_array_equal(second.order, first.order)
    assert (first.top != second.top).any()
    np.testing.assert_array_equal(first.top, training_epoch(SEED, 1, 500, section(Augment)).top)


class Noted:
    """Stands for a GPU's stream and its events: it notes what it is asked for."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    def record_event(self) -> str:
        return f"batch {self.notes.count('made')} is there"

    def wait_event(self, event: str) -> None:
        self.notes.append(f"{self.name} waits until {event}")


class OnDevice:
    """Stands for a batch on a GPU."""

    def __init__(self, number: int, notes: list[str]) -> None:
        self.labels, self.notes, self.on_device = number, notes, (self,)

    def record_stream(self, stream: Noted) -> None:
        self.notes.append(f"batch {self.labels} belongs to {stream.name}")


def test_a_gpu_fetches_each_batch_while_it_works_on_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Noted("copying", notes))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Noted("computing", notes))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())

    def made() -> Any:
        try:
            for number in (1, 2, 3):
                notes.append("made")
                yield OnDevice(number, notes)
        finally:
            notes.append("closed")

    def step(number: int) -> list[str]:
        # The following batch is under way before this one is worked on.
        following = ["made"] if number < 3 else ["closed"]
        waits = f"computing waits until batch {number} is there"
        return [*following, waits, f"batch {number} belongs to computing", f"work on {number}"]

    for batch in one_ahead(made(), torch.device("cuda")):
        notes.append(f"work on {batch.labels}")
    assert notes == ["made", *step(1), *step(2), *step(3)]

    notes.clear()
    batches = one_ahead(made(), torch.device("cuda"))
    next(batches)
    batches.close()
    assert notes[-1] == "closed"


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="for places of"):
        put([np.zeros((200, 256, 3), np.uint8)] * 2, np.zeros((2, 256, 256, 3), np.uint8))
