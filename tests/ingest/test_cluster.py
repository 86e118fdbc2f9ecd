"""Preparing on a dask scheduler gives the store that local workers give."""

import time
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
from alexnet.ingest.prepare import prepare
from alexnet.ingest.selection import select_pictures
from alexnet.sample.files import generate
from alexnet.sample.params import Sample

SHUFFLES: tuple[Shuffle, ...] = ("seek", "scatter")


def test_dask_writes_the_same_store_either_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alexnet.ingest.scatter.RUN_PICTURES", 7)
    monkeypatch.setattr("alexnet.ingest.scatter.BUCKET_PICTURES", 10)
    settings = Sample(seed=1, classes=3, first_class=0, train_per_class=4, val_per_class=2)
    generate(tmp_path / "raw", settings, "none")
    index = select_pictures(tmp_path / "raw", read(ROOT / "params.yaml", Data), tmp_path / "state")
    small = read(ROOT / "params.yaml", Preprocess).model_copy(update={"shard_pictures": 5})

    def store(name: str, shuffle: Shuffle, scheduler: str = "") -> dict[str, bytes]:
        machine = Machine(data_root=str(tmp_path / "raw"), shuffle=shuffle, progress="none")
        place, state = tmp_path / name, tmp_path / "state"
        on = executor(Machine(scheduler=scheduler)) if scheduler else ThreadPoolExecutor(1)
        with on as pool:
            prepare(index, small, machine, place, state, pool)
        return {path.name: path.read_bytes() for path in place.iterdir()}

    where = {"protocol": "tcp", "host": "127.0.0.1", "dashboard_address": ":0"}
    cluster = LocalCluster(n_workers=1, threads_per_worker=2, processes=False, **where)
    with cluster:
        assert cluster.scheduler_address.startswith("tcp://")
        by_dask = [store(shuffle, shuffle, cluster.scheduler_address) for shuffle in SHUFFLES]
    expected = store("threads", "seek")
    assert len([name for name in expected if name.endswith(".tar")]) > 3
    assert by_dask == [expected, expected]


def test_absent_scheduler_is_named() -> None:
    machine = Machine(scheduler="tcp://127.0.0.1:9", timeout_seconds=0.5)
    with (
        pytest.raises(UserError, match=r"scheduler: tcp://127\.0\.0\.1:9 does not answer"),
        executor(machine),
    ):
        pytest.fail("there is no scheduler")


def test_a_scheduler_that_is_lost_is_named() -> None:
    where = {"protocol": "tcp", "host": "127.0.0.1", "dashboard_address": ":0"}
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **where)

    def work() -> None:
        with executor(Machine(scheduler=cluster.scheduler_address)) as pool:
            waiting = pool.submit(time.sleep, 2)
            cluster.close()
            waiting.result(60)

    with pytest.raises(UserError, match="or its workers were lost"):
        work()
