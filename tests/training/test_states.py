"""Which states of trainings are kept, and what `alexnet state` lists and clears."""

import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alexnet.cli.main import app
from alexnet.core.files import sole_writer
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.states import ENDED, KEPT, KEPT_DAYS, TRAININGS, end_training

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
    end_training(training("now", None))
    assert left() == {"now", *map(str, range(1, KEPT)), "stopped"}


def test_those_of_a_month_ago_are_removed_unless_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("old", "held"):
        training(name, KEPT_DAYS + 1)
    training("new", KEPT_DAYS - 1)
    with sole_writer(TRAININGS / "held", 0):
        end_training(training("now", None))
    assert left() == {"now", "new", "held"}
    assert capsys.readouterr().out.count("old: removed") == 1


def state(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["state", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_states_are_listed_and_cleared() -> None:
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
        assert "train/held: in use, so it stays" in state("--clear", "ended")
        assert left() == {"held", "stopped"}
        state("--clear", "all")
    assert left() == {"held"}
    assert not Path(".state/durations").exists()
    assert Path(".venv").exists()
