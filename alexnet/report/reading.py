"""Reading what the other stages wrote, and naming what is wrong with it."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from alexnet.core import durations
from alexnet.core.errors import UserError
from alexnet.core.params import load_yaml, read
from alexnet.evaluation import predictions
from alexnet.evaluation.ensemble import count_ensemble
from alexnet.evaluation.params import Evaluate
from alexnet.evaluation.predictions import Predictions
from alexnet.feed.params import Augment
from alexnet.report.listed import PAGES
from alexnet.report.params import Report
from alexnet.report.photographs import Photographs
from alexnet.report.results import (
    Data,
    Ensemble,
    Epoch,
    ExperimentPages,
    Metrics,
    Recipes,
    Results,
    Retrieval,
    RgbPca,
    Run,
    Skipped,
    Written,
)
from alexnet.store import statistics

REMEDY = "Run `dvc repro` to make it again."
RECIPE_SECTIONS = ("augment", "model", "train")


@dataclass(frozen=True)
class ResultFiles:
    """Where the results lie."""

    params: Path = Path("params.yaml")
    printed: Path = Path("profiles/imagenet-2012-paper.yaml")
    run_in_2012: Path = Path("profiles/imagenet-2012-source.yaml")
    predictions: Path = Path("data/predictions")
    records: Path = Path("data/records")
    statistics: Path = Path("data/statistics.npz")
    retrieval: Path = Path("reports/retrieval.json")
    pages: Path = PAGES
    durations: Path = durations.FOLDER
    metrics: Path = Path("reports/metrics.json")
    data: Path = Path("reports/data.json")
    skipped: Path = Path("reports/skipped.csv")
    rgb_pca: Path = Path("reports/rgb_pca.json")
    history: Path = Path("reports/training/history.csv")
    run: Path = Path("reports/training/run.json")
    model: Path = Path("models/alexnet.safetensors")


def read_results(files: ResultFiles) -> Results:
    """Read all the result `files`.

    Raises:
        UserError: a file is missing or not what its stage writes; the message names it.
    """
    run = _read_json(files.run, Run)
    params = load_yaml(files.params)
    share_ties = read(files.params, Evaluate).ties == "fractional"
    metrics, found = _read_json(files.metrics, Metrics), predictions.load_predictions(files.predictions)
    _refuse_another_run(files, metrics, found, share_ties)
    recipes = Recipes(
        *(recipe_of(load_yaml(path)) for path in (files.params, files.printed, files.run_in_2012))
    )
    kernels = _read_kernels(files.model, run.columns)
    _refuse_another_recipe(files, recipes.ours)
    return Results(
        params=files.params.read_text(encoding="utf-8", errors="replace"),
        recipes=recipes,
        seeds={name: section["seed"] for name, section in params.items() if "seed" in section},
        share_ties=share_ties,
        augment=read(files.params, Augment),
        predictions=found,
        photographs=Photographs(files.records),
        statistics=statistics.read_statistics(files.statistics),
        retrieval=_read_json(files.retrieval, Retrieval),
        experiments=tuple(_read_json(files.pages, ExperimentPages).pages),
        ensemble=_average(files, share_ties),
        durations=durations.read_durations(files.durations),
        metrics=metrics,
        data=_read_json(files.data, Data),
        skipped=tuple(_read_csv(files.skipped, Skipped)),
        rgb_pca=_read_json(files.rgb_pca, RgbPca),
        history=_read_history(files.history),
        run=run,
        kernels=kernels,
    )


def _refuse_another_run(files: ResultFiles, metrics: Metrics, found: Predictions, share_ties: bool) -> None:
    told = metrics.errors.top1_error if metrics.errors else math.nan
    counted = float(found.wrong(1, share_ties).mean()) if found.labelled else math.nan
    same_pictures = (metrics.images, metrics.split) == (len(found), found.split)
    same_rate = math.isclose(told, counted, abs_tol=1e-9) or (math.isnan(told) and math.isnan(counted))
    if not (same_pictures and same_rate):
        raise UserError(
            f"{files.metrics}: {metrics.images} pictures of {metrics.split}, top-1 error {told:g}, but"
            f" {files.predictions}: {len(found)} of {found.split}, {counted:g}: they are of different runs."
            f" {REMEDY}"
        )


def _average(files: ResultFiles, share_ties: bool) -> Ensemble | None:
    others = read(files.params, Report).ensemble
    if not others:
        return None
    return Ensemble.model_validate(count_ensemble(files.predictions, others, share_ties))


def _refuse_another_recipe(files: ResultFiles, ours: dict[str, Any]) -> None:
    """Compare what the weights say of their network with the parameters that the report names."""
    with safe_open(files.model, framework="numpy") as tensors:
        about = json.loads((tensors.metadata() or {}).get("alexnet", "{}"))
    for key, value in recipe_of({"model": about.get("model", {})}).items():
        if key in ours and ours[key] != value:
            raise UserError(
                f"{files.model}: trained with {key}: {value}, but {files.params} has {ours[key]}: they are of"
                f" different recipes. {REMEDY}"
            )


def recipe_of(params: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of the sections that make the recipe, dotted."""
    found: dict[str, Any] = {}

    def flatten(value: Any, key: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                flatten(inner, f"{key}.{name}")
        else:
            found[key] = value

    for section in RECIPE_SECTIONS:
        flatten(params.get(section, {}), section)
    return found


W = TypeVar("W", bound=Written)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. {REMEDY}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}. {REMEDY}") from None


def _read_json(path: Path, model: type[W]) -> W:
    try:
        return model.model_validate_json(_read_bytes(path))
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error)}. {REMEDY}") from None


def _read_csv(path: Path, model: type[W]) -> Iterator[W]:
    # A file name need not be UTF-8; what cannot be decoded is shown as an escape.
    text = _read_bytes(path).decode("utf-8", errors="backslashreplace")
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    missing = [name for name in model.model_fields if name not in (rows.fieldnames or ())]
    if missing:
        raise UserError(f"{path}: missing columns: {', '.join(missing)}. {REMEDY}")
    try:
        for row in rows:
            yield _parse_row(path, rows.line_num, row, model)
    except csv.Error as error:
        raise UserError(f"{path}: line {rows.line_num}: {error}. {REMEDY}") from None


def _parse_row(path: Path, line: int, row: dict[str | Any, str | Any], model: type[W]) -> W:
    if None in row or None in row.values():
        raise UserError(f"{path}: line {line}: not as many cells as columns. {REMEDY}")
    try:
        return model.model_validate_strings(row)
    except ValidationError as error:
        raise UserError(f"{path}: line {line}: {_explain(error)}. {REMEDY}") from None


def _read_history(path: Path) -> tuple[Epoch, ...]:
    history = tuple(_read_csv(path, Epoch))
    if not history:
        raise UserError(f"{path}: holds no epoch. {REMEDY}")
    if [row.epoch for row in history] != list(range(1, len(history) + 1)):
        raise UserError(f"{path}: the epochs are not numbered 1, 2, 3, ... {REMEDY}")
    return history


def _read_kernels(path: Path, columns: int) -> NDArray[np.float32]:
    if not path.is_file():
        raise UserError(f"{path}: no such file. {REMEDY}")
    try:
        with safe_open(path, framework="numpy") as tensors:
            kernels: NDArray[np.float32] = tensors.get_tensor("conv1.weight")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: conv1.weight cannot be read: {error}. {REMEDY}") from None
    if kernels.ndim != 4 or kernels.shape[1] != 3 or kernels.shape[0] % columns:
        raise UserError(
            f"{path}: conv1.weight: found shape {kernels.shape}; allowed: (kernels, 3, height, "
            f"width) with kernels divisible by the {columns} columns. {REMEDY}"
        )
    return kernels


def _explain(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].rstrip(".")
    return f"{key}: {message}" if key else message
