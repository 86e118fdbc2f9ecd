"""All sections at once: what `check` refuses before any stage runs."""

from pathlib import Path

from alexnet.core.errors import UserError
from alexnet.core.machine import read_machine, refuse_unless_shareable
from alexnet.core.params import Section, check_keys, load_yaml, read
from alexnet.core.places import SAMPLE, WEIGHTS
from alexnet.evaluation.params import Evaluate
from alexnet.feed.params import Augment
from alexnet.ingest.params import Data, Preprocess
from alexnet.ingest.raw_files import root_of
from alexnet.model.params import Model
from alexnet.report.params import Report
from alexnet.retrieval.params import Retrieve
from alexnet.sample.params import Sample
from alexnet.training.params import Train

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
    for section in SECTIONS:
        read(params, section)
    start = read(params, Train).initial_weights
    if start is not None:
        told = f"{params}: train.initial_weights: {start}"
        if Path(start).resolve() == WEIGHTS.resolve():
            raise UserError(f"{told}: is removed before the training that writes it; name a copy elsewhere")
        if not Path(start).is_file():
            raise UserError(f"{told}: no such file; name one, or null to draw weights")
    sample, model, machine = read(params, Sample), read(params, Model), read_machine(machine_file)
    root_of(machine.data_root)
    if machine.devices != "auto":
        refuse_unless_shareable(machine.devices, model.columns, f"{machine_file}: devices")
    if sample.classes == 0 and machine.data_root == str(SAMPLE):
        raise UserError(
            f"{machine_file}: data_root: not set, and {params} makes no sample (sample.classes: 0)."
            " Name the folder that holds the raw files."
        )
