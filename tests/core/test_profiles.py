"""Every parameter file is whole, valid and explained."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from tiny import PAPER

from alexnet.check import check
from alexnet.core.errors import UserError
from alexnet.core.machine import Machine, read_machine, usable_cores
from alexnet.core.params import flattened, load_yaml

FILES = [ROOT / "params.yaml", *sorted((ROOT / "profiles").glob("*.yaml"))]
# What any reader knows, and texts that explain themselves.
UNEXPLAINED = {"enabled", "k", "beta", "alpha", "momentum", "title"}


def _values(path: Path) -> dict[str, Any]:
    """Return the values of a parameter file under dotted keys."""
    return flattened(load_yaml(path))


def _named_in_head(path: Path) -> set[str]:
    """Return the keys in the list that opens a parameter file: ``# - key, key: why``."""
    head = path.read_text().partition("\nsample:")[0]
    return {key for names in re.findall(r"^# - ([\w., ]+):", head, re.MULTILINE) for key in names.split(", ")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_profile_is_valid_and_whole(path: Path, tmp_path: Path) -> None:
    place = tmp_path / "machine.yaml"
    place.write_text("data_root: /data\n")
    check(path, place)
    assert _values(path).keys() == _values(FILES[0]).keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_key_is_explained_and_in_the_same_words_everywhere(path: Path) -> None:
    explained, standard = (_comments(file) for file in (path, FILES[0]))
    assert explained == standard
    assert {key for key, comment in explained if not comment} <= UNEXPLAINED


def _comments(path: Path) -> list[tuple[str, str]]:
    """Return each key of a parameter file with its comment, all lines of it."""
    found: list[tuple[str, str]] = []
    for line in path.read_text().partition("\nsample:")[2].splitlines():
        key, comment = re.match(r" +(\w+):", line), line.partition("#")[2]
        if key:
            found.append((key[1], comment))
        elif comment and line.startswith(" "):
            found[-1] = (found[-1][0], f"{found[-1][1]} {comment}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_head_names_what_differs_from_the_printed_recipe(path: Path) -> None:
    own, printed, named = _values(path), _values(PAPER), _named_in_head(path)
    if path == PAPER:
        # Here the head names what the paper leaves open.
        assert named
        assert named <= own.keys()
        return
    sections = ("augment", "model", "train", "evaluate")
    assert named == {key for key in own if key.startswith(sections) and own[key] != printed[key]}


@pytest.mark.parametrize("way", ["paper", "source"])
def test_what_the_runs_on_2010_have_in_common_with_those_on_2012(way: str) -> None:
    one, other = (_values(ROOT / f"profiles/imagenet-{year}-{way}.yaml") for year in (2012, 2010))
    changed = {key: other[key] for key in one if one[key] != other[key]}
    assert changed.pop("report.title") != one["report.title"]
    expected: dict[str, Any] = {"data.layout": "ilsvrc-2010", "evaluate.split": "test"}
    if way == "source":
        # The file and the log of the source's run 145-2010.
        expected |= {
            "train.bias_learning_rate": 0.002,
            "augment.colour_noise_last_epoch": 67,
            "train.epochs": 93,
            "train.schedule.drop_epochs": [23, 51, 78],
            "train.schedule.conv1": [
                {"epoch": 68, "learning_rate": 1e-5},
                {"epoch": 72, "learning_rate": 0.0},
            ],
        }
    assert changed == expected


# What the source's files say: layers-145.cfg and layer-params-145.cfg with its log. The rates that follow
# from both profiles are in tests/training/test_schedule.py.
SOURCE_145 = {
    "augment.colour_noise": "source-2012",
    "augment.colour_noise_std": 0.1,
    "model.conv1_order": "norm-pool-activation",
    "model.conv5_order": "pool-activation",
    "model.response_norm.size": 5,
    "model.response_norm.k": 2.0,
    "model.response_norm.alpha": 1e-4,
    "model.response_norm.alpha_divided_by_size": True,
    "model.response_norm.beta": 0.75,
    "model.spatial_norm": True,
    "model.pooling": "3/2",
    "model.dropout.rate": 0.5,
    "model.initial_weights": "source-2012",
    "model.mean": "centre",
    "train.momentum": 0.9,
    "train.weight_decay": 0.0005,
    "train.bias_weight_decay": 0.0,
    "train.schedule.biases_too": False,
    "augment.colour_noise_last_epoch": 66,
    "train.epochs": 91,
}


@pytest.mark.parametrize(
    ("recipe", "expected"), [("source", SOURCE_145), ("paper", {"train.bias_weight_decay": 0.0005})]
)
def test_the_profiles_say_what_the_recipes_say(recipe: str, expected: dict[str, Any]) -> None:
    values = _values(ROOT / f"profiles/imagenet-2012-{recipe}.yaml")
    assert {key: values[key] for key in expected} == expected


def test_machine_example_shows_every_key_with_its_default(tmp_path: Path) -> None:
    example = (ROOT / "machine.example.yaml").read_text()
    assert read_machine(ROOT / "machine.example.yaml") == Machine()
    shown = dict(re.findall(r"^# (\w+): (\S+)$", example, re.MULTILINE))
    assert set(shown) == set(Machine.model_fields)
    switched_on = tmp_path / "machine.yaml"
    switched_on.write_text("\n".join(f"{key}: {value}" for key, value in shown.items()))
    expected = Machine(data_root="/data/imagenet")
    assert read_machine(switched_on) == expected


@pytest.mark.parametrize("root", ["/data", "~nobody/data", "../pictures", None])
def test_an_experiment_in_a_copy_uses_the_projects_machine_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str | None
) -> None:
    copy = tmp_path / ".dvc/tmp/exps/tmpabc"
    copy.mkdir(parents=True)
    (tmp_path / "machine.yaml").write_text("workers: 3\n" + (f"data_root: {root}\n" if root else ""))
    monkeypatch.chdir(copy)
    found = read_machine(Path("machine.yaml"))
    told = "from alexnet.training.states import TRAININGS; print(TRAININGS)"
    done = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == f"{tmp_path}/.state/train", "the copy is removed, and its state with it"
    expected = {"../pictures": f"{tmp_path}/../pictures", None: "data/sample"}.get(root, root)
    assert (found.workers, found.data_root) == (3, expected)
    (tmp_path / "machine.yaml").write_text("workers: 0\n")
    with pytest.raises(UserError, match=rf"{tmp_path}/machine\.yaml: workers"):
        read_machine(Path("machine.yaml"))
    (copy / "machine.yaml").write_text("workers: 2\n")
    assert read_machine(Path("machine.yaml")) == Machine(workers=2)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_a_share_of_processor_time_counts_as_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert usable_cores(tmp_path) == cores
