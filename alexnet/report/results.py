"""Everything that the report shows, as typed values: what the other stages found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from alexnet.core.params import Strict
from alexnet.evaluation.predictions import Predictions
from alexnet.feed.params import Augment
from alexnet.report.photographs import Photographs
from alexnet.store.statistics import Statistics

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Triple = tuple[float, float, float]


class Written(Strict):
    """A value that a stage wrote; keys that the report has no use for are passed over."""

    model_config = ConfigDict(extra="ignore")


class Errors(Written):
    """Error rates as fractions: ten patches averaged (Section 4.1) and the centre patch alone.

    `loss` (nats) and `calibration_error` (a fraction) are the ten patches'.
    """

    top1_error: Fraction
    top5_error: Fraction
    top1_error_one_patch: Fraction
    top5_error_one_patch: Fraction
    loss: float
    calibration_error: Fraction


class Metrics(Written):
    """What was evaluated, and its error rates; a split without labels has none."""

    images: Positive
    split: str
    errors: Errors | None = None

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, found: Any) -> Any:
        # In the file the rates lie beside the rest, as DVC's tables want them.
        if isinstance(found, dict) and "errors" not in found and set(found) - {"images", "split"}:
            return {**found, "errors": found}
        return found


class Split(Written):
    """Pictures kept and pictures skipped because they could not be read."""

    pictures: Count
    skipped: Count


class Data(Written):
    """Where the pictures came from and how many there are; `splits` in the order written."""

    layout: str
    classes: Positive
    splits: dict[str, Split]


class Skipped(Written):
    """A picture that was left out."""

    split: str
    name: str
    reason: str


class RgbPca(Written):
    """Principal components of the training set's RGB values (Section 4.1), largest first.

    `channel_means` and `standard_deviations` are in grey levels 0 to 255, `eigenvalues_unit` for
    pixels in [0, 1]; a row of `eigenvectors` is one component's red, green and blue.
    """

    images: Positive
    channel_means: Triple
    standard_deviations: Triple
    eigenvalues_unit: Triple
    eigenvectors: tuple[Triple, Triple, Triple]


class Epoch(Written):
    """One epoch of training; errors are fractions, those of validation on the centre patch."""

    epoch: Positive
    pictures: Positive
    learning_rate: float
    bias_learning_rate: float
    train_loss: float
    train_error: Fraction
    val_loss: float
    val_top1_error: Fraction
    val_top5_error: Fraction
    seconds: float
    data_wait_seconds: float
    pictures_per_second: float


class Run(Written):
    """How the network was trained."""

    recipe: str
    seed: int
    devices: str
    loader: str
    precision: str
    epochs: Positive
    batch_size: Positive
    parameters: Positive
    columns: Positive
    class_count: Positive
    seconds: float
    versions: dict[str, str]
    git_commit: str | None


class Candidates(Written):
    """Of the exact nearest neighbours, which share is among the first `candidates` by code.

    `learned` are the auto-encoder's codes, `random` the signs of as many random projections.
    """

    candidates: Positive
    learned: Fraction
    random: Fraction


class Example(Written):
    """A query and its nearest training pictures, by record numbers, and their distances."""

    query: Count
    nearest: list[Count]
    distances: list[float]


class Retrieval(Written):
    """Nearest training pictures in fc7 (Section 6), exactly and by short codes.

    `milliseconds_*` are of one query among all, asked together; `same_class_*` the shares of nearest
    pictures that show the query's class, None where that is unknown.
    """

    pictures: Positive
    dimensions: Positive
    queries: Positive
    neighbours: Positive
    shortlist: Positive
    code_bits: Positive
    exact_megabytes: float
    code_megabytes: float
    milliseconds_exact: float
    milliseconds_codes: float
    same_class_exact: Fraction | None
    same_class_codes: Fraction | None
    candidates: list[Candidates]
    examples: list[Example]


class Averaged(Written):
    """Error rates as fractions of a network, or of several whose predictions were averaged."""

    name: str
    top1_error: Fraction
    top5_error: Fraction
    top1_error_one_patch: Fraction
    top5_error_one_patch: Fraction


class Ensemble(Written):
    """This run's network first, then the others, and all of them together."""

    members: list[Averaged] = Field(min_length=2)
    together: Averaged


class ExperimentPage(Written):
    """A page of an experiment: its files' name without a suffix, and what it found."""

    name: str
    title: str
    summary: str


class ExperimentPages(Written):
    """The pages that were made, in `experiments/pages.json`."""

    pages: list[ExperimentPage]


class Recipes(NamedTuple):
    """The recipe's parameters by dotted key."""

    ours: dict[str, Any]
    printed: dict[str, Any]
    run_in_2012: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Results:
    """Everything the report shows.

    Attributes:
        params: the text of the parameters file.
        recipes: the recipe's parameters by dotted key: of this run, as the paper prints and as the
            authors ran.
        seeds: by section.
        share_ties: whether equal scores shared the credit.
        photographs: the records' pictures.
        statistics: mean image and colours of the training pictures.
        experiments: pages of the experiments.
        ensemble: several networks averaged, None where none are named.
        durations: seconds of each stage, as last run in this folder.
        history: the epochs in order, at least one, numbered from 1.
        kernels: weights of conv1, shape (kernels, 3, height, width); the first half of the kernels
            is column 1 when the network has two columns.
    """

    params: str
    recipes: Recipes
    seeds: dict[str, int]
    share_ties: bool
    augment: Augment
    predictions: Predictions
    photographs: Photographs
    statistics: Statistics
    retrieval: Retrieval
    experiments: tuple[ExperimentPage, ...]
    ensemble: Ensemble | None
    durations: dict[str, float]
    metrics: Metrics
    data: Data
    skipped: tuple[Skipped, ...]
    rgb_pca: RgbPca
    history: tuple[Epoch, ...]
    run: Run
    kernels: NDArray[np.float32]
