"""All sections at once: what `check` refuses before any stage runs."""

from __future__ import annotations

from pathlib import Path

from alexnet.errors import UserError
from alexnet.params import machine
from alexnet.params.augment import Augment
from alexnet.params.base import Section, check_keys, load_yaml, read
from alexnet.params.data import Data
from alexnet.params.evaluate import Evaluate
from alexnet.params.model import Model
from alexnet.params.preprocess import Preprocess
from alexnet.params.report import Report
from alexnet.params.retrieve import Retrieve
from alexnet.params.sample import Sample
from alexnet.params.train import Train

SECTIONS: tuple[type[Section], ...] = (
    Sample,
    Data,
    Preprocess,
    Augment,
    Model,
    Train,
    Evaluate,
    Retrieve,
    Report,
)


def check(params: Path, machine_file: Path) -> None:
    """Validate all of both files.

    Raises:
        UserError: a key is unknown, missing, mistyped or out of range, in one line.
    """
    check_keys(load_yaml(params), [section.key for section in SECTIONS], params)
    sections = {section.key: read(params, section) for section in SECTIONS}
    place = machine.read(machine_file)
    sample = sections["sample"]
    assert isinstance(sample, Sample)
    model = sections["model"]
    assert isinstance(model, Model)
    if model.patch != 224:
        raise UserError(
            f"{params}: model.patch: found {model.patch}; allowed: 224 in training. Networks that see 227"
            " pixels are imported (alexnet import-caffe)."
        )
    if place.devices != "auto":
        machine.refuse_unless_shareable(place.devices, model.columns, f"{machine_file}: devices")
    if sample.classes == 0 and place.data_root == machine.SAMPLE_ROOT:
        raise UserError(
            f"{machine_file}: data_root: not set, and {params} makes no sample (sample.classes: 0)."
            " Name the folder that holds the raw files."
        )
