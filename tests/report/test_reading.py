"""Reading what the other stages wrote, and naming what is wrong with it."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import (
    EPOCHS,
    IMAGES,
    METRICS,
    SETTINGS,
    epoch,
    made_predictions,
    two_columns,
    write_csv,
    write_json,
    write_results,
)
from safetensors.numpy import save_file

from alexnet.core.errors import UserError
from alexnet.core.params import load_yaml
from alexnet.evaluation.predictions import save_predictions
from alexnet.report.reading import ResultFiles, read_results
from alexnet.report.sections import curves
from alexnet.report.sections.opening import notes, summary

FOLDERS = ("predictions", "records", "durations")
WRITTEN_BY_STAGES = (
    "retrieval",
    "metrics",
    "data",
    "skipped",
    "rgb_pca",
    "history",
    "run",
    "model",
    "pages",
)


@pytest.fixture
def files(tmp_path: Path) -> ResultFiles:
    return write_results(tmp_path)


@pytest.mark.parametrize("name", [f.name for f in fields(ResultFiles) if f.name not in FOLDERS])
def test_missing_file_is_named(files: ResultFiles, name: str) -> None:
    path: Path = getattr(files, name)
    path.unlink()
    with pytest.raises(UserError, match=re.escape(str(path))):
        read_results(files)


@pytest.mark.parametrize("name", WRITTEN_BY_STAGES)
def test_malformed_file_is_named(files: ResultFiles, name: str) -> None:
    path: Path = getattr(files, name)
    path.write_text("{not it", encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(str(path))):
        read_results(files)


def test_value_out_of_range_is_named(files: ResultFiles) -> None:
    write_json(files.metrics, METRICS | {"top1_error": 36.0})
    with pytest.raises(UserError, match="top1_error"):
        read_results(files)


def test_mistake_in_a_row_names_its_line(files: ResultFiles) -> None:
    rows = [epoch(1), epoch(2) | {"val_loss": "none"}]
    write_csv(files.history, list(epoch(1)), rows)
    with pytest.raises(UserError, match=r"line 3: val_loss"):
        read_results(files)


def test_torn_row_names_its_line(files: ResultFiles) -> None:
    text = files.history.read_text(encoding="utf-8").rstrip()
    files.history.write_text(text.rsplit(",", 3)[0], encoding="utf-8")
    with pytest.raises(UserError, match=rf"line {EPOCHS + 1}: not as many cells"):
        read_results(files)


@pytest.mark.parametrize(
    ("rows", "message"),
    [([], "holds no epoch"), ([epoch(1), epoch(3)], "not numbered")],
)
def test_history_must_be_whole(files: ResultFiles, rows: list[dict[str, Any]], message: str) -> None:
    write_csv(files.history, list(epoch(1)), rows)
    with pytest.raises(UserError, match=message):
        read_results(files)


@pytest.mark.parametrize("shape", [(40, 1, 11, 11), (39, 3, 11, 11), (40, 363)])
def test_kernels_of_another_shape_are_refused(files: ResultFiles, shape: tuple[int, ...]) -> None:
    save_file({"conv1.weight": np.zeros(shape, np.float32)}, files.model)
    with pytest.raises(UserError, match=r"conv1\.weight: found shape"):
        read_results(files)


def test_weights_of_another_recipe_are_refused(files: ResultFiles) -> None:
    recipe = load_yaml(files.params)["model"]
    for changes, message in (
        ({}, None),
        ({"width": 0.25}, r"trained with model\.width: 0\.25, but \S+params\.yaml has 1\.0: .* recipes"),
        (
            {"response_norm": {**recipe["response_norm"], "k": 1.0}},
            r"trained with model\.response_norm\.k: 1\.0, but \S+params\.yaml has 2\.0",
        ),
    ):
        about = json.dumps({"model": {**recipe, **changes}})
        save_file({"conv1.weight": two_columns()}, files.model, {"alexnet": about})
        if message is None:
            read_results(files)
            continue
        with pytest.raises(UserError, match=message) as caught:
            read_results(files)
        assert "\n" not in str(caught.value)


def test_further_keys_are_passed_over(files: ResultFiles) -> None:
    write_json(files.metrics, METRICS | {"another": 1})
    assert read_results(files).metrics.images == IMAGES


def test_diverged_loss_is_read_and_drawn(files: ResultFiles) -> None:
    rows = [epoch(1), epoch(2) | {"train_loss": "nan", "val_loss": "inf"}]
    write_csv(files.history, list(epoch(1)), rows)
    write_json(files.metrics, METRICS | {"loss": float("nan")})
    results = read_results(files)
    assert "nan" in summary(results) + " ".join(note.text for note in notes(results))
    assert curves.section(results, SETTINGS).blocks


def test_predictions_must_be_there_and_of_the_same_run(files: ResultFiles) -> None:
    found = made_predictions()
    save_predictions(files.predictions, replace(found, split="test"))
    with pytest.raises(UserError, match=r"200 of test, 0.36: they are of different runs"):
        read_results(files)
    save_predictions(files.predictions, replace(found, labels=(found.labels + 1) % 10))
    with pytest.raises(UserError, match=r"top-1 error 0.36, but .*: 200 of val, 0.64: they are of"):
        read_results(files)
    (files.predictions / "about.json").unlink()
    with pytest.raises(UserError, match="run the evaluate stage first"):
        read_results(files)


def test_durations_and_pictures_may_be_absent(files: ResultFiles) -> None:
    (files.durations / "evaluate.json").write_text("{", encoding="utf-8")
    for path in files.records.iterdir():
        path.unlink()
    assert read_results(files).durations == {}


def test_a_split_without_labels_is_read(files: ResultFiles) -> None:
    found = made_predictions()
    save_predictions(files.predictions, replace(found, labels=np.full(IMAGES, -1), split="test"))
    write_json(files.metrics, {"images": IMAGES, "split": "test"})
    assert read_results(files).metrics.errors is None
