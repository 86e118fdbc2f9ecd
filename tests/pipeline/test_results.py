"""What the last stages make of a real, tiny run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Project
from PIL import Image
from reference import literal_calibration_error, literally_wrong
from typer.testing import CliRunner

from alexnet.cli.main import app
from alexnet.core.errors import UserError
from alexnet.core.machine import Machine
from alexnet.evaluation.calibration import BINS
from alexnet.evaluation.evaluate import Paths, evaluate_network
from alexnet.evaluation.params import Evaluate
from alexnet.evaluation.predictions import SERVER_FILE, load_predictions
from alexnet.parallel.mesh import Mesh
from alexnet.store.index import read_classes, read_index, write_index
from alexnet.store.records import decoded, open_records

CPU = torch.device("cpu")


def test_error_rates_are_what_the_reference_counts(project: Project) -> None:
    found = load_predictions(project.folder / "data/predictions")
    metrics = json.loads((project.folder / "reports/metrics.json").read_text())
    records = open_records(project.folder / "data/records", "val")
    assert found.names.tolist() == records.names.tolist()
    assert found.labels.tolist() == records.labels.tolist()
    for suffix, scores in (("", found.ten), ("_one_patch", found.one)):
        np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-9)
        for k in (1, 5):
            expected = np.mean(literally_wrong(scores, found.labels, k))
            assert metrics[f"top{k}_error{suffix}"] == pytest.approx(expected, abs=1e-15)
    assert metrics["loss"] == pytest.approx(-np.log(found.ten[range(12), found.labels]).mean(), rel=1e-12)
    calibration = literal_calibration_error(np.array(found.ten), found.labels, BINS)
    assert metrics["calibration_error"] == pytest.approx(calibration, rel=1e-9)
    server = (project.folder / "data/predictions" / SERVER_FILE).read_text().splitlines()
    assert len(server) == 12
    classes = read_classes(project.folder / "data/index")
    assert sorted(classes["ilsvrc_id"]) == [1, 2, 3]
    by_name = dict(zip(sorted(found.names), server, strict=True))
    for name, scores in zip(found.names, found.ten, strict=True):
        assert by_name[name] == " ".join(str(classes["ilsvrc_id"][label]) for label in np.argsort(-scores))


def test_what_cannot_be_evaluated_is_told(project: Project, tmp_path: Path) -> None:
    folder, metrics = project.folder, tmp_path / "metrics.json"
    paths = Paths(
        index=folder / "data/index",
        records=folder / "data/records",
        skipped=folder / "reports/skipped.csv",
        weights=folder / "models/alexnet.safetensors",
        predictions=tmp_path / "predictions",
        metrics=metrics,
    )
    machine, settings = Machine(progress="none"), Evaluate(split="val", ties="against")
    with pytest.raises(UserError, match="no records of the split test"):
        evaluate_network(Mesh(), CPU, Evaluate(split="test", ties="against"), machine, paths)
    (tmp_path / "weights").write_bytes(b"none")
    with pytest.raises(UserError, match="not a network"):
        evaluate_network(Mesh(), CPU, settings, machine, replace(paths, weights=tmp_path / "weights"))
    index = read_index(paths.index)
    renamed = index.classes.assign(wnid=[f"x{wnid}" for wnid in index.classes["wnid"]])
    write_index(tmp_path / "index", replace(index, classes=renamed))
    with pytest.raises(UserError, match="trained for 3 classes"):
        evaluate_network(Mesh(), CPU, settings, machine, replace(paths, index=tmp_path / "index"))
    assert not metrics.exists()


def test_a_training_picture_is_its_own_nearest_neighbour(project: Project, tmp_path: Path) -> None:
    records = open_records(project.folder / "data/records", "train")
    picture = tmp_path / "picture.png"
    Image.fromarray(decoded(records, 5)).save(picture)
    options = [
        "--weights",
        str(project.folder / "models/alexnet.safetensors"),
        "--library",
        str(project.folder / "data/retrieval"),
    ]
    for way in ([], ["--by-code"]):
        done = CliRunner().invoke(app, ["neighbors", str(picture), "--count", "3", *way, *options])
        name, *lines = done.stdout.splitlines()
        assert name == str(picture)
        assert len(lines) == 3
        distances = [float(line.split()[0]) for line in lines]
        assert lines[0].split()[1] == records.names[5]
        # The loader and the command decode and cut in their own ways.
        assert distances[0] < 0.01 * distances[1]
        assert distances == sorted(distances)


def test_retrieval_is_measured_on_the_evaluated_split(project: Project) -> None:
    told = json.loads((project.folder / "reports/retrieval.json").read_text())
    assert (told["pictures"], told["queries"], told["neighbours"]) == (24, 12, 6)
    assert [row["candidates"] for row in told["candidates"]] == [6, 12]
    for row in told["candidates"]:
        assert row["candidates"] / 24 <= row["learned"] <= 1
    assert len(told["examples"]) == 6
    features = np.load(project.folder / "data/retrieval/features.npy")
    for example in told["examples"]:
        assert len(set(example["nearest"])) == 6
        assert max(example["nearest"]) < len(features) == 24


def test_the_report_stands_on_the_run(project: Project) -> None:
    reports = project.folder / "reports"
    errors = pd.read_csv(reports / "per_class.csv")
    metrics = json.loads((reports / "metrics.json").read_text())
    assert errors["images"].tolist() == [4, 4, 4]
    assert errors["top1_error"].mean() == pytest.approx(metrics["top1_error"])
    taken = pd.read_csv(reports / "confusion.csv")
    assert (taken["actual"] != taken["predicted"]).mean() == pytest.approx(metrics["top1_error"])
    page, text = (reports / "report.html").read_text(), (reports / "report.md").read_text()
    for stage in ("preprocess", "train", "evaluate", "retrieve"):
        assert f'<th scope="row">{stage}</th>' in page
        assert f"| {stage} | not run here" not in text
    assert page.count("data:image/webp") > 20
