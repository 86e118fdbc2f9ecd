"""Every parameter file is whole, valid and explained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from alexnet.check import check
from alexnet.core.errors import UserError
from alexnet.core.machine import Machine, read_machine
from alexnet.core.params import flattened, read
from alexnet.training.params import Train

FILES = [ROOT / "params.yaml", *sorted((ROOT / "profiles").glob("*.yaml"))]
# What any reader knows, and texts that explain themselves.
UNEXPLAINED = {"enabled", "k", "beta", "alpha", "momentum", "title"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_profile_is_valid_and_whole(path: Path, tmp_path: Path) -> None:
    place = tmp_path / "machine.yaml"
    place.write_text("data_root: /data\n")
    check(path, place)
    yaml = YAML(typ="safe")
    assert flattened(yaml.load(path.read_text())).keys() == flattened(yaml.load(FILES[0].read_text())).keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_knob_is_explained(path: Path) -> None:
    for line in path.read_text().splitlines():
        knob = re.match(r" +(\w+): \S", line)
        if knob and knob[1] not in UNEXPLAINED:
            assert "#" in line, f"{path.name}: {knob[1]} has no comment"


def test_profiles_differ_where_the_recipes_do() -> None:
    paper = read(ROOT / "profiles/imagenet-2012-paper.yaml", Train)
    source = read(ROOT / "profiles/imagenet-2012-source.yaml", Train)
    assert (paper.bias_learning_rate, source.bias_learning_rate) == (0.01, 0.02)
    assert (paper.bias_weight_decay, source.bias_weight_decay) == (0.0005, 0.0)
    assert (paper.schedule.kind, source.schedule.kind) == ("plateau", "diary")


@pytest.mark.parametrize("way", ["paper", "source"])
def test_the_runs_on_2010_differ_from_those_on_2012_in_data_and_diary_alone(way: str) -> None:
    yaml = YAML(typ="safe")
    one, other = (
        flattened(yaml.load((ROOT / f"profiles/imagenet-{year}-{way}.yaml").read_text()))
        for year in (2012, 2010)
    )
    changed = {key: other[key] for key in one if one[key] != other[key]}
    assert changed.pop("report.title") != one["report.title"]
    expected: dict[str, Any] = {"data.layout": "ilsvrc-2010", "evaluate.split": "test"}
    if way == "source":
        # The log of the source's run 145-2010.
        expected |= {
            "augment.colour_noise_last_epoch": 67,
            "train.epochs": 93,
            "train.schedule.drop_epochs": [23, 51, 78],
            "train.schedule.conv1": [
                {"epoch": 68, "learning_rate": 1e-5},
                {"epoch": 72, "learning_rate": 0.0},
            ],
        }
    assert changed == expected


@pytest.mark.parametrize("load", ["1.5", "-0.1", "much"])
def test_a_decoder_load_out_of_range(tmp_path: Path, load: str) -> None:
    (tmp_path / "machine.yaml").write_text(f"hardware_decoder_load: {load}\n")
    with pytest.raises(UserError, match=rf"hardware_decoder_load: found {load}; allowed: a number"):
        read_machine(tmp_path / "machine.yaml")


def test_machine_example_shows_every_key_with_its_default(tmp_path: Path) -> None:
    example = (ROOT / "machine.example.yaml").read_text()
    assert read_machine(ROOT / "machine.example.yaml") == Machine()
    shown = dict(re.findall(r"^# (\w+): (\S+)$", example, re.MULTILINE))
    assert set(shown) == set(Machine.model_fields)
    switched_on = tmp_path / "machine.yaml"
    switched_on.write_text("\n".join(f"{key}: {value}" for key, value in shown.items()))
    expected = Machine(data_root="/data/imagenet")
    assert read_machine(switched_on) == expected
