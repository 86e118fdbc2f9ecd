"""Pre-training: the source's fine-tuning schedule, what is refused, the choice of a rate, and the page."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from finished import RECIPE, member, params_with, write_run
from tiny import told

from alexnet.core.errors import DivergedError, UserError
from alexnet.core.files import write_json
from alexnet.core.params import load_yaml
from alexnet.report.page import page_as_markdown
from alexnet.training.params import Train
from alexnet.training.schedule import Schedule
from experiments.pretraining import page, tune
from experiments.pretraining.arms import PARAMS, TUNED, Plan, Tuned, falls, finetuning
from experiments.pretraining.tune import Chosen, Tried, best_of, read_chosen
from experiments.shared.plans import differing, nested

ALIKE = load_yaml(ROOT / PARAMS)["pretraining"]["alike"]


def plan_with(folder: Path, **changes: Any) -> Plan:
    return Plan(params_with(folder, "pretraining", **changes), RECIPE)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(ROOT / PARAMS, RECIPE)


def rates_over(epochs: int, plan: Plan) -> dict[str, list[float]]:
    """Return some parameters' rates in each epoch of fine-tuning at 0.01, with 0.02 for the biases."""
    own = {"train.epochs": epochs, "train.bias_learning_rate": 0.02}
    values = {**plan.scratch, **falls(epochs), **finetuning(epochs, 0.01), **own}
    schedule = Schedule(Train.model_validate(nested(values)["train"]))
    names = ("conv1.weight", "fc7.weight", "fc8.weight", "conv1.bias", "fc7.bias")
    every = [schedule.rates(epoch, names) for epoch in range(1, epochs + 1)]
    return {name.removesuffix(".weight"): [now[name] for now in every] for name in names}


def test_over_54_epochs_fine_tuning_is_the_sources(plan: Plan) -> None:
    rates = rates_over(54, plan)
    # Layer file 146-2012-2011; epochs count from 1.
    assert rates["conv1"] == [1e-4] * 4 + [1e-5] * 2 + [0.0] * 48
    assert rates["fc7"] == pytest.approx([1e-3] * 21 + [1e-4] * 20 + [1e-5] * 13)
    assert rates["fc8"] == pytest.approx([1e-2] * 8 + [1e-3] * 13 + [1e-4] * 20 + [1e-5] * 13)
    # The biases keep their rate; those of a frozen layer stand still with it.
    assert rates["fc7.bias"] == [0.02] * 54
    assert rates["conv1.bias"] == [0.02] * 6 + [0.0] * 48
    assert falls(54)["augment.colour_noise_last_epoch"] == 37


@pytest.mark.parametrize("epochs", [1, 5, 10, 27])
def test_fewer_epochs_keep_the_order(epochs: int, plan: Plan) -> None:
    rates = rates_over(epochs, plan)
    for layer in rates.values():
        assert layer == sorted(layer, reverse=True)
    if epochs >= 5:
        assert rates["conv1"][-1] == 0
        assert rates["fc8"][0] == 10 * rates["fc7"][0] == 0.01
        assert rates["fc7"][0] == pytest.approx(100 * rates["fc7"][-1])


def test_the_arms_differ_by_where_they_begin_and_by_the_rates_of_layers(plan: Plan) -> None:
    scratch, tuned = (plan.tuned(arm, 2, 0.02) for arm in TUNED)
    rates = {"train.learning_rate", "train.schedule.conv1", "train.schedule.fc8"}
    assert differing(tuned, scratch).keys() == {"train.initial_weights", *rates}
    assert tuned["train.initial_weights"] == "data/experiments/pretraining/larger-2/alexnet.safetensors"
    assert "larger-1/" in plan.tuned("finetuned", plan.settings.tuning_seed, 0.02)["train.initial_weights"]
    assert differing(plan.plain, plan.scratch) == {"model.conv6": False}
    assert plan.larger["model.conv6"] is True
    assert plan.larger_data["sample.first_class"] == 10


def tried(rate: float, errors: list[float], diverged: bool = False) -> Tried:
    return Tried(rate=rate, made_with={}, errors=errors, diverged=diverged)


def test_the_rate_that_comes_first_is_taken() -> None:
    several = [tried(0.01, [0.9, 0.5, 0.3, 0.1]), tried(0.02, [0.9, 0.3, 0.5, 0.4])]
    several.append(tried(0.04, [0.9, 0.9, 0.2, 0.05]))
    assert best_of(several, 0.3) == 0.02
    # Two come as soon: the one that errs less at the end. None does: likewise.
    assert best_of(several[::2], 0.3) == 0.04
    assert best_of(several, 0.01) == 0.04
    assert best_of([tried(0.08, [0.1], diverged=True), *several], 0.3) == 0.02


def arms_of(scratch: list[int], tuned: list[int]) -> page.Arms:
    """Return arms whose runs come to 30 % in the given epochs of ten; 0: never."""

    def arm(rate: float, epochs: list[int], *sweep: Tried) -> page.Arm:
        errors = [[0.2 if end and now >= end else 0.8 for now in range(1, 11)] for end in epochs]
        chosen = Chosen(target_error=0.3, tried=[*sweep, tried(rate, errors[0])], rate=rate, values={})
        return page.Arm(chosen, dict(enumerate(errors, 1)))

    return {"scratch": arm(0.01, scratch), "finetuned": arm(0.04, tuned, tried(0.01, [0.8] * 10))}


def test_the_page_says_how_many_epochs_are_saved(plan: Plan) -> None:
    members = {name: member(seed) for seed, name in enumerate(plan.settings.average)}
    arms = arms_of([7, 8, 8], [3, 4, 3])
    found, parts = page.as_page(plan, arms, members, False, (2000, 1000))
    text = page_as_markdown("", found, parts)
    assert (
        "from scratch, 3 of 3 (in epoch 7, 8, 8); pre-trained, fine-tuned, 3 of 3 (in epoch 3, 4, 3)."
        in found
    )
    assert "saves 4.3 epochs (95% over seeds 2.9 to 5.8), larger than noise." in found
    assert (
        "At the edge of the sweep, so that a wider one might find better: from scratch and pre-trained"
        in text
    )
    averaged = np.sum([one.ten for one in members.values()], 0)
    wrong = (averaged.argmax(1) != members["plain-1"].labels).mean()
    line = next(line for line in text.splitlines() if line.startswith("| 7 CNNs"))
    assert f"36.7% | 15.4% | 2 and 5 CNNs | {wrong:.1%} |" in line
    runs = page.table_of_runs(arms, 0)
    assert runs.groupby("kind")["seed"].unique().map(list).to_dict() == {"chosen": [1, 2, 3], "tuning": [0]}
    assert "With conv6 are finetuned-1 and finetuned-2," in text
    found = page.finding(arms_of([7, 0, 8], [0, 0, 0]), 0.3)
    assert "from scratch, 2 of 3 (in epoch 7, 8); pre-trained, fine-tuned, 0 of 3. Not all do" in found


@pytest.mark.parametrize(
    ("scratch", "tuned", "message"),
    [
        ([8, 8, 8], [5, 5, 5], "saves 3.0 epochs; with every seed the same number, so there is no verdict."),
        ([8], [5], "saves 3.0 epochs; of a single seed, so there is no verdict."),
        ([5, 4, 5], [8, 6, 8], "costs 2.7 epochs (95% over seeds 1.2 to 4.1), larger than noise."),
        ([7, 0, 8], [3, 4, 3], "(in epoch 3, 4, 3). Not all do, so the epochs saved have no mean."),
    ],
)
def test_without_spread_there_is_no_verdict(scratch: list[int], tuned: list[int], message: str) -> None:
    assert page.finding(arms_of(scratch, tuned), 0.3).endswith(message)


def write_arm(folder: Path, arm: Tuned, plan: Plan, rate: float) -> None:
    """Write what is left of an arm: the choice, every seed, and what they began from."""
    seed, rates = plan.settings.tuning_seed, plan.settings.rates
    several = [
        Tried(rate=one, made_with=plan.tuned(arm, seed, one), errors=[one], diverged=False) for one in rates
    ]
    chosen = Chosen(target_error=plan.settings.target_error, tried=several, rate=rate, values={})
    write_json(folder / f"chosen/{arm}.yaml", chosen.model_dump())
    for seed in plan.settings.seeds:
        errors = [0.9, rate]
        write_run(folder / f"{arm}-{seed}", plan.tuned(arm, seed, rate), val_top1_error=errors)
        write_run(folder / f"larger-{seed}", {**plan.larger, "train.seed": seed}, val_top1_error=errors)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alike": {**ALIKE, "train.epochs": 20}}, r"chosen/finetuned\.yaml: not finished with"),
        ({"rates": [0.01, 0.02, 0.04, 0.08]}, r"chosen/finetuned\.yaml: not finished with"),
        ({"target_error": 0.4}, r"chosen/finetuned\.yaml: not finished with"),
        ({"pretrain": {"train.epochs": 20}}, r"larger-1: not finished with"),
        ({"seeds": [1, 2, 3, 4]}, r"larger-4: not finished with"),
    ],
)
def test_an_arm_made_with_former_parameters_is_refused(
    tmp_path: Path, plan: Plan, changes: Any, message: str
) -> None:
    write_arm(tmp_path, "finetuned", plan, 0.02)
    found = page.read_arm("finetuned", plan, tmp_path)
    assert (found.chosen.rate, found.runs[3]) == (0.02, [0.9, 0.02])
    with pytest.raises(UserError, match=message):
        page.read_arm("finetuned", plan_with(tmp_path, **changes), tmp_path)


def run_sweep(
    monkeypatch: pytest.MonkeyPatch, folder: Path, highest: float, error: type[UserError] = DivergedError
) -> None:
    """Tune from scratch; rates above `highest` end in an error, from 0.04 on in the first epoch."""

    def training(mesh: object, device: object, *, train: Train, logs: Path, **others: Any) -> None:
        rate = train.learning_rate
        errors = [0.9, 0.8 - rate, 0.7 - rate]
        if rate > highest:
            errors = errors[: rate < 0.04]
        if errors:
            logs.mkdir(parents=True)
            pd.DataFrame({"val_top1_error": errors}).to_csv(logs / "history.csv", index=False)
        if rate > highest:
            raise error(f"the loss is nan in epoch {len(errors) + 1}. Lower train.learning_rate.")

    monkeypatch.setattr(tune, "train_network", training)
    monkeypatch.setattr(tune, "HERE", folder)
    monkeypatch.chdir(ROOT)
    machine = folder / "machine.yaml"
    machine.write_text("devices: 1\n")
    monkeypatch.setattr(tune, "MACHINE", machine)
    tune.main("scratch")


def test_a_rate_that_diverges_is_ranked_last_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: Plan
) -> None:
    run_sweep(monkeypatch, tmp_path, highest=0.015)
    chosen = read_chosen("scratch", plan, tmp_path)
    assert [one.rate for one in chosen.tried] == [0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32]
    assert (chosen.rate, chosen.values) == (0.01, plan.at_rate("scratch", 0.01))
    assert [one.errors for one in chosen.tried][2:] == [[0.9, 0.79, 0.69], [0.9], [], [], [], []]
    table = page.tuning_table({"scratch": page.Arm(chosen, {})}, 0.3)
    for text in ("| not within 3 |", "| diverged in epoch 2 |", "| diverged in epoch 1 |"):
        assert text in table.replace("**", "")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DivergedError, r"params\.yaml: pretraining\.rates: found 0\.0025, .*, 0\.32, and with each"),
        (UserError, "^the loss is nan"),
    ],
)
def test_rates_that_all_diverge_and_other_errors_end_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[UserError], message: str
) -> None:
    with told(message):
        run_sweep(monkeypatch, tmp_path, highest=0, error=error)
    assert not (tmp_path / "chosen").exists()
