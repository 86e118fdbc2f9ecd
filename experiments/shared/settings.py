"""Complete parameters of an experiment's runs: dotted keys, checked before anything trains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alexnet.core.errors import UserError
from alexnet.core.files import write_json
from alexnet.core.params import Section, read, validate
from alexnet.feed.params import Augment
from alexnet.model.network import HALVED_IN_ONE_COLUMN, KERNELS
from alexnet.model.params import Model
from alexnet.training.params import Train
from experiments.shared.values import Values, nested

# The sections that the train stage reads.
SECTIONS: tuple[type[Section], ...] = (Augment, Model, Train)


def flat(path: Path, sections: Sequence[type[Section]] = SECTIONS) -> Values:
    """Return `sections` of the file at `path`, with dotted keys."""
    return {
        dotted: value
        for section in sections
        for dotted, value in _leaves(read(path, section).model_dump(), section.key)
    }


def _leaves(value: Any, prefix: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(prefix, value)]
    return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{prefix}.{key}")]


def refuse_unknown(keys: Iterable[str], known: Values, path: Path, where: str, source: str) -> None:
    """Refuse the first of `keys` that `known`, the parameters of the file `source`, does not have."""
    for key in keys:
        if key not in known:
            raise UserError(f"{path}: {where}: {key}: unknown key; allowed: the keys of {source}")


def refuse_what_is_wrong(
    values: Values, path: Path, where: str, sections: Sequence[type[Section]] = SECTIONS
) -> None:
    """Check complete `sections` as the stages will, and that the columns share all kernels evenly.

    Raises:
        UserError: names `path`, `where` and the key.
    """
    found = nested(values)
    for section in sections:
        validate(found[section.key], section, path, f"{where}: {section.key}")
    if Model in sections:
        _refuse_uneven_width(Model.model_validate(found["model"]), path, where)


def _refuse_uneven_width(model: Model, path: Path, where: str) -> None:
    """Refuse a width at which a layer would be rounded: rows would differ in more than they say."""
    for layer, kernels in KERNELS.items():
        halved = model.columns == 1 and layer in HALVED_IN_ONE_COLUMN
        wanted = kernels * model.width / (2 if halved else 1)
        if wanted % 2:
            raise UserError(
                f"{path}: {where}: model.width: found {model.width:g} with model.columns: {model.columns},"
                f" where {layer} has {wanted:g} kernels; allowed: a width that gives every layer an even"
                f" number, a multiple of {0.0625 if model.columns == 2 else 0.125}"
            )


def runs_of(rows: Mapping[str, Values], seeds: Iterable[int]) -> dict[str, Values]:
    """Return the parameters of ``ROW-SEED`` for every row and seed, by that name."""
    return {
        f"{name}-{seed}": {**values, "train.seed": seed} for seed in seeds for name, values in rows.items()
    }


def write_runs(folder: Path, rows: Mapping[str, Values], seeds: Iterable[int]) -> None:
    """Write ``ROW-SEED.yaml`` for every row and seed into `folder`."""
    for name, values in runs_of(rows, seeds).items():
        write_json(folder / f"{name}.yaml", nested(values))
