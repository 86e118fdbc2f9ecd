"""The ablation table: its rows, what is refused, and its page."""

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from finished import RECIPE, params_with, write_run, wrong_by

from alexnet.core.errors import UserError
from alexnet.core.files import write_json
from alexnet.core.params import load_yaml
from alexnet.report.canvas import LIGHT
from alexnet.report.page import page_as_markdown
from experiments.ablations import page
from experiments.ablations.rows import FULL, PARAMS, ROWS, Ablations, plan
from experiments.shared.outcomes import read_outcomes
from experiments.shared.plans import Values, differing, planned

# Section 3.2 to 3.5, 4.1, 4.2 and 7, and what the rest of the recipe names.
OF_MODEL = ("columns", "response_norm.enabled", "pooling", "dropout.rate", "leave_out", "mean", "activation")
OF_AUGMENT, OF_TRAIN = ("colour_noise", "crop", "mirror"), ("weight_decay", "bias_weight_decay")
SECTIONS = {"model": OF_MODEL, "augment": OF_AUGMENT, "train": OF_TRAIN}
TAKEN_AWAY = {f"{section}.{key}" for section, keys in SECTIONS.items() for key in keys}


def test_each_row_takes_one_thing_from_the_recipe() -> None:
    table, runs = plan(ROOT / PARAMS, RECIPE, ROOT / ROWS)
    assert table.run == [*table.rows]
    assert list(runs)[:2] == ["full-1", "one-column-1"]
    assert runs["tanh-3"]["train.seed"] == 3
    full = runs["full-1"]
    changed = {name: differing(runs[f"{name}-1"], full) for name in table.run}
    assert changed.pop(FULL) == {}
    assert {key for row in changed.values() for key in row} == TAKEN_AWAY
    # Two keys at most go together: of weights and biases, of crops and mirrors.
    assert max(map(len, changed.values())) == 2


@pytest.mark.parametrize("name", ["tiny_imagenet.yaml", "tiny_imagenet_layers.yaml"])
def test_the_plans_for_photographs_have_the_printed_recipe(name: str) -> None:
    recipe = str(ROOT / "profiles/tiny-imagenet.yaml")
    _, runs = plan(ROOT / PARAMS.with_name(name), recipe, ROOT / ROWS)
    printed = planned([str(ROOT / page.PRINTED_RECIPE)])
    changed = {"train.epochs", "train.precision", "train.schedule.kind", "train.schedule.drop_epochs"}
    assert {*differing(runs["full-1"], printed)} - {"train.seed"} == changed


def planned_with(folder: Path, **changes: Any) -> tuple[Ablations, dict[str, Values]]:
    return plan(params_with(folder, "ablations", **changes), RECIPE, folder / "rows.yaml")


def page_of(folder: Path, table: Ablations, planned: dict[str, Values]) -> str:
    outcomes = read_outcomes(planned, folder, share_ties=False)
    return page_as_markdown("", *page.as_page(table, outcomes, planned["full-1"], 2.3, 1000))


def test_the_table_says_what_is_larger_than_noise(tmp_path: Path) -> None:
    table, planned = planned_with(tmp_path, run=[FULL, "one-column", "small-pools", "no-conv3", "tanh"])
    errors = {"full": (0.10, 0.12, 0.11), "one-column": (0.30, 0.32, 0.32), "small-pools": (0.05, 0.2, 0.11)}
    errors["no-conv3"] = (0.20, 0.22, 0.21)
    runs = {f"{name}-{seed}": wrong for name, own in errors.items() for seed, wrong in enumerate(own, 1)}
    for name, wrong in (runs | {"tanh-2": 0.5}).items():
        losses = [3.0, 2.29 if name.startswith("small-pools") else 1.0]
        write_run(tmp_path / name, planned[name], wrong_by(wrong), train_loss=losses, train_error=[0.9, 0.5])
    text = page_of(tmp_path, table, planned).replace("\\", "")
    for said in (
        "13 of 15 runs are finished",
        "Rows that are not in this plan take away: local response normalisation; colour noise; ",
        "Larger than noise, each by itself: the error rises without the second column (+20.3 points,",
        "Not told from noise by this number of seeds and pictures: overlapping pooling (",
        "ends with 50.0% errors on the patches it learns from, with dropout on. On the",
        "it has 11.0% with one patch and 11.0% with ten.",
        "The same difference with every seed, so there is no interval and no verdict: conv3 (and",
        "significant with Holm's correction for 2 rows",
        "the full recipe differs from the printed one in model.initial_weights, model.initial_biases",
        "Of a single seed, so there is no verdict: ReLU",
        "At chance or above it, the loss of guessing by class frequency, at the end: overlapping pooling (3",
        "| 30.0%, 32.0%, 32.0% |",
    ):
        assert said in text
    assert "model.columns" not in text.partition("recipe differs from")[2].partition("\n")[0]
    line = next(line for line in text.splitlines() if line.startswith("| the second column"))
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[2:5] == ["+1.7", "31.3%", "+20.3"]
    assert cells[7] == "yes"
    outcomes = read_outcomes(planned, tmp_path, share_ties=False)
    assert page.table_of_runs(table, outcomes)["top1_error"].tolist()[:3] == [0.1, 0.12, 0.11]
    added = page.compare(table, outcomes)
    assert page.draw(table, added, LIGHT) == page.draw(table, added, LIGHT)


def test_runs_of_other_classes_are_not_compared(tmp_path: Path) -> None:
    _, planned = planned_with(tmp_path, run=[FULL, "tanh"], seeds=[1])
    for (name, values), classes in zip(planned.items(), (10, 5), strict=True):
        write_run(tmp_path / name, values, wrong_by(0.1, classes), train_loss=[1.0], train_error=[0.5])
    with pytest.raises(UserError, match=r"tanh-1: of other classes than .*full-1"):
        read_outcomes(planned, tmp_path, share_ties=False)


@pytest.mark.parametrize("stale", ["training", "ended early", "predictions"])
def test_a_run_made_with_former_parameters_or_weights_is_not_finished(tmp_path: Path, stale: str) -> None:
    table, planned = planned_with(tmp_path, run=[FULL, "tanh"], seeds=[1])
    for name, values in planned.items():
        write_run(tmp_path / name, values, wrong_by(0.1), train_loss=[1.0], train_error=[0.5])
    assert "2 of 2 runs are finished" in page_of(tmp_path, table, planned)
    run = tmp_path / "tanh-1/training/run.json"
    about = load_yaml(run)
    if stale == "training":
        about["parameters"]["train"]["epochs"] = 99
    elif stale == "ended early":
        about["epochs"] -= 1
    else:
        about["weights"] = "of a training that was not evaluated yet"
    write_json(run, about)
    text = page_of(tmp_path, table, planned)
    assert "1 of 2 runs are finished" in text
    assert "No row can be compared with the full recipe yet" in text
    (tmp_path / "full-1/metrics.json").unlink()
    with pytest.raises(UserError, match="no run is finished yet; run python -m"):
        page_of(tmp_path, table, planned)
