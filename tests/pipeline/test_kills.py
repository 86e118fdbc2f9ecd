"""SIGKILL at any moment: training goes on from the last state and ends with the very same weights."""

import json
import random
import sys
import time

import pytest
from conftest import Project, wait_until

STAGE = [sys.executable, "-m", "stages.train"]
REPRO = ["dvc", "repro", "train"]
EPOCHS = 40


@pytest.fixture(scope="module")
def undisturbed(project: Project) -> Project:
    """A project trained once without a disturbance."""
    project.set("train.epochs", EPOCHS)
    project.set("loader", "torch", "machine.yaml")
    # After about every update.
    project.set("checkpoint_minutes", 0.0005, "machine.yaml")
    project.repro("rgb_pca")
    project.run("rm", "-rf", ".state/train", "models")
    project.run(*STAGE)
    return project


def states(project: Project) -> set[str]:
    return {path.name for path in (project.folder / ".state/train").glob("*/epoch-*.pt")}


def kill_at_random(project: Project, command: list[str], draw: random.Random) -> None:
    """Kill `command` at a random moment after it has gone on for a while."""
    before = states(project)
    running = project.start(*command)
    wait_until(lambda: states(project) - before, running)
    time.sleep(draw.uniform(0, 0.3))
    running.kill()
    running.wait()


def kill_while_writing(project: Project) -> None:
    before = states(project)
    running = project.start(*STAGE)
    writing = project.folder / ".state/train"
    wait_until(lambda: states(project) - before, running)
    wait_until(lambda: any(writing.glob("*/*.partial")), running)
    running.kill()
    running.wait()


def test_kills_end_with_the_same_weights(undisturbed: Project) -> None:
    project, draw = undisturbed, random.Random(1)
    weights = project.folder / "models/alexnet.safetensors"
    expected = weights.read_bytes()
    project.run("rm", "-rf", ".state/train", "models", "reports/training")
    for command in [STAGE, REPRO] * 2:
        kill_at_random(project, command, draw)
        assert not weights.exists()
    # Twice, since a write may end between being seen and the kill.
    kill_while_writing(project)
    kill_while_writing(project)
    furthest = max(states(project))

    output = project.repro("train")
    epoch, consumed = (int(number) for number in furthest.split("-")[1:3])
    assert f"resuming in epoch {epoch} after {consumed} pictures" in output
    assert weights.read_bytes() == expected
    assert not list((project.folder / ".state/train").glob("*/*.partial"))
    history = (project.folder / "reports/training/history.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in history[1:]] == [str(number) for number in range(1, EPOCHS + 1)]


def test_a_training_ends_after_the_epoch_when_asked(undisturbed: Project) -> None:
    project = undisturbed
    project.run("rm", "-rf", ".state/train", "models")
    running = project.start(*REPRO)
    wait_until(lambda: states(project), running)
    (project.folder / ".state/finish").touch()
    assert running.wait(120) == 0
    history = (project.folder / "reports/training/history.csv").read_text().splitlines()
    done = len(history) - 1
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
    assert len((project.folder / "reports/training/history.csv").read_text().splitlines()) == EPOCHS + 1
