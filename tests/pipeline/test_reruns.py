"""What runs again after which change, by real runs: `dvc repro --dry` does not tell the truth."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Project, copied, make_project, stages_run, wait_until
from PIL import Image

from alexnet.evaluation.predictions import load_predictions, save_predictions
from alexnet.report.publishing import PAGES, list_page

REPORTS = ("metrics.json", "report.html", "report.md", "data.json", "rgb_pca.json", "skipped.csv")


def test_first_run_ends_with_the_table_and_the_report(project: Project) -> None:
    for name in REPORTS:
        assert (project.folder / "reports" / name).stat().st_size > 0
    metrics = json.loads((project.folder / "reports/metrics.json").read_text())
    assert metrics["images"] == 12
    for name in ("top1_error", "top5_error", "top1_error_one_patch", "top5_error_one_patch"):
        assert 0 <= metrics[name] <= 1
    summary = project.run("python", "-m", "stages.report", "--summary-only").stdout
    assert "ten patches" in summary
    assert "reports/report.html" in summary


def test_where_only_times_differ_the_committed_files_can_be_put_back(project: Project) -> None:
    project.run("git", "add", "-A")
    project.run("git", "commit", "--allow-empty", "-qm", "its results")
    project.repro("-f")
    changed = project.run("git", "status", "--porcelain", "--untracked-files=no").stdout.splitlines()
    with_times = (
        " M dvc.lock",
        " M reports/report.",
        " M reports/retrieval.json",
        " M reports/training/history.csv",
        " M reports/training/live/plots/metrics/data_wait_seconds.tsv",
        " M reports/training/live/metrics.json",
        " M reports/training/run.json",
    )
    assert [line for line in changed if not line.startswith(with_times)] == []
    project.run("git", "checkout", "dvc.lock", "reports")
    assert list(json.loads(project.run("dvc", "status", "--json").stdout)) == ["index"]


def make_repro(project: Project) -> str:
    """Run `make repro`, which shows the error rates once, whether or not the report is made again."""
    (project.folder / ".venv").mkdir(exist_ok=True)
    done = project.run("make", "-f", str(ROOT / "Makefile"), "VENV=.venv", "-o", ".venv/installed", "repro")
    assert done.stdout.count("Error rates") == 1
    return done.stdout


def test_nothing_or_the_machine_changed_runs_index_alone(project: Project) -> None:
    assert stages_run(make_repro(project)) == ["index"]
    for key, value in {
        "workers": 2,
        "progress": "lines",
        "checkpoint_minutes": 1.0,
        "loader": "torch",
    }.items():
        project.set(key, value, "machine.yaml")
    assert stages_run(project.repro()) == ["index"]


def test_report_changes_run_the_report(project: Project) -> None:
    project.set("report.title", "Another title")
    assert stages_run(make_repro(project)) == ["check", "index", "report"]


def test_train_changes_run_what_follows(project: Project) -> None:
    project.set("train.momentum", 0.8)
    ran = stages_run(project.repro())
    # Evaluating and retrieving do not wait for one another.
    ordered = [*ran[:3], *sorted(ran[3:5]), *ran[5:]]
    assert ordered == ["check", "index", "train", "evaluate", "retrieve", "report"]


def test_an_experiments_page_makes_the_report_again_and_no_experiment_runs(project: Project) -> None:
    list_page("walk", "Which trains?", "Both do.", project.folder / PAGES)
    assert stages_run(project.repro()) == ["index", "report"]
    for name in ("report.html", "report.md"):
        told = (project.folder / "reports" / name).read_text()
        assert "Which trains?" in told
        assert "experiments/walk.html" in told
        assert "experiments/walk.md" in told
    assert stages_run(project.repro()) == ["index"]


def test_other_runs_predictions_make_a_row(project: Project) -> None:
    own = load_predictions(project.folder / "data/predictions")
    save_predictions(project.folder / "second", replace(own, ten=np.roll(own.ten, 1, axis=1)))
    project.set("report.ensemble", ["second"])
    assert stages_run(project.repro()) == ["check", "index", "report"]
    assert "2 CNNs, averaged" in (project.folder / "reports/report.md").read_text()
    project.set("report.ensemble", ["third"])
    stopped = project.repro(check=False)
    assert "error: report.ensemble: third/about.json: no such file" in stopped
    assert "Traceback" not in stopped
    project.set("report.ensemble", [])


def test_going_back_trains_nothing(project: Project) -> None:
    project.set("train.momentum", 0.9)
    project.set("report.title", "AlexNet on the generated sample")
    output = project.repro()
    # The stage runs, finds the finished state of these numbers, and has no epoch left to train.
    assert "train: resuming in epoch 2 after 0 pictures" in output
    assert "epoch 1/1" not in output


def test_forced_training_trains_again(project: Project) -> None:
    output = project.repro("-f", "-s", "train")
    assert "resuming" not in output
    assert "epoch 1/1: loss" in output


def test_added_raw_picture_is_noticed(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    raw = tmp_path / "raw"
    for split, count in (("train", 4), ("val", 2)):
        for name in ("cat", "dog"):
            folder = raw / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                _picture(folder / f"{number}.png", number)
    (project.folder / "params.yaml").write_text((project.folder / "profiles/folder.yaml").read_text())
    tiny = {"model.width": 0.05, "train.epochs": 1, "retrieve.steps": 20, "report.figure_dpi": 50}
    for key, value in {**tiny, "train.batch_size": 4}.items():
        project.set(key, value)
    project.set("data_root", str(raw), "machine.yaml")
    project.repro()
    assert json.loads((project.folder / "reports/data.json").read_text())["layout"] == "folders"
    _picture(raw / "train" / "cat" / "new.png", 9)
    assert stages_run(project.repro("rgb_pca")) == ["index", "preprocess", "rgb_pca"]
    counts = json.loads((project.folder / "reports/data.json").read_text())
    assert counts["splits"]["train"]["pictures"] == 9


def _picture(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def test_stopped_training_goes_on_to_the_same_weights(reproduced: Project, tmp_path: Path) -> None:
    project = copied(reproduced, tmp_path)
    project.set("train.epochs", 20)
    project.set("loader", "torch", "machine.yaml")
    project.run("rm", "-rf", ".state", "models")
    weights = project.folder / "models/alexnet.safetensors"
    command = [sys.executable, "-m", "stages.train"]

    running = subprocess.Popen(
        command, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith("epoch 2/20: loss"):
            running.send_signal(signal.SIGINT)
            break
    output, _ = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "stopped in epoch" in output
    assert "Traceback" not in output
    assert not weights.exists()
    assert "resuming in epoch" in project.run(*command).stdout
    resumed = weights.read_bytes()

    project.run("rm", "-rf", ".state", "models")
    project.run(*command)
    assert weights.read_bytes() == resumed


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])
def test_killed_dvc_leaves_no_stage_behind(shell: str, reproduced: Project, tmp_path: Path) -> None:
    project = copied(reproduced, tmp_path)
    project.set("train.epochs", 10_000)
    project.run("rm", "-rf", ".state")
    # DVC runs commands by $SHELL; dash, unlike bash, stays in memory as the stage's parent.
    dvc = replace(project, environment={"SHELL": shell}).start("dvc", "repro")
    states = project.folder / ".state" / "train"
    wait_until(lambda: any(states.glob("*/epoch-*.pt")))
    dvc.kill()
    dvc.wait()
    wait_until(lambda: not _stage_processes(project.folder), seconds=60)


def _stage_processes(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                os.readlink(process / "cwd") == str(folder)
                and b"stages.train" in (process / "cmdline").read_bytes()
            ):
                found.append(process.name)
        except OSError:
            continue
    return found


def test_training_on_from_a_file_says_what_it_took(project: Project) -> None:
    project.run("cp", "models/alexnet.safetensors", "first.safetensors")
    project.set("train.initial_weights", "first.safetensors")
    project.set("model.conv6", True)
    output = project.repro("train")
    project.set("train.initial_weights", None)
    project.set("model.conv6", False)
    taken = "conv1, conv2, conv3, conv4, conv5, fc6, fc7, fc8"
    assert f"train: first.safetensors: loaded {taken}; freshly drawn: conv6" in output


def test_stages_by_hand_do_not_write_into_a_linked_cache(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With DVC's hard links an output and the cache's copy are one file, which no stage may write to."""
    linked = copied(project, tmp_path_factory.mktemp("linked"))
    linked.run("dvc", "config", "cache.type", "hardlink")
    linked.run("dvc", "checkout", "--relink", "dvc.yaml")
    cached = [path for path in (linked.folder / ".dvc/cache/files").rglob("*") if path.is_file()]
    assert sum(path.stat().st_nlink > 1 for path in cached) > 5
    before = {path: path.read_bytes() for path in cached}
    # Stages that find what they made before would have nothing to write.
    linked.set("augment.colour_noise_std", 0.2)
    linked.set("retrieve.seed", 9)
    linked.set("preprocess.seed", 9)
    for stage in ("index", "preprocess", "rgb_pca", "train", "evaluate", "retrieve", "report"):
        linked.run(sys.executable, "-m", f"stages.{stage}")
    assert {path: path.read_bytes() for path in cached} == before
