"""From a store of records and trained weights to predictions and rates: what the evaluate stage does."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from alexnet.core.errors import UserError
from alexnet.core.files import sha256_of, write_json
from alexnet.core.machine import Machine
from alexnet.core.sizes import PICTURE
from alexnet.core.terminal import say
from alexnet.evaluation.params import Evaluate
from alexnet.evaluation.predict import own_records, predict
from alexnet.evaluation.predictions import Predictions, save_predictions
from alexnet.feed.loader import open_loader
from alexnet.model.weights import Classes, load_network
from alexnet.parallel.device import memory_format
from alexnet.parallel.mesh import Mesh
from alexnet.store.counts import read_skipped
from alexnet.store.index import UNKNOWN, Index, differences, read_index
from alexnet.store.records import Records, open_records
from alexnet.store.verified import refuse_damaged_shards

# Ten times as many patches pass through the network at once; on a CPU more would not fit its caches.
PICTURES_AT_ONCE = {"cpu": 4, "cuda": 64}


def evaluate_network(
    mesh: Mesh,
    device: torch.device,
    *,
    settings: Evaluate,
    machine: Machine,
    index: Path,
    records: Path,
    skipped: Path,
    weights: Path,
    predictions: Path,
    metrics: Path,
) -> None:
    """Predict every picture of the split; write the folder `predictions` and the rates to `metrics`.

    Each process of `mesh` calls this, has a whole network, and computes on its `device`.

    Raises:
        UserError: the split is missing or incomplete, the weights are of other classes, or the
            network's outputs hold NaN.
    """
    if mesh.leads:
        refuse_damaged_shards(records)
    listed, pictures = read_index(index), open_records(records, settings.split)
    table = read_skipped(skipped)
    left_out = table[table["split"] == settings.split]
    check_whole(pictures, listed, settings.split, left_out, records)
    network, classes = load_network(weights)
    check_classes(classes, listed.classes, weights)
    at_once = PICTURES_AT_ONCE[device.type]
    here = mesh.on_this_machine
    loader = open_loader(machine, pictures, at_once, device, side=PICTURE, processes_here=here)
    mine = own_records(len(pictures), at_once, mesh.rank, mesh.size)
    network.to(device).set_memory_format(memory_format(machine))
    style = machine.progress if mesh.leads else "none"
    parts = mesh.to_leader(predict(network, loader, mine, len(pictures), style))
    if parts is None:
        return
    # The processes have one part each, in the order of the pictures.
    ten, one = (each[0] if len(each) == 1 else np.concatenate(each) for each in zip(*parts, strict=True))
    del parts
    result = Predictions(
        ten,
        one,
        labels=pictures.labels,
        names=pictures.names,
        split=settings.split,
        classes=tuple(classes),
        # The server numbers the classes in an order of its own, so a label cannot stand in for its ID.
        ids=tuple(int(number) for number in listed.classes.get("ilsvrc_id", [])),
        skipped=tuple(left_out["name"]),
        weights=sha256_of(weights),
    )
    save_predictions(predictions, result)
    write_json(metrics, result.metrics(share_ties=settings.share_ties))
    if not result.labelled:
        guesses = predictions / result.guesses_file
        say(f"evaluate: {settings.split} has no labels, so there are no error rates; the guesses: {guesses}")


def check_whole(records: Records, index: Index, split: str, skipped: pd.DataFrame, place: Path) -> None:
    """Check that `records` holds each picture of the index's `split` once, except those `skipped`.

    Raises:
        UserError: one is missing, stored twice, unknown to the index or labelled otherwise, or only some
            pictures have a label.
    """
    pictures = index.pictures[index.pictures["split"] == split]
    stored = pd.DataFrame({"split": split, "name": records.names, "label": records.labels})
    wrong = list(differences(pictures, stored, skipped))
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise UserError(f"{place}: {wrong[0]}{more}. Run `dvc repro preprocess` to make the records again.")
    known = records.labels != UNKNOWN
    if known.any() != known.all():
        raise UserError(f"{place}: {int((~known).sum())} pictures of {split} have no label, the others have")


def check_classes(found: Classes, expected: pd.DataFrame, path: Path) -> None:
    """Raise a `UserError` unless the weights at `path` are for the classes of the index, in its order."""
    trained, wanted = [wnid for wnid, _ in found], expected["wnid"].tolist()
    if trained != wanted:
        raise UserError(
            f"{path}: trained for {len(trained)} classes ({_some(trained)}); the pictures have"
            f" {len(wanted)} ({_some(wanted)}),"
            " and labels mean the same only where the classes do. Train on these pictures."
        )


def _some(wnids: list[str]) -> str:
    return ", ".join(wnids[:3]) + (", …" if len(wnids) > 3 else "")
