"""Measure the error rates of the trained network with ten patches and with one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alexnet.data.loader import open_loader
from alexnet.data.records import open_records
from alexnet.device import choose_device
from alexnet.evaluation.patches import predict
from alexnet.files import replacing, write_json
from alexnet.model import weights as files
from alexnet.params import machine as machines
from alexnet.params.base import read
from alexnet.params.evaluate import Evaluate
from stages.options import (
    MACHINE,
    PARAMS,
    PREDICTIONS,
    RECORDS,
    REPORTS,
    WEIGHTS,
    MachineFile,
    Params,
    run,
)

# Ten times as many patches go through the network at once; on the CPU more no longer fit its caches.
PICTURES_AT_ONCE = {"cpu": 4, "cuda": 64}


def main(
    params: Params = PARAMS,
    machine: MachineFile = MACHINE,
    records: Path = RECORDS,
    weights: Path = WEIGHTS,
    metrics: Path = REPORTS / "metrics.json",
    predictions: Path = PREDICTIONS,
) -> None:
    """Evaluate the last weights; no weights are chosen by their validation error."""
    place = machines.read(machine)
    split = read(params, Evaluate).split
    pictures = open_records(records, split)
    network, _ = files.load(weights)
    device = choose_device(place)
    at_once = PICTURES_AT_ONCE[device.type]
    loader = open_loader(place.loader, pictures, at_once, device, place.worker_count, side=256)
    result = predict(network.to(device), loader, pictures.labels, place.progress)
    with replacing(predictions) as temporary, temporary.open("wb") as file:
        ten, one = result.ten.astype(np.float32), result.one.astype(np.float32)
        np.savez(file, ten=ten, one=one, labels=result.labels)
    write_json(metrics, {**result.metrics(), "split": split})


if __name__ == "__main__":
    run(main)
