"""What the last stages make of a real, tiny run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Project
from PIL import Image
from tiny import evaluate_in
from typer.testing import CliRunner

from alexnet.cli.main import app
from alexnet.core.errors import UserError
from alexnet.core.files import sha256_of
from alexnet.core.params import load_parameters
from alexnet.evaluation.predictions import load_predictions
from alexnet.model.weights import load_network
from alexnet.store.index import read_index, write_index
from alexnet.store.records import decoded, open_records
from alexnet.training.results import Run


def test_the_rates_are_counted_from_the_predictions_of_every_picture(reproduced: Project) -> None:
    found = load_predictions(reproduced.folder / "data/predictions")
    metrics = json.loads((reproduced.folder / "reports/metrics.json").read_text())
    records = open_records(reproduced.folder / "data/records", "val")
    assert found.names.tolist() == records.names.tolist()
    assert found.labels.tolist() == records.labels.tolist()
    assert metrics == found.metrics()


def test_what_cannot_be_evaluated_is_told(reproduced: Project, tmp_path: Path) -> None:
    folder = reproduced.folder
    index = read_index(folder / "data/index")
    renamed = index.classes.assign(wnid=[f"x{wnid}" for wnid in index.classes["wnid"]])
    write_index(tmp_path / "index", replace(index, classes=renamed))
    theirs = {"records": "data/records", "skipped": "reports/skipped.csv"}
    theirs["weights"] = "models/alexnet.safetensors"
    with pytest.raises(UserError, match="trained for 3 classes"):
        evaluate_in(tmp_path, "val", **{name: folder / path for name, path in theirs.items()})
    assert not (tmp_path / "metrics").exists()


def test_a_training_picture_is_its_own_nearest_neighbour(reproduced: Project, tmp_path: Path) -> None:
    records = open_records(reproduced.folder / "data/records", "train")
    picture = tmp_path / "picture.png"
    Image.fromarray(decoded(records, 5)).save(picture)
    weights, library = reproduced.folder / "models/alexnet.safetensors", reproduced.folder / "data/retrieval"
    options = ["--weights", str(weights), "--library", str(library)]
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


def test_retrieval_is_measured_on_the_evaluated_split(reproduced: Project) -> None:
    told = json.loads((reproduced.folder / "reports/retrieval.json").read_text())
    assert (told["pictures"], told["queries"], told["neighbours"]) == (24, 12, 6)
    assert [row["candidates"] for row in told["candidates"]] == [6, 12]
    for row in told["candidates"]:
        assert row["candidates"] / 24 <= row["learned"] <= 1
    assert len(told["examples"]) == 6
    features = np.load(reproduced.folder / "data/retrieval/features.npy")
    for example in told["examples"]:
        assert len(set(example["nearest"])) == 6
        assert max(example["nearest"]) < len(features) == 24


def test_the_run_is_described_as_it_was(reproduced: Project) -> None:
    folder = reproduced.folder
    run = Run.model_validate_json((folder / "reports/training/run.json").read_text())
    params = load_parameters(folder / "params.yaml")
    assert run.parameters == {key: params[key] for key in ("augment", "model", "train")}
    assert run.weights == sha256_of(folder / "models/alexnet.safetensors")
    assert (run.loader, run.devices[:3], run.epochs, run.class_count) == ("dali", "1 ×", 1, 3)
    network, _ = load_network(folder / "models/alexnet.safetensors")
    assert run.parameter_count == sum(parameter.numel() for parameter in network.parameters())
    assert load_predictions(folder / "data/predictions").weights == run.weights


def test_the_report_stands_on_the_run(reproduced: Project) -> None:
    reports = reproduced.folder / "reports"
    page, text = (reports / "report.html").read_text(), (reports / "report.md").read_text()
    for stage in ("preprocess", "train", "evaluate", "retrieve"):
        assert f'<th scope="row">{stage}</th>' in page
        assert f"| {stage} | not run here" not in text
    assert page.count("data:image/webp") > 20
