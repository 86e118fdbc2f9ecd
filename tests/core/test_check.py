"""What is wrong with the two files that people edit is named before any stage runs."""

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from ruamel.yaml import YAML
from tiny import PAPER, told

from alexnet.check import check
from alexnet.core.params import load_yaml

FILE = ROOT / "params.yaml"
ABSENT = object()


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("train.epochs", "many", "train.epochs: found many; allowed: a whole number of at least 1"),
        ("train.epochs", "3", "train.epochs: found '3'; allowed: a whole number of at least 1"),
        ("retrieve.code_bits", 12, "a whole number of at least 8 and of at most 1024 and a multiple of 8"),
        ("train.epochs", 0, "train.epochs: found 0; allowed: a whole number of at least 1"),
        ("train.epoch", 3, r"train.epoch: unknown key; allowed: .* Did you mean epochs\?"),
        ("train.momentum", ABSENT, "train.momentum: missing; allowed: a number of at least 0 and below 1"),
        ("data.per_class", 0, "data: per_class: found 0; allowed: all, or 1 to 1000000000"),
        ("preprocess", ABSENT, "preprocess: missing; this section is required"),
        ("trian", {}, r"trian: unknown key; allowed: .*, train, .* Did you mean train\?"),
        (7, 1, "7: unknown key; allowed: sample, data, preprocess"),
        ("model.activation", "gelu", r"model.activation: found gelu; allowed: relu \| tanh \| abs_tanh"),
        ("model.response_norm.size", 4, "model.response_norm: size: found 4; allowed: an odd number"),
        ("augment.mirror", 1, "augment.mirror: found 1; allowed: true or false"),
        ("train.schedule.drop_epochs", [3, 2], r"drop_epochs: found epochs \[3, 2\]; allowed: ascending"),
        ("train.learning_rate", float("-inf"), "train.learning_rate: found -inf; allowed: a number"),
        ("train.learning_rate", float("nan"), "train.learning_rate: found nan; allowed: a number"),
        # What no stage can compute.
        ("data.per_class", 10**24, f"data: per_class: found {10**24}; allowed: all, or 1 to 1000000000"),
        ("train.batch_size", 10**12, "train.batch_size: found .*; allowed: a whole number"),
        ("train.schedule.factor", 1e200, "train.schedule.factor: found .*; allowed: a number"),
        ("train.weight_decay", 1e308, "train.weight_decay: found .*; allowed: a number"),
        (
            "train.initial_weights",
            "",
            "train.initial_weights: found ''; allowed: a text of a length of at least 1 or",
        ),
        (
            "train.initial_weights",
            "models/alexnet.safetensors",
            "models/alexnet.safetensors: is removed before the .* name a copy elsewhere",
        ),
        (
            "train.initial_weights",
            "no/such",
            "train.initial_weights: no/such: no such file; name one, or null",
        ),
        ("augment.pictures_per_crop", 10**19, "augment.pictures_per_crop: found .*; allowed: a whole number"),
        ("retrieve.batch_size", 10**12, "retrieve.batch_size: found .*; allowed: a whole number"),
        ("model.response_norm.beta", 1e300, "model.response_norm.beta: found .*; allowed: a number"),
    ],
)
def test_a_wrong_parameter_is_named(tmp_path: Path, key: str | int, value: object, expected: str) -> None:
    content: Any = load_yaml(FILE)
    *groups, last = key.split(".") if isinstance(key, str) else [key]
    inner = content
    for group in groups:
        inner = inner[group]
    if value is ABSENT:
        del inner[last]
    else:
        inner[last] = value
    with (tmp_path / "params.yaml").open("w") as file:
        YAML().dump(content, file)
    with told(rf"params\.yaml: .*{expected}"):
        check(tmp_path / "params.yaml", tmp_path / "machine.yaml")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("wokers: 2", r"wokers: unknown key; allowed: .* Did you mean workers\?"),
        ("workers: none", "workers: found none; allowed: auto or a whole number of at least 1"),
        ("workers: 3000000000", "workers: found .*; allowed: auto or a whole number"),
        ("devices: 7", "devices: found 7; allowed: 1 or an even number"),
        ("devices: both", "devices: found both; allowed: auto or a whole number of at least 1"),
        ("hardware_decoder_load: 1.5", "hardware_decoder_load: found 1.5; allowed: a number"),
        ("hardware_decoder_load: -0.1", "hardware_decoder_load: found -0.1; allowed: a number"),
        ("timeout_seconds: 1.0e+15", "timeout_seconds: found .*; allowed: a number"),
        ("data_root: ~nobody-at-all/pictures", "data_root: found ~nobody-at-all/pictures"),
        ("data_root: ''", "data_root: found ''; allowed: a text of a length of at least 1"),
        ("data_root: nope://x", "data_root: found nope://x: Unsupported filesystem"),
        ("workers: [", "line 2: is not valid YAML"),
    ],
)
def test_a_wrong_machine_file_is_named(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "machine.yaml").write_text(f"{content}\n")
    with told(rf"machine\.yaml: {expected}"):
        check(FILE, tmp_path / "machine.yaml")


def test_a_data_root_that_is_not_set_is_told_where_it_is_needed(tmp_path: Path) -> None:
    with told(r"machine\.yaml: data_root: not set, and .*paper\.yaml makes no sample"):
        check(PAPER, tmp_path / "machine.yaml")
