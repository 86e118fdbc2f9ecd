"""The walk between the recipes: its rows, its summary, and its graph at toy size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT

from alexnet.core.errors import UserError
from alexnet.core.params import read
from alexnet.feed.params import Augment
from alexnet.model.params import Model
from alexnet.report.markdown import render_markdown
from alexnet.report.writing import compose
from alexnet.training.params import Train
from experiments.recipe_walk import summary
from experiments.recipe_walk.walk import PARAMS, Walk, parameters
from experiments.shared.settings import runs_of
from experiments.shared.values import write_made_with

SECTIONS = (Augment, Model, Train)
TOY_ROWS: list[dict[str, Any]] = [
    {"name": "paper"},
    {"name": "bias-rate", "goal": ["train.bias_learning_rate"]},
    {
        "name": "source-2012",
        "goal": [
            "train.bias_weight_decay",
            "augment.colour_noise",
            "model.initial_weights",
            "model.mean",
            "model.response_norm.alpha_divided_by_size",
            "model.conv1_order",
            "model.spatial_norm",
            "model.conv5_order",
        ],
    },
    {"name": "odd-batch", "after": "paper", "values": {"train.batch_size": 5}},
]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def walk_of(**changes: Any) -> Walk:
    return Walk.model_validate({**read(PARAMS, Walk).model_dump(), **changes})


def leaves(path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def add(value: Any, prefix: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(inner, f"{prefix}.{key}")
        else:
            found[prefix] = value

    for section in SECTIONS:
        add(read(ROOT / path, section).model_dump(), section.key)
    return found


@pytest.mark.parametrize(
    ("row", "profile"), [("paper", "imagenet-2012-paper"), ("source-2012", "imagenet-2012-source")]
)
def test_the_ends_are_the_recipes_but_for_what_all_rows_have_alike(row: str, profile: str) -> None:
    walk = read(PARAMS, Walk)
    found, expected = parameters(walk)[row], leaves(f"profiles/{profile}.yaml")
    assert found.keys() == expected.keys()
    assert {key for key in found if found[key] != expected[key]} <= walk.alike.keys()
    assert {key: found[key] for key in walk.alike} == walk.alike


def test_a_row_on_the_way_to_the_source_changes_one_knob() -> None:
    walk = read(PARAMS, Walk)
    rows = parameters(walk)
    names = [row.name for row in walk.rows]
    for before, row in zip(names[:-2], walk.rows[1:-2], strict=False):
        changed = [key for key, value in rows[row.name].items() if rows[before][key] != value]
        assert len(changed) == 1, row.name
    for row in walk.rows[-2:]:
        assert row.after is not None
        assert rows[row.name] == {**rows[row.after], **row.values}


def rows_with(change: Any) -> list[dict[str, Any]]:
    rows = [row.model_dump() for row in read(PARAMS, Walk).rows]
    change(rows)
    return rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.pop(1), r"model\.initial_weights: found in the goal of 0 rows"),
        (lambda rows: rows[2]["goal"].append("model.mean"), r"model\.mean: found in the goal of 2 rows"),
        (lambda rows: rows[2]["goal"].append("model.width"), r"model\.width: found in the goal of 1 row"),
        (
            lambda rows: rows[-1]["values"].update({"model.widht": 1}),
            r"source-batch-32: model\.widht: unknown",
        ),
        (lambda rows: rows[-1]["values"].update({"model.width": 9.0}), r"model\.width: found 9\.0; allowed"),
        (lambda rows: rows[-1].update(after="nowhere"), "after: found nowhere; allowed: a row above"),
        (lambda rows: rows.append(rows[0]), "paper: found twice"),
    ],
)
def test_a_walk_that_is_wrong_is_refused_before_it_begins(change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parameters(walk_of(rows=rows_with(change)))
    assert "\n" not in str(caught.value)


def results_of(histories: dict[str, list[list[float]]], tmp_path: Path) -> list[summary.RowResult]:
    walk = walk_of(rows=TOY_ROWS, seeds=[1, 2])
    planned = runs_of(parameters(walk), walk.seeds)
    for name, seeds in histories.items():
        for seed, losses in enumerate(seeds, 1):
            logs = tmp_path / f"{name}-{seed}" / "training"
            logs.mkdir(parents=True)
            history = pd.DataFrame({"train_loss": losses, "val_top1_error": [0.5] * len(losses)})
            history.to_csv(logs / "history.csv", index=False)
            write_made_with(logs.parent, planned[f"{name}-{seed}"])
    return summary.read_results(walk, PARAMS, tmp_path, tmp_path / "signal.csv")


def page_of(results: list[summary.RowResult]) -> str:
    description, parts = summary.as_page(results, walk_of(rows=TOY_ROWS, seeds=[1, 2]), 3.0, 4, 99)
    return render_markdown(compose(summary.TITLE, description, parts), "")


def test_the_plateaus_end_is_the_first_epoch_2_per_cent_below(tmp_path: Path) -> None:
    histories = {
        "paper": [[3.2, 3.0, 2.95, 2.93], [3.0, 3.0, 3.01, 2.99]],
        "bias-rate": [[3.1, 2.9, 2.8, 2.7], [3.0, 2.99, 2.93, 2.9]],
        "source-2012": [[3.1, 2.99]],
    }
    results = results_of(histories, tmp_path)
    table = summary.as_table(results, 3.0)
    ends = table["first_epoch_below_plateau"].astype(object).where(lambda column: column.notna(), None)
    assert ends.tolist() == [4, None, 2, 3, None, None, None, None]
    assert table["epochs"].tolist() == [4, 4, 4, 4, 2, 0, 0, 0]
    page = page_of(results)
    assert "4 of 8 runs are finished; the others are marked" in page
    assert "| 4, not within 4 |" in page
    assert "| not within 2 (unfinished), not run |" in page
    assert "- **paper**: left the plateau in epoch 4; flat with 1 seed." in page
    assert "- **bias-rate**: left the plateau in epoch 2, 3: sooner than paper with every seed." in page
    assert "- **source-2012**: no finished run." in page
    assert "- **odd-batch**: no finished run." in page
    assert "Of 2 rows, still at the entropy of the class frequencies after 4 epochs with" in page
    assert "every seed: none." in page
    assert summary.as_figure(results, 3.0, 4) == summary.as_figure(results, 3.0, 4)


def test_a_flat_row_is_called_flat(tmp_path: Path) -> None:
    results = results_of({"paper": [[3.0] * 4, [3.1] * 4], "odd-batch": [[3.0] * 4, [2.5] * 4]}, tmp_path)
    page = page_of(results)
    assert "- **paper**: flat: on the plateau to the end, epoch 4, with 2 seeds." in page
    assert "every seed: paper." in page
    assert "flat with 1 seed; against paper neither sooner nor later with every seed." in page


def test_a_row_that_falls_back_is_told(tmp_path: Path) -> None:
    results = results_of({"paper": [[3.0, 2.9, 2.8, 3.0], [3.0, 2.9, 2.8, 2.7]]}, tmp_path)
    page = page_of(results)
    assert "| 2, but ended on it, 2 |" in page
    assert "left the plateau in epoch 2, 2; ended on it all the same with 1 seed." in page


def test_a_run_made_with_former_parameters_counts_as_not_run(tmp_path: Path) -> None:
    results = results_of({"paper": [[3.0, 2.9, 2.8, 2.7]] * 2}, tmp_path)
    assert "2 of 8 runs are finished" in page_of(results)
    walk = walk_of(rows=TOY_ROWS, seeds=[1, 2])
    planned = runs_of(parameters(walk), walk.seeds)["paper-2"]
    write_made_with(tmp_path / "paper-2", {**planned, "train.learning_rate": 0.5})
    results = summary.read_results(walk, PARAMS, tmp_path, tmp_path / "signal.csv")
    assert [len(trained.losses) for trained in results[0].runs] == [4, 0]
    page = page_of(results)
    assert "1 of 8 runs are finished" in page
    assert "| 2, not run |" in page
