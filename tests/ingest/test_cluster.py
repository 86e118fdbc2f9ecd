"""Preparing on a dask scheduler gives the store that local workers give."""

import time
from pathlib import Path

import pytest
from archives import Build, official_files, store
from distributed import LocalCluster
from tiny import hashes

from alexnet.core.errors import UserError
from alexnet.core.machine import Machine, Shuffle
from alexnet.core.processes import executor

HERE = {"protocol": "tcp", "host": "127.0.0.1", "dashboard_address": ":0"}
SHUFFLES: tuple[Shuffle, ...] = ("seek", "scatter")


def test_dask_writes_the_same_store_either_way(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alexnet.ingest.scatter.RUN_PICTURES", 7)
    monkeypatch.setattr("alexnet.ingest.scatter.BUCKET_PICTURES", 10)
    root = official_files(tmp_path / "raw")
    index = build(root)

    def made(name: str, shuffle: Shuffle, scheduler: str = "") -> dict[str, str]:
        pool = executor(Machine(scheduler=scheduler)) if scheduler else None
        store(root, index, tmp_path / name, tmp_path / "state", pool, shuffle=shuffle)
        return hashes(tmp_path / name)

    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, **HERE) as cluster:
        assert cluster.scheduler_address.startswith("tcp://")
        by_dask = [made(shuffle, shuffle, cluster.scheduler_address) for shuffle in SHUFFLES]
    expected = made("threads", "seek")
    assert len([name for name in expected if name.endswith(".tar")]) > 3
    assert by_dask == [expected, expected]


def test_absent_scheduler_is_named() -> None:
    machine = Machine(scheduler="tcp://127.0.0.1:9", timeout_seconds=0.5)
    with (
        pytest.raises(UserError, match=r"scheduler: tcp://127\.0\.0\.1:9 does not answer"),
        executor(machine),
    ):
        pytest.fail("there is no scheduler")


def test_a_scheduler_without_workers_is_told() -> None:
    with LocalCluster(n_workers=0, **HERE) as cluster:
        machine = Machine(scheduler=cluster.scheduler_address, timeout_seconds=0.5)
        with pytest.raises(UserError, match=r"scheduler: tcp://.* has no workers"), executor(machine):
            pytest.fail("there are no workers")


def test_a_scheduler_that_is_lost_is_named() -> None:
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **HERE)

    def work() -> None:
        with executor(Machine(scheduler=cluster.scheduler_address)) as pool:
            waiting = pool.submit(time.sleep, 2)
            cluster.close()
            waiting.result(60)

    with pytest.raises(UserError, match="or its workers were lost"):
        work()
