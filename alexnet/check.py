"""All sections at once: what `check` refuses before any stage runs."""

from pathlib import Path

from alexnet.core.errors import UserError
from alexnet.core.machine import read_machine, refuse_unless_shareable
from alexnet.core.params import Section, check_keys, load_yaml, read
from alexnet.core.places import SAMPLE
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
    sections = {section.key: read(params, section) for section in SECTIONS}
    place = read_machine(machine_file)
    sample = sections["sample"]
    assert isinstance(sample, Sample)
    model = sections["model"]
    assert isinstance(model, Model)
    root_of(place.data_root)
    if place.devices != "auto":
        refuse_unless_shareable(place.devices, model.columns, f"{machine_file}: devices")
    if sample.classes == 0 and place.data_root == str(SAMPLE):
        raise UserError(
            f"{machine_file}: data_root: not set, and {params} makes no sample (sample.classes: 0)."
            " Name the folder that holds the raw files."
        )
