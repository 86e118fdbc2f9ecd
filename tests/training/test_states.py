"""Which states of trainings are kept, and what `alexnet state` lists and clears."""

import errno
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from alexnet.cli.main import app
from alexnet.core.files import sole_writer
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.states import ENDED, KEPT, KEPT_DAYS, TRAININGS, begin_training, end_training

DAY = 86400


@pytest.fixture(autouse=True)
def trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return TRAININGS


def training(name: str, ended_days_ago: float | None) -> Path:
    folder = TRAININGS / name
    folder.mkdir(parents=True)
    Checkpoints(folder).save({"epoch": 2, "consumed": 30, "padding": bytes(2_000_000)})
    if ended_days_ago is not None:
        (folder / ENDED).touch()
        moment = time.time() - ended_days_ago * DAY
        os.utime(folder / ENDED, (moment, moment))
    return folder


def left() -> set[str]:
    return {path.name for path in TRAININGS.iterdir()}


def test_the_last_trainings_that_ended_are_kept_and_all_that_have_not() -> None:
    for number in range(1, KEPT + 3):
        training(f"{number}", number)
    training("stopped", None)
    end_training(training("now", None), 5)
    assert left() == {"now", *map(str, range(1, KEPT)), "stopped"}


def test_those_of_a_month_ago_are_removed_unless_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("old", "held"):
        training(name, KEPT_DAYS + 1)
    training("new", KEPT_DAYS - 1)
    with sole_writer(TRAININGS / "held", 0):
        end_training(training("now", None), 5)
    assert left() == {"now", "new", "held"}
    assert capsys.readouterr().out.count("old: removed") == 1


def test_a_longer_training_that_was_stopped_has_not_ended_with_a_shorter_one() -> None:
    folder = training("one", None)
    checkpoints = Checkpoints(folder)
    checkpoints.save({"epoch": 9, "consumed": 0})
    for ended in (False, True):
        begin_training(folder, 3)
        for epoch in (2, 3, 4):
            checkpoints.save({"epoch": epoch, "consumed": 0})
        end_training(folder, 3)
        assert (folder / ENDED).exists() == ended
        begin_training(folder, 8)
        assert not (folder / ENDED).exists()
        assert checkpoints.newest(8) == {"epoch": 9, "consumed": 0}
        end_training(folder, 8)
        assert (folder / ENDED).exists()


def test_a_training_stays_however_the_clock_was_set_when_others_ended() -> None:
    for number in range(KEPT + 1):
        training(f"{number}", -400 + number)
    end_training(training("now", None), 5)
    assert left() == {"now", *map(str, range(KEPT - 1))}


def state(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, ["state", *arguments])
    assert done.exit_code == status, done.output
    return done.stdout


def test_states_of_another_folder_are_not_looked_for() -> None:
    done = CliRunner().invoke(app, ["state"])
    assert done.exit_code == 1
    assert "params.yaml: no such file. Run this in the root folder of the project" in done.stderr


def test_states_that_cannot_be_read_or_removed_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("params.yaml").touch()
    for name in ("theirs", "ours"):
        training(name, 2)
    stat, rmtree = Path.stat, shutil.rmtree

    def unreadable(path: Path, **options: Any) -> os.stat_result:
        if path.parent.name == "theirs":
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, **options)

    def protected(path: Path) -> None:
        if path.name == "theirs":
            raise PermissionError(errno.EACCES, "Permission denied")
        rmtree(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", unreadable)
        assert "train/theirs/ended: cannot be read: Permission denied" in state(status=1)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", protected)
        told = state("--clear", "ended", status=1).splitlines()
    assert told[0].endswith("train/ours: removed")
    assert told[1].endswith("train/theirs: cannot be written: Permission denied")
    assert told[2].split() == ["2", "MB", "in", "all"]
    assert left() == {"theirs"}


def test_states_are_listed_and_cleared() -> None:
    Path("params.yaml").touch()
    assert state().split() == ["0", "kB", "in", "all"]
    training("ended", 2)
    training("stopped", None)
    held = training("held", 3)
    Path(".state/durations").mkdir()
    Path(".state/durations/train.json").write_bytes(bytes(1_000_000))
    Path(".venv").mkdir()
    lines = state().splitlines()
    assert [line.split(".state/")[-1] for line in lines[:4]] == [
        "durations",
        "train/ended: a training that has ended",
        "train/held: a training that has ended",
        "train/stopped: a training in epoch 2",
    ]
    assert [line.split()[0] for line in lines] == ["1", "2", "2", "2", "7"]
    with sole_writer(held, 0):
        assert "train/held: a training that has ended; in use, so it stays" in state("--clear", "ended")
        assert left() == {"held", "stopped"}
        state("--clear", "all")
    assert left() == {"held"}
    assert not Path(".state/durations").exists()
    assert Path(".venv").exists()
