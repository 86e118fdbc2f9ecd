"""Everything that the report shows: what the other stages wrote, read once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet.core import durations, places
from alexnet.core.errors import UserError
from alexnet.core.files import sha256_of
from alexnet.core.params import flattened, load_yaml, read
from alexnet.core.reading import REMEDY, read_json, read_rows
from alexnet.evaluation.params import Evaluate
from alexnet.evaluation.predictions import Predictions, load_predictions
from alexnet.feed.params import Augment
from alexnet.model.weights import load_network
from alexnet.report.params import Report
from alexnet.report.photographs import Photographs
from alexnet.report.publishing import PAGES, Published, PublishedPages
from alexnet.retrieval.summary import RetrievalSummary
from alexnet.store.counts import Counts, Skipped
from alexnet.store.statistics import Statistics, StatisticsSummary, read_statistics
from alexnet.training.measures import EpochRow
from alexnet.training.results import Run, read_history


@dataclass(frozen=True)
class ResultFiles:
    """Where the results lie."""

    params: Path = places.PARAMS_FILE
    printed: Path = Path("profiles/imagenet-2012-paper.yaml")
    run_in_2012: Path = Path("profiles/imagenet-2012-source.yaml")
    predictions: Path = places.PREDICTIONS
    records: Path = places.RECORDS
    statistics: Path = places.STATISTICS
    retrieval: Path = places.REPORTS / "retrieval.json"
    pages: Path = PAGES
    durations: Path = durations.FOLDER
    data: Path = places.REPORTS / "data.json"
    skipped: Path = places.SKIPPED
    rgb_pca: Path = places.REPORTS / "rgb_pca.json"
    history: Path = places.REPORTS / "training/history.csv"
    run: Path = places.REPORTS / "training/run.json"
    model: Path = places.WEIGHTS


class Recipes(NamedTuple):
    """The recipe's parameters by dotted key: of this run, as the paper prints and as the authors ran."""

    ours: dict[str, Any]
    printed: dict[str, Any]
    run_in_2012: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Facts:
    """Everything that the report shows.

    Attributes:
        params: the text of the parameters file.
        seeds: by section.
        share_ties: whether equal scores share the credit.
        durations: seconds of each stage, as last run in this folder.
        history: the epochs in order, at least one, numbered from 1.
        kernels: weights of conv1, (kernels, 3, height, width), column 1's first.
    """

    params: str
    settings: Report
    recipes: Recipes
    seeds: dict[str, int]
    share_ties: bool
    augment: Augment
    predictions: Predictions
    photographs: Photographs
    statistics: Statistics
    rgb_pca: StatisticsSummary
    retrieval: RetrievalSummary
    experiments: list[Published]
    durations: dict[str, float]
    data: Counts
    skipped: list[Skipped]
    history: tuple[EpochRow, ...]
    run: Run
    kernels: NDArray[np.float32]

    @cached_property
    def rates(self) -> dict[str, float] | None:
        """The error rates of the predictions (fractions by kind); None if the split has no labels."""
        return self.predictions.rates(self.share_ties) if self.predictions.labelled else None

    @property
    def ended_early(self) -> bool:
        """Whether the training was ended before all the epochs that were asked for."""
        return len(self.history) < (self.run.epochs_asked or 0)

    @property
    def epochs(self) -> str:
        """The number of epochs done, and if it was ended early of those asked for, e.g. ``12 of 20``."""
        of_all = f" of {self.run.epochs_asked:,}" if self.ended_early else ""
        return f"{len(self.history):,}{of_all}"


def read_facts(files: ResultFiles) -> Facts:
    """Read all the result `files`.

    Raises:
        UserError: a file is missing or not what its stage writes, or files are of different runs; the message
            names them.
    """
    run, found = read_json(files.run, Run), load_predictions(files.predictions)
    params, settings = load_yaml(files.params), read(files.params, Report)
    share_ties = read(files.params, Evaluate).share_ties
    recipes = Recipes(*map(_recipe_of, (files.params, files.printed, files.run_in_2012)))
    network, _ = load_network(files.model)
    data, photographs = read_json(files.data, Counts), Photographs(files.records, settings.photographs)
    retrieval = read_json(files.retrieval, RetrievalSummary)
    made_with = {
        files.predictions / "about.json": found.weights,
        files.run: run.weights,
        files.retrieval: retrieval.weights,
    }
    _refuse_other_weights(files.model, made_with)
    _refuse_other_runs(files, found, run, data, photographs)
    trained_with = {files.model: {"model": network.model.model_dump()}, files.run: run.parameters}
    for path, parameters in trained_with.items():
        for key, value in flattened(parameters).items():
            if recipes.ours.get(key) != value:
                raise UserError(
                    f"{path}: trained with {key}: {value}, but {files.params} has {recipes.ours.get(key)}:"
                    f" they are of different recipes. {REMEDY}"
                )
    return Facts(
        params=files.params.read_text(encoding="utf-8", errors="replace"),
        settings=settings,
        recipes=recipes,
        seeds={name: section["seed"] for name, section in params.items() if "seed" in section},
        share_ties=share_ties,
        augment=read(files.params, Augment),
        predictions=found,
        photographs=photographs,
        statistics=read_statistics(files.statistics),
        rgb_pca=read_json(files.rgb_pca, StatisticsSummary),
        retrieval=retrieval,
        experiments=read_json(files.pages, PublishedPages).pages,
        durations=durations.read_durations(files.durations),
        data=data,
        skipped=[*read_rows(files.skipped, Skipped, list(Skipped.model_fields))],
        history=read_history(files.history),
        run=run,
        kernels=network.conv1.weight.detach().numpy(),
    )


def _recipe_of(path: Path) -> dict[str, Any]:
    params = load_yaml(path)
    return flattened({name: params.get(name, {}) for name in ("augment", "model", "train")})


def _refuse_other_weights(model: Path, made_with: dict[Path, str]) -> None:
    at_hand = sha256_of(model)
    for path, checksum in made_with.items():
        if checksum and checksum != at_hand:
            raise UserError(
                f"{path}: of the weights {checksum[:12]}…, but {model} has {at_hand[:12]}…:"
                f" they are of different runs. {REMEDY}"
            )


def _refuse_other_runs(
    files: ResultFiles, found: Predictions, run: Run, data: Counts, photographs: Photographs
) -> None:
    """Compare the files with the checksums that they have of one another, and the names of the pictures."""
    for path, where, checksum in (
        (files.history, files.run, run.history),
        (files.skipped, files.data, data.skipped_sha256),
    ):
        if checksum and path.is_file() and sha256_of(path) != checksum:
            raise UserError(f"{path}: damaged, or of another run than {where}. {REMEDY}")
    records = photographs.records(found.split)
    if records is not None and not np.array_equal(records.names, found.names):
        raise UserError(f"{files.predictions}: of other pictures than {files.records} holds. {REMEDY}")
