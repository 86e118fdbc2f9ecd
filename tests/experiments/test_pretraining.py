"""Pre-training: the source's fine-tuning schedule, what is refused, and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from test_ensemble import member

from alexnet.core.errors import DivergedError, UserError
from alexnet.core.files import write_json
from alexnet.core.params import read
from alexnet.report.markdown import render_markdown
from alexnet.report.writing import compose
from alexnet.training.params import Train
from alexnet.training.schedule import Schedule
from alexnet.training.train import Paths
from experiments.pretraining import arm, summary
from experiments.pretraining.arm import best_rate
from experiments.pretraining.plans import (
    PARAMS,
    Arm,
    Pretraining,
    check,
    finetuning,
    larger_data,
    made_with,
    of_arm,
    pretrained,
)
from experiments.shared.values import nested, write_made_with

RECIPE = Path("params.yaml")


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def plan_of(**changes: Any) -> Pretraining:
    return Pretraining.model_validate({**read(PARAMS, Pretraining).model_dump(), **changes})


def rates_of(epochs: int) -> dict[str, list[float]]:
    """Return conv1's, the middle layers' and fc8's rate in each epoch of fine-tuning at 0.01."""
    plan = plan_of(alike={**read(PARAMS, Pretraining).alike, "train.epochs": epochs})
    settings = nested(of_arm("finetuned", plan, 1, 0.01, RECIPE))["train"]
    schedule = Schedule(Train.model_validate(settings))
    every = [schedule.rates(epoch) for epoch in range(1, epochs + 1)]
    return {layer: [now.of(layer, "weight") for now in every] for layer in ("conv1", "fc7", "fc8")}


def test_over_54_epochs_fine_tuning_is_the_sources() -> None:
    rates = rates_of(54)
    # Layer file 146-2012-2011; epochs count from 1.
    assert rates["conv1"] == [1e-4] * 4 + [1e-5] * 2 + [0.0] * 48
    assert rates["fc7"] == pytest.approx([1e-3] * 21 + [1e-4] * 20 + [1e-5] * 13)
    assert rates["fc8"] == pytest.approx([1e-2] * 8 + [1e-3] * 13 + [1e-4] * 20 + [1e-5] * 13)
    assert finetuning(54, 0.01, 0.01)["augment.colour_noise_last_epoch"] == 37


@pytest.mark.parametrize("epochs", [1, 5, 10, 27])
def test_fewer_epochs_keep_the_order(epochs: int) -> None:
    rates = rates_of(epochs)
    for layer in rates.values():
        assert layer == sorted(layer, reverse=True)
    if epochs >= 5:
        assert rates["conv1"][-1] == 0
        assert rates["fc8"][0] == 10 * rates["fc7"][0] == 0.01
        assert rates["fc7"][0] == pytest.approx(100 * rates["fc7"][-1])


def test_the_arms_differ_by_where_they_begin_and_by_the_schedule() -> None:
    plan = read(PARAMS, Pretraining)
    arms: tuple[Arm, ...] = ("scratch", "finetuned", "plain")
    scratch, tuned, plain = (of_arm(arm, plan, 2, 0.02, RECIPE) for arm in arms)
    changed = {key for key in scratch if scratch[key] != tuned[key]}
    schedule = {key for key in changed if key.startswith("train.schedule.")}
    assert changed - schedule == {
        "train.initial_weights",
        "train.learning_rate",
        "train.bias_learning_rate",
        "augment.colour_noise_last_epoch",
    }
    assert tuned["train.initial_weights"] == "experiments/pretraining/pretrained/2/alexnet.safetensors"
    assert {key for key in scratch if scratch[key] != plain[key]} == {"model.conv6"}
    assert pretrained(plan, RECIPE)["model.conv6"] is True
    assert larger_data(plan, RECIPE)["sample.first_class"] == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"average": [{"arm": "finetuned", "seed": 9}, {"arm": "plain", "seed": 1}]},
            "seed 9; allowed: of the",
        ),
        ({"average": [{"arm": "plain", "seed": 1}] * 2}, "plain network of seed 1 twice"),
        (
            {"average": [{"arm": "plain", "seed": 1}, {"arm": "plain", "seed": 2}]},
            "found one kind of network",
        ),
        ({"alike": {"model.width": 0.1}}, r"pretraining\.alike: model\.width: found 0\.1"),
        ({"pretrain": {"train.epoch": 1}}, r"pretraining\.pretrain: train\.epoch: unknown key"),
        ({"larger": {"sample.first_clas": 1}}, r"pretraining\.larger: sample\.first_clas: unknown key"),
        ({"larger": {"sample.first_class": 15}}, r"pretraining\.larger: sample"),
    ],
)
def test_what_is_wrong_is_refused_before_training(changes: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check(plan_of(**changes), RECIPE)
    assert "\n" not in str(caught.value)


def test_the_rate_that_comes_first_is_taken_alike(tmp_path: Path) -> None:
    histories = {0.01: [0.9, 0.5, 0.3, 0.1], 0.02: [0.9, 0.3, 0.5, 0.4], 0.04: [0.9, 0.9, 0.2, 0.05]}
    folders = {}
    for rate, errors in histories.items():
        folders[rate] = tmp_path / f"{rate:g}"
        (folders[rate] / "training").mkdir(parents=True)
        pd.DataFrame({"val_top1_error": errors}).to_csv(folders[rate] / "training/history.csv", index=False)
    assert best_rate(folders, 0.3) == 0.02
    # Two come as soon: the one that errs less at the end. None does: likewise.
    assert best_rate({rate: folders[rate] for rate in (0.01, 0.04)}, 0.3) == 0.04
    assert best_rate(folders, 0.01) == 0.04


def curves_of(scratch: list[int], tuned: list[int]) -> dict[Arm, summary.Curves]:
    """Return arms whose runs come to 30 % in the given epochs of ten; 0: never."""

    def errors(epoch: int) -> list[float]:
        return [0.2 if epoch and now >= epoch else 0.8 for now in range(1, 11)]

    return {
        "scratch": summary.Curves(0.01, {0.01: errors(scratch[0])}, dict(enumerate(map(errors, scratch), 1))),
        "finetuned": summary.Curves(
            0.04,
            {0.01: errors(0), 0.04: errors(tuned[0])},
            dict(enumerate(map(errors, tuned), 1)),
        ),
    }


def test_the_page_says_how_many_epochs_are_saved() -> None:
    draw = np.random.default_rng(7)
    members: dict[Arm, list[Any]] = {
        "plain": [member(draw) for _ in range(5)],
        "finetuned": [member(draw) for _ in range(2)],
        "scratch": [],
    }
    plan, curves = read(PARAMS, Pretraining), curves_of([7, 8, 8], [3, 4, 3])
    found, parts = summary.as_page(plan, curves, members, False, RECIPE, (2000, 1000))
    page = render_markdown(compose(summary.TITLE, found, parts), "")
    assert "from scratch in epoch 7, 8, 8; pre-trained, fine-tuned in epoch 3, 4, 3" in found
    assert "saves 4.3 epochs (95% over seeds 2.9 to 5.8), larger than noise." in found
    assert "At the edge of the sweep, so that a wider one might find better: pre-trained, fine-tuned." in page
    averaged = np.mean([one.ten for one in (*members["plain"], *members["finetuned"])], 0)
    wrong = (averaged.argmax(1) != members["plain"][0].labels).mean()
    line = next(line for line in page.splitlines() if line.startswith("| 7 CNNs"))
    assert "36.7% | 15.4% | 2 and 5 CNNs |" in line
    assert f"| {wrong:.1%} |" in line
    assert summary.as_table(plan, curves)["epoch"].max() == 10


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        (([8, 8, 8], [5, 5, 5]), "saves 3.0 epochs; with each of 3 seeds as many, so there is no interval"),
        (([8], [5]), "saves 3.0 epochs; of a single seed nothing can be said of noise."),
    ],
)
def test_without_spread_nothing_is_said_of_noise(epochs: tuple[list[int], list[int]], message: str) -> None:
    found = summary.finding(curves_of(*epochs), 0.3)
    assert message in found
    assert "larger than" not in found


def test_a_run_that_does_not_get_there_is_told() -> None:
    found = summary.finding(curves_of([7, 0, 8], [3, 4, 3]), 0.3)
    assert "from scratch in epoch 7, not within 10, 8" in found
    assert "Not all runs reach it, so the epochs saved have no mean." in found


def write_arm(folder: Path, arm: Arm, plan: Pretraining, rate: float) -> None:
    """Write what an arm leaves: the tuning with the first seed, the choice, and every seed."""
    runs = [(folder / "tuning" / f"{each:g}", plan.seeds[0], each) for each in plan.rates]
    runs += [(folder / str(seed), seed, rate) for seed in plan.seeds]
    for where, seed, each in runs:
        (where / "training").mkdir(parents=True, exist_ok=True)
        history = pd.DataFrame({"val_top1_error": [0.9, each]})
        history.to_csv(where / "training" / "history.csv", index=False)
        write_made_with(where, made_with(arm, plan, seed, each, RECIPE))
    write_json(folder / "chosen.json", {"rate": rate, "target_error": plan.target_error})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alike": {**read(PARAMS, Pretraining).alike, "train.epochs": 20}}, r"tuning/0\.01: not made with"),
        ({"pretrain": {"train.epochs": 20}}, r"tuning/0\.01: not made with"),
        ({"larger": {"sample.first_class": 9}}, r"tuning/0\.01: not made with"),
        ({"rates": [0.01, 0.02, 0.04, 0.08]}, r"tuning/0\.08: not made with"),
        ({"seeds": [1, 2, 3, 4]}, r"arm/4: not made with"),
        ({"target_error": 0.4}, r"chosen\.json: not made with"),
    ],
)
def test_an_arm_made_with_former_parameters_is_refused(tmp_path: Path, changes: Any, message: str) -> None:
    plan = read(PARAMS, Pretraining)
    write_arm(tmp_path / "arm", "finetuned", plan, 0.02)
    found = summary.read_curves("finetuned", plan, tmp_path / "arm", RECIPE)
    assert (found.rate, found.runs[3], found.tuning[0.04]) == (0.02, [0.9, 0.02], [0.9, 0.04])
    with pytest.raises(UserError, match=message):
        summary.read_curves("finetuned", plan_of(**changes), tmp_path / "arm", RECIPE)


def tune(
    monkeypatch: pytest.MonkeyPatch, out: Path, highest: float, error: type[UserError] = DivergedError
) -> None:
    """Run the arm from scratch; rates above `highest` end in an error, from 0.04 on in the first epoch."""

    def train(*arguments: Any) -> None:
        settings: Train = arguments[4]
        paths: Paths = arguments[6]
        rate = settings.learning_rate
        errors = [0.9, 0.8 - rate, 0.7 - rate]
        if rate > highest:
            errors = errors[: rate < 0.04]
        if errors:
            paths.logs.mkdir(parents=True)
            pd.DataFrame({"val_top1_error": errors}).to_csv(paths.logs / "history.csv", index=False)
        if rate > highest:
            raise error(f"the loss is nan in epoch {len(errors) + 1}. Lower train.learning_rate.")

    monkeypatch.setattr(arm, "train_and_record", train)
    machine = out.parent / "machine.yaml"
    machine.write_text("devices: 1\n")
    arm.main("scratch", machine=machine, out=out)


def test_a_rate_that_diverges_is_ranked_last_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(monkeypatch, tmp_path / "scratch", highest=0.015)
    plan = read(PARAMS, Pretraining)
    found = summary.read_curves("scratch", plan, tmp_path / "scratch", RECIPE)
    assert (found.rate, found.diverged) == (0.01, (0.02, 0.04))
    assert found.tuning == {0.01: [0.9, 0.79, 0.69], 0.02: [0.9], 0.04: []}
    assert list(found.runs) == plan.seeds
    table = summary.tuning_table({"scratch": found}, 0.3)
    assert [row.cells[2] for row in table.rows] == [
        "not within 3",
        "diverged in epoch 2",
        "diverged in epoch 1",
    ]
    assert summary.as_table(plan, {"scratch": found})["kind"].tolist().count("tuning") == 4


def test_rates_that_all_diverge_are_refused_by_their_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        UserError, match=r"params\.yaml: pretraining\.rates: found 0\.01, 0\.02, 0\.04, and with each"
    ) as told:
        tune(monkeypatch, tmp_path / "scratch", highest=0)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "scratch" / "1").exists()


def test_another_error_in_tuning_ends_the_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="the loss is nan"):
        tune(monkeypatch, tmp_path / "scratch", highest=0, error=UserError)
