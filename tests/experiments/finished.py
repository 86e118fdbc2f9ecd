"""Parameters and finished runs, made up for the experiments' tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from conftest import ROOT

from alexnet.core.files import write_json
from alexnet.core.params import load_yaml
from alexnet.evaluation.predictions import Predictions, save_predictions
from experiments.shared.plans import Values, nested

RECIPE = str(ROOT / "params.yaml")
PICTURES, CLASSES = 200, 4


def params_with(folder: Path, experiment: str, **changes: Any) -> Path:
    """Write an experiment's parameters with some keys of its section changed."""
    content = load_yaml(ROOT / f"experiments/{experiment}/params.yaml")
    section = content["walk" if experiment == "recipe_walk" else experiment]
    if experiment == "ablations":
        rows = load_yaml(ROOT / "experiments/ablations/rows.yaml")
        rows["ablations"]["rows"] |= changes.pop("rows", {})
        write_json(folder / "rows.yaml", rows)
    section |= changes
    write_json(folder / "params.yaml", content)
    return folder / "params.yaml"


def member(
    seed: int, classes: int = CLASSES, split: str = "val", pictures: int = PICTURES, shift: int = 0
) -> Predictions:
    """Return what a network says that is right on average but noisy."""
    draw, labels = np.random.default_rng(seed), np.arange(pictures) % classes
    scores = np.exp(np.eye(classes)[labels] + draw.normal(size=(pictures, classes)))
    scores /= scores.sum(1, keepdims=True)
    names = np.roll([f"{number}.jpg" for number in range(pictures)], shift)
    known = tuple((f"n{number}", f"class {number}") for number in range(classes))
    return Predictions(scores, scores, labels, names, split, known, tuple(range(1, classes + 1)))


def wrong_by(share: float, classes: int = 10) -> Predictions:
    """Return predictions of 100 pictures of which the first `share` are taken for the next class."""
    labels = np.arange(100) % classes
    guessed = np.where(np.arange(100) < 100 * share, (labels + 1) % classes, labels)
    scores = np.eye(classes)[guessed] + 0.01 * np.eye(classes)[labels]
    return replace(member(0, classes, pictures=100), ten=scores, one=scores)


def write_run(
    folder: Path, made_with: Values, predictions: Predictions | None = None, **history: list[float]
) -> None:
    """Write what a finished run leaves, evaluated or only trained."""
    weights = str(folder)
    about = {"parameters": nested(made_with), "epochs": made_with["train.epochs"], "weights": weights}
    write_json(folder / "training/run.json", about)
    pd.DataFrame(history).to_csv(folder / "training/history.csv", index=False)
    if predictions is not None:
        save_predictions(folder / "predictions", replace(predictions, weights=weights))
        write_json(folder / "metrics.json", predictions.metrics())
