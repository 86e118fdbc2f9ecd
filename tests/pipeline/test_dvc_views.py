"""What DVC's own commands print for this project."""

from __future__ import annotations

import json

import pytest
from conftest import ROOT, Project


def test_metrics_show_prints_the_error_rates(project: Project) -> None:
    shown = project.run("dvc", "metrics", "show").stdout
    for name in ("top1_error", "top5_error", "top1_error_one_patch", "loss", "images"):
        assert name in shown
    assert "reports/metrics.json" in shown


def test_experiment_shows_in_params_and_metrics_diff(project: Project) -> None:
    project.run("dvc", "exp", "run", "-S", "train.epochs=2", "--name", "longer")
    assert "train.epochs" in project.run("dvc", "params", "diff").stdout
    changes = json.loads(project.run("dvc", "metrics", "diff", "--json").stdout)
    assert "loss" in changes["reports/metrics.json"]
    for name in ("top1_error", "calibration_error"):
        both = changes["reports/metrics.json"].get(name)
        assert both is None or both["diff"] == pytest.approx(both["new"] - both["old"])
    table = project.run("dvc", "metrics", "diff").stdout
    assert "HEAD" in table
    assert "workspace" in table

    compared = project.run("make", "-f", str(ROOT / "Makefile"), "-o", ".venv/installed", "compare").stdout
    assert "longer" in compared
    assert "train.epochs" in compared
    header = next(line for line in compared.splitlines() if line.startswith("| Experiment"))
    assert "loss" in header
    # Columns that are equal everywhere, and what nobody compares by, are left out.
    assert "images" not in header
    assert "train.batch_size" not in header
    assert "models" not in header


def test_plots_show_draws_the_learning_curves(project: Project) -> None:
    project.run("dvc", "plots", "show", "-o", "plots")
    page = (project.folder / "plots/index.html").read_text()
    for name in ("train_loss", "val_loss", "train_error", "val_top1_error"):
        assert name in page
    assert "vega" in page.lower()
    for name in ("Confusion", "predicted", "actual"):
        assert name in page


def test_plots_diff_overlays_curves_and_confusion(project: Project) -> None:
    shown = json.loads(project.run("dvc", "plots", "diff", "HEAD", "--json", "--split").stdout)["data"]
    for name, column in (("Loss", "val_loss"), ("Confusion", "predicted")):
        (plot,) = shown[name]
        revisions = {row["rev"] for row in plot["anchor_definitions"]["<DVC_METRIC_DATA>"]}
        assert revisions == {"HEAD", "workspace"}
        assert column in json.dumps(plot)
