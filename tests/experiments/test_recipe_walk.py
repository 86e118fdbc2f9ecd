"""The walk between the recipes: its rows, what is refused, and its page."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from finished import params_with, write_run

from alexnet.report.canvas import LIGHT
from alexnet.report.page import page_as_markdown
from experiments.recipe_walk import page
from experiments.recipe_walk.walk import PARAMS, Walk, plan, row_before
from experiments.shared.plans import Values, differing, planned

CHANCE = 3.0


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_ends_are_the_recipes_but_for_what_all_rows_have_alike_and_each_row_changes_one_knob() -> None:
    walk, rows = plan()
    for row, profile in (("paper", "imagenet-2012-paper"), ("source-2012", "imagenet-2012-source")):
        assert rows[row] == {**planned([f"profiles/{profile}.yaml", "model.width=1.0"]), **walk.alike}
    before = {name: row_before(name, rows) for name in list(rows)[1:]}
    assert [len(differing(rows[name], rows[other])) for name, other in before.items()] == [1] * 16
    assert before.pop("paper-batch-32") == "paper"
    assert before.pop("source-batch-32") == "source-2012"
    assert list(before.values()) == list(rows)[:14]


def test_the_recipes_at_full_width_are_those_of_the_profiles() -> None:
    walk, rows = plan(PARAMS.with_name("full_width.yaml"))
    full = {key: rows["paper"][key] for key in walk.alike}
    assert rows["paper"] == {**planned([walk.start]), **full}
    assert rows["source-2012"] == {**planned([walk.goal.profile]), **full}
    assert {row["model.width"] for row in rows.values()} == {1.0}
    assert {row["train.batch_size"] for row in rows.values()} == {128, 32}


def walk_with(
    histories: dict[str, list[list[float]]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Walk, dict[str, Values], pd.DataFrame]:
    """Plan three rows with two seeds, and write the training losses of each row's runs, by seed."""
    walk, rows = plan(params_with(folder, "recipe_walk", run=["paper", "bias-rate", "he"], seeds=[1, 2]))
    monkeypatch.setattr(page, "RUNS", folder)
    for name, seeds in histories.items():
        for seed, losses in enumerate(seeds, 1):
            values = {**rows[name], "train.seed": seed}
            errors = [0.5] * len(losses)
            write_run(folder / f"recipe_walk/{name}-{seed}", values, train_loss=losses, val_top1_error=errors)
    return walk, rows, page.read_runs(walk, rows, CHANCE)


def test_chance_is_left_in_the_first_epoch_2_per_cent_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories = {
        "paper": [[3.2, 3.0, 2.95, 2.93], [3.0, 3.0, 3.01, 2.99]],
        "bias-rate": [[3.1, 2.9, 2.8, 2.7], [3.0, 2.9, 2.93, 3.0]],
    }
    walk, rows, runs = walk_with(histories, tmp_path, monkeypatch)
    ends = runs["first_epoch_below_chance"]
    assert ends.astype(object).where(ends.notna(), None).tolist() == [4, None, 2, 2]
    signals = pd.DataFrame({"signal": [0.1], "signal_at_width_1": [0.2]}, index=["paper"])
    text = page_as_markdown("", *page.as_page(walk, rows, runs, signals, CHANCE, 99))
    assert "4 of 6 runs are finished (not he-1, he-2)." in text
    told = "2 of 4 runs end with more learnt than the class frequencies, after 12 epochs; 1 more left chance"
    assert told in text
    lines = {line.split(" |")[0][2:]: line for line in text.splitlines() if line.startswith("| ")}
    assert "| 0.2 | 0.1 | 4; not within 4 |" in lines["paper"]
    assert "| 2; 2, but ended at chance | sooner with every seed |" in lines["bias-rate"]
    one_seed = page.table_of_rows(rows, runs.drop(runs.index[-1]), signals).set_index("row")
    assert one_seed.loc["bias-rate", "than the row before"] == ""
    assert "| not finished |" in lines["he"]
    assert page.draw(rows, runs, CHANCE, 4, LIGHT) == page.draw(rows, runs, CHANCE, 4, LIGHT)


def test_a_flat_row_is_told_and_a_former_run_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk, rows, runs = walk_with({"paper": [[3.0] * 4, [3.1] * 4]}, tmp_path, monkeypatch)
    found, _ = page.as_page(walk, rows, runs, pd.DataFrame(), CHANCE, 99)
    assert "No run of paper ever left chance." in found
    former = {**rows["paper"], "train.seed": 2, "train.learning_rate": 0.5}
    write_run(tmp_path / "recipe_walk/paper-2", former, train_loss=[1.0], val_top1_error=[0.5])
    assert page.read_runs(walk, rows, CHANCE)["seed"].tolist() == [1]
