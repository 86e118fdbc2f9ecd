"""What runs again after which change, by real runs: `dvc repro --dry` does not tell the truth.

The tests of one project follow one another. DVC's own commands show what has changed.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Project, copied, make_project, stages_run
from PIL import Image

from alexnet.report.publishing import PAGES, list_page


def make_repro(project: Project) -> str:
    """Run `make repro`, which shows the error rates once, whether or not the report is made again."""
    (project.folder / ".venv").mkdir(exist_ok=True)
    done = project.run("make", "-f", str(ROOT / "Makefile"), "VENV=.venv", "-o", ".venv/installed", "repro")
    assert done.stdout.count("Error rates") == 1
    assert "ten patches" in done.stdout
    assert f"The report: {project.folder.resolve()}/reports/report.html" in done.stdout
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


def test_an_experiment_runs_what_follows_and_shows_in_the_diffs(project: Project) -> None:
    project.run("cp", "models/alexnet.safetensors", "first.safetensors")
    changes = ("train.epochs=2", "train.initial_weights=first.safetensors", "model.conv6=true")
    options = (word for change in changes for word in ("-S", change))
    output = project.run("dvc", "exp", "run", *options, "--name", "longer").stdout
    ran = stages_run(output)
    # Evaluating and retrieving do not wait for one another.
    ordered = [*ran[:3], *sorted(ran[3:5]), *ran[5:]]
    assert ordered == ["check", "index", "train", "evaluate", "retrieve", "report"]
    taken = "conv1, conv2, conv3, conv4, conv5, fc6, fc7, fc8"
    assert f"train: first.safetensors: loaded {taken}; freshly drawn: conv6" in output

    assert "train.epochs" in project.run("dvc", "params", "diff").stdout
    before, after = committed_metrics(project), metrics(project)
    changed = {key for key, value in before.items() if value != after[key]}
    assert "loss" in changed
    # As people read it: a line a metric that differs, with both values and the change.
    lines = project.run("dvc", "metrics", "diff", "--precision", "12").stdout.splitlines()
    assert lines[0].split() == ["Path", "Metric", "HEAD", "workspace", "Change"]
    table = {line.split()[1]: [float(cell) for cell in line.split()[2:]] for line in lines[1:] if line}
    for key in ("epochs_asked", "epochs_done"):
        assert table.pop(key) == [1, 2, 1]
    assert table.keys() == changed
    for key, numbers in table.items():
        assert numbers == pytest.approx([before[key], after[key], after[key] - before[key]], abs=1e-9)


def test_an_error_rate_that_changed_is_in_the_diff(project: Project) -> None:
    path = project.folder / "reports/metrics.json"
    real, before = path.read_text(), committed_metrics(project)
    path.write_text(json.dumps({**json.loads(real), "top1_error": before["top1_error"] + 0.125}))
    table = project.run("dvc", "metrics", "diff", "--md").stdout
    path.write_text(real)
    (line,) = (line for line in table.splitlines() if "| top1_error " in line)
    old, new, change = (float(cell) for cell in line.strip(" |").split("|")[2:])
    assert (old, new, change) == pytest.approx((before["top1_error"], old + 0.125, 0.125), abs=1e-4)


def metrics(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.folder / "reports/metrics.json").read_text())
    return found


def committed_metrics(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.run("git", "show", "HEAD:reports/metrics.json").stdout)
    return found


def test_plots_diff_overlays_curves_and_confusion(project: Project) -> None:
    shown = json.loads(project.run("dvc", "plots", "diff", "HEAD", "--json", "--split").stdout)["data"]
    epochs = {"HEAD": 1, "workspace": 2}
    for name, column in (
        ("Loss", "train_loss"),
        ("Loss", "val_loss"),
        ("Error", "train_error"),
        ("Error", "val_top1_error"),
        ("Confusion", "predicted"),
    ):
        (plot,) = shown[name]
        rows = plot["anchor_definitions"]["<DVC_METRIC_DATA>"]
        assert {row["rev"] for row in rows} == epochs.keys()
        assert column in json.dumps(plot)
        for revision, count in epochs.items():
            of_it = [row for row in rows if row["rev"] == revision]
            if name == "Confusion":
                # A point a picture of the split, under its true class and the one it was taken for.
                assert len(of_it) == metrics(project)["images"]
                assert all(row["actual"] and row["predicted"] for row in of_it)
            else:
                drawn = [row for row in of_it if row["field"] == column]
                assert [int(row["epoch"]) for row in drawn] == list(range(1, count + 1))
    logged = pd.read_csv(project.folder / "reports/training/history.csv")["val_loss"].tolist()
    losses = shown["Loss"][0]["anchor_definitions"]["<DVC_METRIC_DATA>"]
    drawn = [row for row in losses if row["rev"] == "workspace" and row["field"] == "val_loss"]
    assert [float(row["dvc_inferred_y_value"]) for row in drawn] == pytest.approx(logged)


def test_what_the_report_alone_shows_runs_the_report(project: Project) -> None:
    list_page("walk", "Which trains?", "Both do.", project.folder / PAGES)
    assert {*json.loads(project.run("dvc", "status", "--json").stdout)} == {"index", "report"}
    project.set("report.title", "Another title")
    assert stages_run(make_repro(project)) == ["check", "index", "report"]
    for name in ("report.html", "report.md"):
        told = (project.folder / "reports" / name).read_text()
        for text in ("Another title", "Which trains?", "experiments/walk."):
            assert text in told
    assert stages_run(project.repro()) == ["index"]


def test_going_back_trains_nothing_unless_forced(project: Project) -> None:
    project.run("git", "checkout", "params.yaml")
    output = project.repro("train")
    # The stage runs, finds the finished state of these numbers, and has no epoch left to train.
    assert "train: resuming in epoch 2 after 0 pictures" in output
    assert "epoch 1/1" not in output
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
                write_picture(folder / f"{number}.png", number)
    (project.folder / "params.yaml").write_text((project.folder / "profiles/folder.yaml").read_text())
    for key, value in {"model.width": 0.05, "train.epochs": 1, "train.batch_size": 4}.items():
        project.set(key, value)
    project.set("data_root", str(raw), "machine.yaml")
    project.repro("evaluate")
    assert json.loads((project.folder / "reports/data.json").read_text())["layout"] == "folders"
    write_picture(raw / "train" / "cat" / "new.png", 9)
    assert stages_run(project.repro("rgb_pca")) == ["index", "preprocess", "rgb_pca"]
    counts = json.loads((project.folder / "reports/data.json").read_text())
    assert counts["splits"]["train"]["pictures"] == 9


def write_picture(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def test_run_again_by_hand_stages_make_the_same_and_write_into_no_linked_cache(
    reproduced: Project, tmp_path: Path
) -> None:
    """With DVC's hard links an output and the cache's copy are one file, which no stage may write to."""
    project = copied(reproduced, tmp_path)
    project.run("dvc", "config", "--local", "cache.type", "hardlink")
    project.run("dvc", "checkout", "--relink", "dvc.yaml")
    cached = [path for path in (tmp_path / ".dvc/cache/files").rglob("*") if path.is_file()]
    assert sum(path.stat().st_nlink > 1 for path in cached) > 5
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in cached}
    # Stages that find their state would have nothing to do.
    project.run("rm", "-rf", ".state")
    for stage in ("index", "preprocess", "rgb_pca", "train", "evaluate", "retrieve", "report"):
        project.run(sys.executable, "-m", f"stages.{stage}")
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in cached} == before

    # What is committed differs by times alone, and can be put back.
    changed = project.run("git", "status", "--porcelain", "--untracked-files=no").stdout.splitlines()
    with_times = (
        " M reports/report.",
        " M reports/retrieval.json",
        " M reports/training/history.csv",
        " M reports/training/run.json",
    )
    assert changed
    assert [line for line in changed if not line.startswith(with_times)] == []
    project.run("git", "checkout", "reports")
    assert list(json.loads(project.run("dvc", "status", "--json").stdout)) == ["index"]
