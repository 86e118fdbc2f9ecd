"""Stopped or killed at any moment, training goes on from the last state to the very same weights."""

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from conftest import Project, wait_until

STAGE = [sys.executable, "-m", "stages.train"]
REPRO = ["dvc", "repro", "train"]
EPOCHS = 30


@pytest.fixture(scope="module")
def undisturbed(project: Project) -> Project:
    """A project trained once without a disturbance."""
    project.set("train.epochs", EPOCHS)
    project.set("loader", "torch", "machine.yaml")
    # After about every update.
    project.set("checkpoint_minutes", 0.0005, "machine.yaml")
    project.run("rm", "-rf", ".state/train", "models")
    project.run(*STAGE)
    return project


def states(project: Project) -> set[str]:
    return {path.name for path in (project.folder / ".state/train").glob("*/epoch-*.pt")}


def rows_of_history(project: Project) -> list[str]:
    """Return the epochs in the table of the training."""
    history = (project.folder / "reports/training/history.csv").read_text().splitlines()
    return [line.split(",")[0] for line in history[1:]]


def start_anew(project: Project, command: list[str], **options: int) -> subprocess.Popen[str]:
    """Start `command` and wait until it has gone on for a while."""
    before = states(project)
    running = project.start(*command, **options)
    wait_until(lambda: states(project) - before, running)
    return running


def kill(running: subprocess.Popen[str]) -> None:
    running.kill()
    running.wait()


def test_disturbances_end_with_the_same_weights(undisturbed: Project) -> None:
    project, draw = undisturbed, random.Random(1)
    weights = project.folder / "models/alexnet.safetensors"
    expected = weights.read_bytes()
    project.run("rm", "-rf", ".state/train", "models", "reports/training")
    asked = start_anew(project, STAGE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    asked.send_signal(signal.SIGINT)
    output, _ = asked.communicate(timeout=120)
    assert asked.returncode == 130
    assert "stopped in epoch" in output
    assert "Traceback" not in output
    for command in (STAGE, REPRO):
        running = start_anew(project, command)
        time.sleep(draw.uniform(0, 0.3))
        kill(running)
        assert not weights.exists()
    # Twice, since a write may end between being seen and the kill.
    for _ in range(2):
        running = start_anew(project, STAGE)
        wait_until(lambda: any((project.folder / ".state/train").glob("*/*.partial")), running)
        kill(running)
    furthest = max(states(project))

    output = project.repro("train")
    epoch, consumed = (int(number) for number in furthest.split("-")[1:3])
    assert f"resuming in epoch {epoch} after {consumed} pictures" in output
    assert weights.read_bytes() == expected
    assert not list((project.folder / ".state/train").glob("*/*.partial"))
    assert rows_of_history(project) == [str(number) for number in range(1, EPOCHS + 1)]


def test_a_training_ends_after_the_epoch_when_asked(undisturbed: Project) -> None:
    project = undisturbed
    project.run("rm", "-rf", ".state/train", "models")
    running = start_anew(project, REPRO)
    (project.folder / ".state/finish").touch()
    assert running.wait(120) == 0
    done = len(rows_of_history(project))
    assert 0 < done < EPOCHS
    run = json.loads((project.folder / "reports/training/run.json").read_text())
    assert (run["epochs"], run["epochs_asked"]) == (done, EPOCHS)
    shown = json.loads(project.run("dvc", "metrics", "show", "--json").stdout)[""]["data"]
    epochs = shown["reports/training/epochs.json"]["data"]
    assert epochs == {"epochs_asked": EPOCHS, "epochs_done": done}
    assert (project.folder / "models/alexnet.safetensors").exists()
    assert not (project.folder / ".state/finish").exists()

    # Forced, it does not begin anew, as not all epochs were done.
    assert f"resuming in epoch {done + 1} after 0 pictures" in project.repro("-f", "-s", "train")
    assert len(rows_of_history(project)) == EPOCHS


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])
def test_killed_dvc_leaves_no_stage_behind(shell: str, undisturbed: Project) -> None:
    project = replace(undisturbed, environment={"SHELL": shell})
    project.set("train.epochs", 10_000)
    # DVC runs commands by $SHELL; dash, unlike bash, stays in memory as the stage's parent.
    dvc = start_anew(project, [*REPRO, "-s"])
    assert stage_processes(project.folder)
    kill(dvc)
    wait_until(lambda: not stage_processes(project.folder), seconds=60)


def stage_processes(folder: Path) -> list[psutil.Process]:
    found = psutil.process_iter(["cwd", "cmdline"])
    ours = [process for process in found if process.info["cwd"] == str(folder)]
    return [process for process in ours if "stages.train" in process.info["cmdline"]]
