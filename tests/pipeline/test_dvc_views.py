"""What DVC's own commands print for this project."""

import json
from typing import Any

import pytest
from conftest import Project


def test_experiment_shows_in_params_and_metrics_diff(project: Project) -> None:
    project.run("dvc", "exp", "run", "-S", "train.epochs=2", "--name", "longer")
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
    old, new, change = map(float, _cells(line)[2:])
    assert (old, new, change) == pytest.approx((before["top1_error"], old + 0.125, 0.125), abs=1e-4)


def metrics(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.folder / "reports/metrics.json").read_text())
    return found


def committed_metrics(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.run("git", "show", "HEAD:reports/metrics.json").stdout)
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


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
                drawn = [row for row in of_it if column in row]
                assert [int(row["step"]) for row in drawn] == list(range(1, count + 1))
    curve = project.folder / "reports/training/live/plots/metrics/val_loss.tsv"
    logged = [float(line.split("\t")[1]) for line in curve.read_text().splitlines()[1:]]
    losses = shown["Loss"][0]["anchor_definitions"]["<DVC_METRIC_DATA>"]
    drawn = [row for row in losses if row["rev"] == "workspace" and "val_loss" in row]
    assert [float(row["dvc_inferred_y_value"]) for row in drawn] == pytest.approx(logged)
