"""From 50,000 × 1000 synthetic logits to error rates, intervals, confusion, calibration and the page.

`python -m benchmarks.report [--pictures N] [--classes N]` prints seconds and peak memory of each step, beside
what the project promises: 2 minutes and 4 GB on two cores.
"""

import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer

from alexnet.core.files import write_json, write_text
from alexnet.core.params import read
from alexnet.evaluation.predictions import Predictions, save_predictions
from alexnet.model.initial import initialise
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.model.weights import save_network
from alexnet.report.facts import ResultFiles, read_facts
from alexnet.report.publishing import PublishedPages
from alexnet.report.rates import terminal_summary
from alexnet.report.report import write_report
from alexnet.retrieval.summary import RetrievalSummary
from alexnet.store.counts import Counts, SplitCounts
from alexnet.store.records import Record, encode, write_shard, write_tables
from alexnet.store.statistics import Statistics, write_statistics
from alexnet.training.measures import EpochRow
from alexnet.training.results import NORMS, Run

PROMISED_SECONDS, PROMISED_GIGABYTES = 120, 4


def peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


@contextmanager
def timed(what: str, total: list[float]) -> Iterator[None]:
    start, busy = time.perf_counter(), time.process_time()
    yield
    total.append(time.perf_counter() - start)
    busy = time.process_time() - busy
    told = f"{what:34}{total[-1]:7.1f} s, {busy:6.1f} s of a core"
    print(f"{told}   peak so far {peak_gigabytes():.2f} GB", flush=True)


def synthetic(pictures: int, classes: int) -> Predictions:
    """Return predictions that are right about as often as the paper's, and confuse neighbouring classes."""
    draw = np.random.default_rng(1)
    labels = draw.integers(0, classes, pictures)
    ten, one = np.empty((pictures, classes)), np.empty((pictures, classes))
    for start in range(0, pictures, 4096):
        rows = labels[start : start + 4096]
        logits = draw.standard_normal((len(rows), classes), np.float32)
        at = np.arange(len(rows))
        for step, bonus in ((0, 4.2), (1, 3.2), (2, 2.4)):
            logits[at, (rows + step) % classes] += bonus
        for out, noise in ((ten, 0.0), (one, 0.4)):
            moved = torch.from_numpy(logits + noise * draw.standard_normal(logits.shape, np.float32))
            out[start : start + len(rows)] = (moved * 2).double().softmax(1).numpy()
    names = np.array([f"ILSVRC2012_val_{number + 1:08d}.JPEG" for number in range(pictures)], dtype=object)
    words = tuple((f"n{label:08d}", f"class {label}, the one after {label - 1}") for label in range(classes))
    return Predictions(ten, one, labels, names, "val", words, tuple(range(1, classes + 1)))


def write_rest(files: ResultFiles, found: Predictions) -> None:
    """Write what the other stages would have, as small as may be but for the network."""
    count, classes = len(found), len(found.classes)
    write_text(files.params, files.printed.read_text(encoding="utf-8"))
    picture = np.random.default_rng(2).integers(0, 255, (16, 16, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    jpeg = encode(picture, 95, "4:2:0")
    train, val = (
        write_shard(files.records, split, 0, [Record(0, f"{split}.JPEG", jpeg)]) for split in ("train", "val")
    )
    # All pictures of a split lie in one place.
    val = pd.concat([val] * count).assign(label=found.labels, name=found.names)
    write_tables(files.records, pd.concat([*[train] * 1000, val], ignore_index=True))
    identity = np.eye(3)
    mean_image = np.zeros((3, 256, 256), np.float32)
    statistics = Statistics(1000, mean_image, identity[0], identity, identity[0], identity)
    write_statistics(files.statistics, statistics)
    write_json(files.rgb_pca, statistics.summary().model_dump())
    stored = {"train": SplitCounts(pictures=1000, skipped=0), "val": SplitCounts(pictures=count, skipped=0)}
    ones = dict.fromkeys(("pictures", "dimensions", "queries", "neighbours", "shortlist", "code_bits"), 1)
    sizes = ("exact_megabytes", "code_megabytes", "milliseconds_exact", "milliseconds_codes")
    unknown = dict.fromkeys(("same_class_exact", "same_class_codes"))
    contents = {
        files.data: Counts(layout="ilsvrc-2012", classes=classes, splits=stored),
        files.run: Run(
            recipe="synthetic logits",
            seed=1,
            devices="none",
            loader="none",
            precision="float32",
            epochs=1,
            batch_size=128,
            parameter_count=60_965_224,
            columns=2,
            class_count=classes,
            seconds=1.0,
            versions={},
            git_commit=None,
        ),
        files.retrieval: RetrievalSummary.model_validate(
            {**ones, **dict.fromkeys(sizes, 0.0), **unknown, "candidates": [], "examples": []}
        ),
        files.pages: PublishedPages(pages=[]),
    }
    for path, content in contents.items():
        write_json(path, content.model_dump())
    write_text(files.skipped, "split,name,reason\n")
    columns = [field.name for field in fields(EpochRow) if field.name != NORMS]
    write_text(files.history, f"{','.join(columns)}\n{','.join('1' for _ in columns)}\n")
    network = AlexNet(read(files.params, Model), classes)
    initialise(network, seed=1)
    save_network(files.model, network, [*found.classes])


def main(
    pictures: Annotated[int, typer.Option(min=10)] = 50_000,
    classes: Annotated[int, typer.Option(min=10)] = 1000,
    out: Annotated[Path | None, typer.Option(help="keep the report in this folder")] = None,
) -> None:
    """Make the predictions, count them, and write the report."""
    total: list[float] = []
    files, page = ResultFiles(), out.resolve() if out else Path("out")
    # All but the profiles lies where it does in a project, below the present folder.
    files = replace(files, printed=files.printed.resolve(), run_in_2012=files.run_in_2012.resolve())
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        with timed("logits to probabilities", total):
            found = synthetic(pictures, classes)
        with timed("rates, loss, calibration", total):
            print(found.metrics())
        with timed("arrays and the server's file", total):
            save_predictions(files.predictions, found)
        write_rest(files, found)
        del found
        with timed("reading", total):
            facts = read_facts(files)
        with timed("report, figures and tables", total):
            write_report(facts, page)
        print(terminal_summary(facts))
        size = (page / "report.html").stat().st_size
    print(
        f"{pictures:,} × {classes:,}: {sum(total):.1f} s of {PROMISED_SECONDS} promised,"
        f" {peak_gigabytes():.2f} GB of {PROMISED_GIGABYTES}; the page has {size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    typer.run(main)
