"""What the experiments refuse in their parameters, before anything is trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from conftest import ROOT
from finished import RECIPE, params_with

from alexnet.core.params import load_yaml, read
from experiments.ablations import rows
from experiments.ablations.rows import FULL
from experiments.ensemble import members
from experiments.figure1 import settings
from experiments.pretraining.arms import Plan
from experiments.recipe_walk import walk

PLANS: dict[str, Callable[[Path], object]] = {
    "ablations": lambda path: rows.plan(path, RECIPE, path.with_name("rows.yaml")),
    "ensemble": lambda path: members.plan(path, RECIPE),
    "recipe_walk": walk.plan,
    "pretraining": lambda path: Plan(path, RECIPE),
    "figure1": lambda path: read(path, settings.Figure1),
}
WALK = load_yaml(ROOT / walk.PARAMS)["walk"]["rows"]
FIGURE1 = load_yaml(ROOT / settings.PARAMS)["figure1"]


def row(name: str, **values: Any) -> dict[str, Any]:
    dotted = {key.replace("__", "."): value for key, value in values.items()}
    return {"rows": {name: {"without": name, "values": dotted}}}


def walk_row(name: str, values: dict[str, Any]) -> dict[str, Any]:
    return {"rows": {**WALK, name: values}}


def group(name: str, **values: Any) -> dict[str, Any]:
    return {name: {**FIGURE1[name], **values}}


REFUSED: dict[str, list[tuple[dict[str, Any], str]]] = {
    "ablations": [
        (
            row("thin", model__width=0.1),
            r"thin\.values: model\.width: found 0\.1 .* 2, where conv1 has 9\.6 ker",
        ),
        (
            {"alike": {"model.width": 0.0625}},
            r"column\.values: .* found 0\.0625 .* 1, where conv1 has 3 kernels",
        ),
        (
            row("tanh", model__activation="relu"),
            r"tanh\.values: found model\.activation: relu; allowed: what",
        ),
        (row(FULL, model__activation="tanh"), r"full\.values: found model\.activation: tanh; allowed: what"),
        (row("tanh", model__activation="tan"), r"tanh\.values: model\.activation: found tan; allow"),
        (row("tanh", model__activaton="tanh"), r"tanh\.values: model\.activaton: unknown key"),
        ({"alike": {"train.epoch": 2}}, r"ablations\.alike: train\.epoch: unknown key"),
        ({"run": [FULL, "no-norm"]}, "run: found no-norm; allowed: full, one-column"),
        ({"run": [FULL, "tanh", "tanh"]}, "run: found tanh twice"),
        ({"run": ["no-conv3", "tanh"]}, "run: full is missing"),
    ],
    "ensemble": [
        ({"seeds": [1, 2, 1]}, "seeds: found 1 twice; allowed: each once"),
        ({"others": ["a", "a"]}, "others: found a twice"),
        ({"seeds": [1]}, "found one network; allowed: two or more"),
        ({"alike": {"train.epoch": 3}}, r"ensemble\.alike: train\.epoch: unknown key"),
        ({"alike": {"model.width": 0.1}}, r"ensemble\.alike: model\.width: found 0\.1"),
    ],
    "recipe_walk": [
        (
            walk_row("source-2012", WALK["fixed-order"]),
            r"model\.conv5_order: found .*; allowed: pool-activation, as",
        ),
        (walk_row("he", WALK["input-divisor"]), r"rows\.he: found what input-divisor has; allowed"),
        (walk_row("he", {"model.widht": 1}), r"rows\.he: model\.widht: unknown"),
        (walk_row("he", {"model.width": 9.0}), r"rows\.he: model\.width: found 9\.0; allowed"),
        ({"run": ["paper", "nowhere"]}, "found the row nowhere; allowed: paper, initial-weights"),
        ({"run": ["paper", "he", "paper"]}, "found paper twice"),
    ],
    "pretraining": [
        ({"average": ["finetuned-9", "plain-1"]}, r"average: found finetuned-9; allowed: finetuned-1, fine"),
        ({"average": ["plain-1", "plain-1"]}, r"average: found plain-1 twice"),
        ({"average": ["plain-1", "plain-2"]}, "average: found one kind of network"),
        ({"tuning_seed": 2}, r"tuning_seed: found 2; allowed: none of seeds"),
        ({"alike": {"model.width": 0.1}}, r"pretraining\.alike: model\.width: found 0\.1"),
        ({"pretrain": {"train.epoch": 1}}, r"pretraining\.pretrain: train\.epoch: unknown key"),
        ({"larger": {"sample.first_clas": 1}}, r"pretraining\.larger: sample\.first_clas: unknown key"),
        ({"larger": {"sample.first_class": 15}}, r"pretraining\.larger: sample"),
    ],
    "figure1": [
        (group("sweep", more_steps=-1), r"figure1\.sweep\.more_steps: found -1"),
        (group("sweep", seed=2), r"sweep\.seed: found 2; allowed: none of seeds"),
        (group("norm", size=4), r"norm\.size: found 4; allowed: an odd number"),
        (group("norm", crop=40), r"norm\.crop: found 40; allowed: 4 to side, 32"),
        ({"activations": ["gelu"]}, r"activations\.0: found gelu; allowed: relu \| tanh \| abs_tanh"),
    ],
}


@pytest.mark.parametrize(
    ("experiment", "changes", "message"),
    [(experiment, *row) for experiment, several in REFUSED.items() for row in several],
)
def test_parameters_that_are_wrong_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, experiment: str, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(ROOT)
    with tiny.told(message):
        PLANS[experiment](params_with(tmp_path, experiment, **changes))
