"""The ablation table: its rows, what is refused, and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from alexnet.core.errors import UserError
from alexnet.core.files import write_json
from alexnet.core.params import read
from alexnet.evaluation.predictions import Predictions, save_predictions
from alexnet.report.figures import LIGHT
from alexnet.report.markdown import render_markdown
from alexnet.report.writing import compose
from experiments.ablations import summary
from experiments.ablations.rows import FULL, PARAMS, Ablations, parameters
from experiments.shared.outcomes import read_outcomes
from experiments.shared.settings import runs_of
from experiments.shared.values import Values, write_made_with

RECIPE = Path("params.yaml")
# Section 3.2 to 3.5, 4.1, 4.2 and 7, and what the rest of the recipe names.
TAKEN_AWAY = {
    "model.columns",
    "model.response_norm.enabled",
    "model.pooling",
    "augment.colour_noise",
    "augment.crop",
    "augment.mirror",
    "model.dropout.rate",
    "model.leave_out",
    "model.mean",
    "train.weight_decay",
    "train.bias_weight_decay",
    "model.activation",
}


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def table_of(**changes: Any) -> Ablations:
    return Ablations.model_validate({**read(PARAMS, Ablations).model_dump(), **changes})


def test_each_row_takes_one_thing_from_the_recipe() -> None:
    table = read(PARAMS, Ablations)
    rows = parameters(table, RECIPE)
    assert list(rows) == table.run == [FULL, *table.rows]
    changed = {
        name: {key for key, value in row.items() if rows[FULL][key] != value} for name, row in rows.items()
    }
    assert changed.pop(FULL) == set()
    assert set().union(*changed.values()) == TAKEN_AWAY
    assert {row["model.leave_out"] for row in rows.values()} == {"none", "conv3", "conv4", "conv5"}
    # Two keys at most go together: of weights and biases, of crops and mirrors.
    assert max(map(len, changed.values())) == 2


def rows_with(name: str, values: dict[str, Any]) -> dict[str, Any]:
    rows: dict[str, Any] = read(PARAMS, Ablations).model_dump()["rows"]
    return {**rows, name: {"without": name, "values": values}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rows": rows_with("thin", {"model.width": 0.1})},
            r"rows: thin: model\.width: found 0\.1 with model\.columns: 2, where conv1 has 9\.6 kernels",
        ),
        (
            {"alike": {"model.width": 0.0625}},
            r"one-column: model\.width: found 0\.0625 with model\.columns: 1, where conv1 has 3 kernels",
        ),
        ({"rows": rows_with("tanh", {"model.activation": "relu"})}, "tanh: found model.activation: relu, as"),
        (
            {"rows": rows_with("tanh", {"model.activation": "tan"})},
            "tanh: model.activation: found tan; allow",
        ),
        ({"rows": rows_with("tanh", {"model.activaton": "tanh"})}, "tanh: model.activaton: unknown key"),
        ({"alike": {"train.epoch": 2}}, r"ablations\.alike: train\.epoch: unknown key"),
        ({"run": [FULL, "no-norm"]}, "run: found no-norm; allowed: full, one-column"),
        ({"run": [FULL, "tanh", "tanh"]}, "run: found tanh twice"),
        ({"run": ["no-conv3", "tanh"]}, "run: full is missing"),
    ],
)
def test_a_row_that_is_wrong_is_refused_by_name_before_training(changes: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parameters(table_of(**changes), RECIPE)
    assert "\n" not in str(caught.value)


def planned_of(table: Ablations) -> dict[str, Values]:
    return runs_of(parameters(table, RECIPE), table.seeds)


def write_run(
    folder: Path, name: str, wrong: float, made_with: Values, classes: int = 10, train_loss: float = 1.0
) -> None:
    """Write a run of 100 pictures of which the first `wrong`, a fraction, are taken for the next class."""
    for stage in ("runs", "evaluated"):
        write_made_with(folder / stage / name, made_with)
    pictures = 100
    labels = np.arange(pictures) % classes
    guessed = np.where(np.arange(pictures) < wrong * pictures, (labels + 1) % classes, labels)
    scores = np.eye(classes)[guessed] + 0.01 * np.eye(classes)[labels]
    made = Predictions(
        scores,
        scores,
        labels,
        np.array([f"{number}.jpg" for number in range(pictures)]),
        "val",
        tuple((f"n{number}", f"class {number}") for number in range(classes)),
        tuple(range(1, classes + 1)),
    )
    save_predictions(folder / "evaluated" / name / "predictions", made)
    write_json(folder / "evaluated" / name / "metrics.json", made.metrics())
    history = pd.DataFrame({"train_loss": [3.0, train_loss], "train_error": [0.9, 0.5]})
    (folder / "runs" / name / "training").mkdir(parents=True)
    history.to_csv(folder / "runs" / name / "training" / "history.csv", index=False)


def results_of(folder: Path, table: Ablations) -> list[summary.RowResult]:
    outcomes = read_outcomes(planned_of(table), folder / "runs", folder / "evaluated", share_ties=False)
    return summary.results(table, outcomes, 2.3)


def test_the_table_says_what_is_larger_than_noise(tmp_path: Path) -> None:
    table = table_of(run=[FULL, "one-column", "small-pools", "no-conv3", "tanh"])
    planned = planned_of(table)
    errors = {"full": (0.10, 0.12, 0.11), "one-column": (0.30, 0.32, 0.32), "small-pools": (0.05, 0.2, 0.11)}
    errors["no-conv3"] = (0.20, 0.22, 0.21)
    for name, seeds in errors.items():
        for seed, wrong in enumerate(seeds, 1):
            run, loss = f"{name}-{seed}", 2.29 if name == "small-pools" else 1.0
            write_run(tmp_path, run, wrong, planned[run], train_loss=loss)
    write_run(tmp_path, "tanh-2", 0.5, planned["tanh-2"])
    rows = results_of(tmp_path, table)
    found, parts = summary.as_page(rows, table, parameters(table, RECIPE)[FULL], 1000)
    page = render_markdown(compose(summary.TITLE, found, parts), "")
    assert "13 of 15 runs are finished" in page
    assert "Larger than noise: taking away the second column adds errors." in page
    assert "Not told from noise: overlapping pooling." in page
    assert (
        "ends with 50.0% errors on the patches it learns from, with dropout on, and 11.0% on the val" in page
    )
    assert "The same difference with every seed, so there is no interval over seeds and no word on" in page
    assert "so among 2 rows a false one" in page
    assert "Of a single seed, so nothing can be said of noise: ReLU" in page
    assert "Still on the plateau, the loss of guessing by class frequency, at the end: overlapping" in page
    line = next(line for line in page.splitlines() if line.startswith("| the second column"))
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[2:5] == ["+1.7", "31.3%", "+20.3"]
    assert cells[7] == "yes"
    assert "| 30.0%, 32.0%, 32.0% |" in page
    assert summary.as_table(rows)["top1_error"].tolist()[:3] == [0.1, 0.12, 0.11]
    pages = [summary.as_figure(rows, LIGHT) for _ in range(2)]
    assert pages[0] == pages[1]


def test_runs_of_other_classes_are_not_compared(tmp_path: Path) -> None:
    table = table_of(run=[FULL, "tanh"], seeds=[1])
    planned = planned_of(table)
    write_run(tmp_path, "full-1", 0.1, planned["full-1"])
    write_run(tmp_path, "tanh-1", 0.1, planned["tanh-1"], classes=5)
    with pytest.raises(UserError, match=r"tanh-1: of other classes than .*full-1"):
        results_of(tmp_path, table)


@pytest.mark.parametrize("old", ["runs", "evaluated"])
def test_a_run_made_with_former_parameters_is_not_finished(tmp_path: Path, old: str) -> None:
    before = table_of(run=[FULL, "tanh"], seeds=[1])
    table = table_of(run=[FULL, "tanh"], seeds=[1], alike={**before.alike, "train.epochs": 30})
    write_run(tmp_path, "full-1", 0.1, planned_of(table)["full-1"])
    write_run(tmp_path, "tanh-1", 0.1, planned_of(table)["tanh-1"])
    rows = results_of(tmp_path, table)
    assert [len(row.outcomes) for row in rows] == [1, 1]
    # DVC has not come to it yet: neither trained, or trained anew but not yet evaluated again.
    write_made_with(tmp_path / old / "tanh-1", planned_of(before)["tanh-1"])
    rows = results_of(tmp_path, table)
    found, parts = summary.as_page(rows, table, parameters(table, RECIPE)[FULL], 1000)
    page = render_markdown(compose(summary.TITLE, found, parts), "")
    assert "30 epochs" in page
    assert "1 of 2 runs are finished" in page
    assert "No row can be compared with the full recipe yet" in page


def test_nothing_finished_is_said(tmp_path: Path) -> None:
    table = table_of(run=[FULL, "tanh"])
    with pytest.raises(UserError, match="no run is finished yet; run dvc repro"):
        summary.as_page(results_of(tmp_path, table), table, parameters(table, RECIPE)[FULL], 10)
