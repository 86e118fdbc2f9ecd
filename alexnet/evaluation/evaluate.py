"""From a store of records and trained weights to predictions and rates: what the evaluate stage does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from alexnet.core.errors import UserError
from alexnet.core.files import sha256_of, write_json
from alexnet.core.machine import Machine
from alexnet.evaluation.params import Evaluate
from alexnet.evaluation.patches import predict, share
from alexnet.evaluation.predictions import Predictions, merge_parts, save_predictions
from alexnet.feed.loader import open_loader
from alexnet.model import weights
from alexnet.parallel.mesh import Mesh
from alexnet.store import index as indexes
from alexnet.store.records import Records, open_records

# Ten times as many patches go through the network at once; on the CPU more no longer fit its caches.
PICTURES_AT_ONCE = {"cpu": 4, "cuda": 64}


@dataclass(frozen=True)
class Paths:
    """Where the evaluate stage reads and writes."""

    index: Path
    records: Path
    skipped: Path
    weights: Path
    predictions: Path
    metrics: Path


def evaluate_network(
    mesh: Mesh, device: torch.device, settings: Evaluate, machine: Machine, paths: Paths
) -> None:
    """Predict every picture of the split, and write the predictions and ``metrics.json``.

    Args:
        mesh: the processes that share the pictures, each of which calls this; all have a whole network.
        device: where this process computes.

    Raises:
        UserError: the split is missing or not whole, the weights are of other classes, or the
            network's outputs hold NaN.
    """
    index = indexes.read_index(paths.index)
    pictures = open_records(paths.records, settings.split)
    skipped = pd.read_csv(paths.skipped, dtype=str, keep_default_na=False)
    left_out = tuple(skipped["name"][skipped["split"] == settings.split])
    check_whole(pictures, index, settings.split, left_out, paths.records)
    network, classes = weights.load_network(paths.weights)
    check_classes(classes, index.classes, paths.weights)
    at_once = PICTURES_AT_ONCE[device.type]
    threads = max(1, machine.worker_count // mesh.on_this_machine)
    hardware_load = machine.hardware_decoder_load
    loader = open_loader(
        machine.loader, pictures, at_once, device, threads, side=256, hardware_load=hardware_load
    )
    mine = share(len(pictures), at_once, mesh.rank, mesh.size)
    style = machine.progress if mesh.leads else "none"
    parts = mesh.to_leader(predict(network.to(device), loader, mine, len(pictures), style))
    if parts is None:
        return
    ten, one = merge_parts(parts, len(pictures))
    result = Predictions(
        ten,
        one,
        pictures.labels,
        pictures.names,
        settings.split,
        tuple(classes),
        ilsvrc_ids(index.classes),
        left_out,
        sha256_of(paths.weights),
    )
    save_predictions(paths.predictions, result)
    write_json(paths.metrics, result.metrics(share_ties=settings.ties == "fractional"))
    if not result.labelled:
        print(
            f"evaluate: the split {settings.split} has no labels, so there are no error rates;"
            f" the guesses are in {paths.predictions / result.guesses_file}",
            flush=True,
        )


def check_whole(
    records: Records, index: indexes.Index, split: str, left_out: Sequence[str], place: Path
) -> None:
    """Check that `records` holds each picture of the index's `split` once, but for those `left_out`.

    Raises:
        UserError: one is missing, twice there, unknown to the index or labelled otherwise.
    """
    expected = index.pictures[index.pictures["split"] == split].set_index("name")["label"]
    found = pd.Series(records.labels, index=pd.Index(records.names))
    remedy = "Run `dvc repro preprocess` to make the records again."
    twice = found.index[found.index.duplicated()]
    if len(twice):
        raise UserError(f"{place}: {twice[0]} of {split} is there twice. {remedy}")
    missing = expected.index.difference(found.index).difference(left_out)
    strange = found.index.difference(expected.index)
    if len(missing) or len(strange):
        what = f"{missing[0]} is missing" if len(missing) else f"{strange[0]} is not in the index"
        count = len(missing) + len(strange)
        raise UserError(f"{place}: {what} ({count} such pictures of {split}). {remedy}")
    other = found.index[found.to_numpy() != expected.loc[found.index].to_numpy()]
    if len(other):
        raise UserError(f"{place}: {other[0]} has another label than in the index. {remedy}")
    known = records.labels != indexes.UNKNOWN
    if known.any() != known.all():
        raise UserError(f"{place}: {int((~known).sum())} pictures of {split} have no label, the others have")


def check_classes(found: weights.Classes, expected: pd.DataFrame, path: Path) -> None:
    """Check that the weights at `path` tell the index's classes apart, in its order.

    Raises:
        UserError: they were trained for others.
    """
    if [wnid for wnid, _ in found] != expected["wnid"].tolist():
        raise UserError(
            f"{path}: trained for {len(found)} classes ({_some(found)}); the pictures have"
            f" {len(expected)} ({_some(list(zip(expected['wnid'], expected['words'], strict=True)))}),"
            " and labels mean the same only where the classes do. Train on these pictures."
        )


def _some(classes: weights.Classes) -> str:
    return ", ".join(wnid for wnid, _ in classes[:3]) + (", …" if len(classes) > 3 else "")


def ilsvrc_ids(classes: pd.DataFrame) -> tuple[int, ...]:
    """Return each class' ID on the challenge's server; none where no devkit gives them.

    They are in no order that could be guessed, so that a rank in their place would be a wrong answer.
    """
    return tuple(int(number) for number in classes.get("ilsvrc_id", []))
