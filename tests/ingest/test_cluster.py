"""Preparing on a dask scheduler gives the store that local workers give."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT
from distributed import LocalCluster

from alexnet.core.errors import UserError
from alexnet.core.machine import Machine, Shuffle
from alexnet.core.params import read
from alexnet.core.processes import executor
from alexnet.ingest.params import Data, Preprocess
from alexnet.ingest.prepare import preprocess
from alexnet.ingest.selection import select_pictures
from alexnet.sample import generate
from alexnet.sample.params import Sample

SHUFFLES: tuple[Shuffle, ...] = ("seek", "scatter")


def _store(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_dask_writes_the_same_store_either_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alexnet.ingest.prepare.RUN_PICTURES", 7)
    monkeypatch.setattr("alexnet.ingest.prepare.BUCKET_PICTURES", 10)
    settings = Sample(seed=1, classes=3, first_class=0, train_per_class=4, val_per_class=2)
    generate(tmp_path / "raw", settings, "none")
    index, _ = select_pictures(tmp_path / "raw", read(ROOT / "params.yaml", Data), tmp_path / "state")
    small = read(ROOT / "params.yaml", Preprocess).model_copy(update={"shard_pictures": 5})

    def prepare(name: str, machine: Machine | None, shuffle: Shuffle) -> dict[str, bytes]:
        place, state = tmp_path / name, tmp_path / "state"
        with executor(machine) if machine else ThreadPoolExecutor(1) as pool:
            preprocess(tmp_path / "raw", index, small, place, state, pool, "none", shuffle=shuffle)
        return _store(place)

    cluster = LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=":0",
    )
    with cluster:
        assert cluster.scheduler_address.startswith("tcp://")
        machine = Machine(scheduler=cluster.scheduler_address)
        by_dask = [prepare(shuffle, machine, shuffle) for shuffle in SHUFFLES]
    expected = prepare("threads", None, "seek")
    assert len([name for name in expected if name.endswith(".tar")]) > 3
    assert by_dask == [expected, expected]


def test_absent_scheduler_is_named() -> None:
    machine = Machine(scheduler="tcp://127.0.0.1:9", timeout_seconds=0.5)
    with (
        pytest.raises(UserError, match=r"scheduler: tcp://127\.0\.0\.1:9 does not answer"),
        executor(machine),
    ):
        pytest.fail("there is no scheduler")
