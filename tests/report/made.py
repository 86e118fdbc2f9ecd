"""Made results of a small run, as the stages would have written them."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from conftest import ROOT
from numpy.typing import NDArray
from pydantic import BaseModel

from alexnet.core.files import write_json, write_table, write_text
from alexnet.core.params import read
from alexnet.evaluation.predictions import Predictions, save_predictions
from alexnet.model.initial import initialise
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.model.weights import save_network
from alexnet.report.facts import ResultFiles
from alexnet.report.publishing import Published, PublishedPages
from alexnet.retrieval.summary import CandidateRecall, Example, RetrievalSummary
from alexnet.store.counts import Counts, SplitCounts
from alexnet.store.records import Record, encode, write_shard, write_tables
from alexnet.store.statistics import Statistics, write_statistics
from alexnet.training.measures import EpochRow
from alexnet.training.results import Run, write_history

HOSTILE = '<script>alert("x")</script>|`a`.JPEG'
EPOCHS = 4
CLASSES = 10
# Of the pictures evaluated: 72 wrong, 12 of them beyond the fifth.
IMAGES, WRONG, WRONG5 = 200, 72, 12

DATA = Counts(
    layout="ilsvrc-2012",
    classes=CLASSES,
    splits={"train": SplitCounts(pictures=12, skipped=1), "val": SplitCounts(pictures=IMAGES, skipped=0)},
)
RUN = Run(
    recipe="paper",
    seed=7,
    devices="1 x cpu",
    loader="dali",
    precision="float32",
    epochs=EPOCHS,
    batch_size=32,
    parameter_count=1234567,
    columns=2,
    class_count=CLASSES,
    seconds=200.0,
    versions={"python": "3.11.9", "torch": "2.13.0"},
    git_commit=None,
)
RETRIEVAL = RetrievalSummary(
    weights="",
    pictures=12,
    dimensions=2048,
    queries=50,
    neighbours=6,
    shortlist=12,
    code_bits=32,
    exact_megabytes=0.1,
    code_megabytes=0.001,
    milliseconds_exact=0.25,
    milliseconds_codes=0.5,
    same_class_exact=0.61,
    same_class_codes=0.59,
    candidates=[CandidateRecall(candidates=6, learned=0.43, random=0.31)],
    examples=[
        Example(query=query, nearest=[5, 4, 3, 2, 1, 0], distances=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        for query in (7, 8)
    ],
)
PAGES = PublishedPages(
    pages=[Published(name="relu", title=f"ReLU {HOSTILE}", summary="One is *six* times sooner.")]
)
STATISTICS = Statistics(
    images=12,
    mean_image=np.zeros((3, 256, 256), np.float32),
    channel_means=np.array([120.0, 110.0, 100.0]),
    covariance=np.eye(3),
    eigenvalues=np.array([113.8, 33.1, 16.5]) ** 2,
    eigenvectors=np.eye(3),
)


def epoch(number: int) -> EpochRow:
    return EpochRow(
        epoch=number,
        pictures=1000,
        learning_rate=0.01 if number < 3 else 0.001,
        bias_learning_rate=0.02,
        conv1_learning_rate=0.0125,
        fc8_learning_rate=0.0375,
        train_loss=2.3 / number,
        train_error=0.9 / number,
        val_loss=2.4 / number,
        val_top1_error=0.88 / number,
        val_top5_error=0.4 / number,
        seconds=50.0,
        data_wait_seconds=5.0,
        pictures_per_second=20.0,
        gradient_norms={"conv1": 0.5, "fc8": 2.0},
    )


def two_columns(count: int = 40) -> NDArray[np.float32]:
    """Return kernels: column 1 all red, column 2 all blue."""
    weights = np.zeros((count, 3, 11, 11), np.float32)
    weights[: count // 2, 0] = weights[count // 2 :, 2] = 0.1
    return weights


def made_predictions() -> Predictions:
    """Return predictions of 20 pictures per class, `WRONG` and `WRONG5` of them wrong, by one patch too."""
    labels = np.arange(IMAGES) % CLASSES
    ten = np.full((IMAGES, CLASSES), 0.02)
    for picture, label in enumerate(labels):
        order = np.roll(np.arange(CLASSES), -label)
        best = 0 if picture >= WRONG else 7 if picture < WRONG5 else 2
        # The true class stands in place `best`, the next ones before it.
        ranking = [*order[1 : best + 1], order[0], *order[best + 1 :]]
        ten[picture, ranking] = np.linspace(0.3, 0.02, CLASSES)
    ten /= ten.sum(1, keepdims=True)
    names = np.array([f"{number:05d}.JPEG" for number in range(IMAGES - 1)] + [HOSTILE], dtype=object)
    # A class' words may hold anything that a folder's name can.
    classes = tuple((f"n{label:08d}", f"class {label}, another word") for label in range(CLASSES - 1))
    hostile = ("n<b>9", "<img src=x onerror=alert(2)>")
    return Predictions(ten, ten, labels, names, "val", (*classes, hostile), tuple(range(1, CLASSES + 1)))


def write_epochs(path: Path, *numbers: int, **changes_of_the_last: str) -> None:
    write_history(path, [epoch(number) for number in numbers])
    table = pd.read_csv(path, dtype=str)
    for name, value in changes_of_the_last.items():
        table.loc[len(table) - 1, name] = value
    table.to_csv(path, index=False)


def write_model(path: Path, model: BaseModel, **changes: object) -> None:
    write_json(path, {**model.model_dump(), **changes})


def write_skipped(path: Path, names: Sequence[str]) -> None:
    write_table(path, pd.DataFrame({"split": "train", "name": names, "reason": "cannot be decoded"}))


def write_records(folder: Path, found: Predictions, broken: int = -1) -> None:
    """Write 12 training pictures and all of `found`, of which `broken` is no picture."""
    draw = np.random.default_rng(1)
    coarse = draw.integers(0, 255, (8, 8, 8, 3), np.uint8).repeat(32, 1).repeat(32, 2)
    jpegs = [encode(picture, 90, "4:2:0") for picture in coarse]
    train = [Record(key % CLASSES, f"train/{key}.jpg", jpegs[key % 8]) for key in range(12)]
    labels, names = found.labels.tolist(), found.names.tolist()
    val = [Record(labels[key], names[key], jpegs[key % 8]) for key in range(len(found))]
    if broken >= 0:
        val[broken] = val[broken]._replace(data=b"no picture")
    rows = [write_shard(folder, "train", 0, train), write_shard(folder, "val", 0, val)]
    write_tables(folder, pd.concat(rows, ignore_index=True))


@torch.no_grad()
def write_weights(files: ResultFiles, *changes: str) -> None:
    """Write a network of the recipe, but for the `changes`, whose kernels are `two_columns`."""
    network = AlexNet(read([str(files.params), *changes], Model), CLASSES)
    initialise(network, seed=1)
    network.conv1.weight.copy_(torch.from_numpy(two_columns(len(network.conv1.weight))))
    save_network(files.model, network, [*made_predictions().classes])


def write_results(folder: Path) -> ResultFiles:
    """Write everything that the report reads, and return where."""
    defaults = ResultFiles()
    files = ResultFiles(**{f.name: folder / getattr(defaults, f.name) for f in fields(defaults)})
    files.printed.parent.mkdir()
    for path in (files.printed, files.run_in_2012):
        shutil.copy(ROOT / "profiles" / path.name, path)
    text = files.printed.read_text(encoding="utf-8")
    for key, value in (("learning_rate", 0.02), ("width", 0.04), ("kernel_pixels", 2), ("figure_dpi", 60)):
        text = re.sub(rf" {key}: \S+ ", f" {key}: {value} ", text)
    write_text(files.params, text + "# ``` & <b>\n")
    found = made_predictions()
    save_predictions(files.predictions, found)
    write_records(files.records, found)
    write_statistics(files.statistics, STATISTICS)
    write_json(files.rgb_pca, STATISTICS.summary().model_dump())
    write_model(files.retrieval, RETRIEVAL)
    write_model(files.pages, PAGES)
    write_model(files.data, DATA)
    write_model(files.run, RUN)
    write_json(files.durations / "evaluate.json", {"seconds": 75.0})
    write_skipped(files.skipped, [HOSTILE])
    write_epochs(files.history, *range(1, EPOCHS + 1))
    write_weights(files)
    return files
