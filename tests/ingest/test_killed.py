"""The preprocess stage under the real dvc, killed with SIGKILL while shards are made."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Project, make_project


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, str]]:
    """A project whose store is there, and the store's hashes."""
    project = make_project(tmp_path_factory.mktemp("killed") / "project")
    project.set("sample.train_per_class", 40)
    project.set("preprocess.shard_pictures", 2)
    project.repro("preprocess")
    return project, hashes(project.folder)


def hashes(folder: Path) -> dict[str, str]:
    files = sorted((folder / "data/records").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def stages_of(dvc: int) -> list[int]:
    """Return the processes of stages below the process `dvc`."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    family, found = {dvc}, []
    for _ in range(4):
        family |= {int(pid) for pid, parent, _ in rows if int(parent) in family}
    found = [int(pid) for pid, _, command in rows if int(pid) in family and "stages.preprocess" in command]
    return found


@pytest.mark.parametrize(("victim", "shuffle"), [("dvc", "seek"), ("stage", "scatter")])
def test_a_killed_preprocessing_goes_on_to_the_same_store(
    prepared: tuple[Project, dict[str, str]], victim: str, shuffle: str
) -> None:
    project, expected = prepared
    project.set("shuffle", shuffle, "machine.yaml")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    running = subprocess.Popen(
        ["dvc", "repro", "-f", "-s", "preprocess"],
        cwd=project.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    state = project.folder / ".state/preprocess"
    deadline = time.monotonic() + 120
    while not list(state.glob("*/train-*.parquet")) and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    assert running.poll() is None, "it ended before a shard was seen"
    for process in [running.pid] if victim == "dvc" else stages_of(running.pid):
        os.kill(process, signal.SIGKILL)
    running.wait(60)
    kept = len(list(state.glob("*/train-*.parquet")))
    assert kept > 0
    # At once: a stage that dvc left behind is either gone or waited for, never joined.
    project.repro("-f", "-s", "preprocess")
    assert hashes(project.folder) == expected
    assert list(state.iterdir()) == []
