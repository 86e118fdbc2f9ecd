"""What runs are planned with: overlays of one recipe, checked before anything trains."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alexnet.core.errors import UserError
from alexnet.core.files import write_text
from alexnet.core.params import Section, flattened, load_parameters, validate
from alexnet.core.places import PARAMS_FILE
from alexnet.feed.params import Augment
from alexnet.model.network import HALVED_IN_ONE_COLUMN, KERNELS
from alexnet.model.params import Model
from alexnet.training.params import Train

# Parameters under dotted keys.
Values = dict[str, Any]

RECIPE = str(PARAMS_FILE)
# A folder for each experiment, and in it one for each run.
RUNS = Path("data/experiments")


def planned(sources: Sequence[str]) -> Values:
    """Return what the train stage reads from `sources` (see `load_parameters`), under dotted keys.

    A UserError names the sources, and so the row, if a key is unknown or out of range, or a layer's kernels
    would be rounded, so that rows would differ in more than they say.
    """
    found = checked(sources, Augment, Model, Train)
    columns, width = found["model.columns"], found["model.width"]
    for layer, kernels in KERNELS.items():
        wanted = kernels * width / (2 if columns == 1 and layer in HALVED_IN_ONE_COLUMN else 1)
        if wanted % 2:
            raise UserError(
                f"{' + '.join(sources)}: model.width: found {width:g} with model.columns: {columns}, where"
                f" {layer} has {wanted:g} kernels; allowed: a width that gives every layer an even number, a"
                f" multiple of {0.0625 if columns == 2 else 0.125}"
            )
    return found


def checked(sources: Sequence[str], *sections: type[Section]) -> Values:
    """Return `sections` of what stands in `sources`, under dotted keys; refuse unknown keys and values."""
    content, where = load_parameters(sources), " + ".join(sources)
    found = [validate(content.get(section.key), section, where, section.key) for section in sections]
    return flattened({section.key: section.model_dump(mode="json") for section in found})


def nested(values: Values) -> Values:
    """Return dotted `values` as nested sections; the inverse of `flattened`."""
    sections: Values = {}
    for dotted, value in values.items():
        *groups, last = dotted.split(".")
        inner = sections
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return sections


def of_seeds(rows: Mapping[str, Values], seeds: Iterable[int]) -> dict[str, Values]:
    """Return what each run trains with, by its name ROW-SEED."""
    return {f"{name}-{seed}": {**row, "train.seed": seed} for seed in seeds for name, row in rows.items()}


def differing(one: Values, other: Values) -> Values:
    """Return those of the values of `one` that `other` does not have."""
    return {key: value for key, value in one.items() if other[key] != value}


def write_checked(experiment: str) -> None:
    """Write what the runs of `experiment` wait for; a constant, so that nothing runs again because of it."""
    write_text(RUNS / experiment / "checked", "the parameters of every run are known and in range\n")
