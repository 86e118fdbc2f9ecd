"""Parameters from a file and what is laid over it."""

from pathlib import Path
from typing import Any

import pytest
from tiny import ROOT, told

from alexnet.core.params import flattened, load_parameters, read
from alexnet.model.params import Model
from alexnet.training.params import Train

FILE = str(ROOT / "params.yaml")
RUNS = """\
runs:
  narrow: {model.width: 0.25, model.response_norm.size: 3}
  usual: null
  number: 3
  strange: {model.depth: 9}
  numbered: {7: 1}
"""


@pytest.fixture
def runs(tmp_path: Path) -> str:
    path = tmp_path / "runs.yaml"
    path.write_text(RUNS)
    return str(path)


def test_each_source_replaces_values_of_those_before(runs: str) -> None:
    model = read([FILE, f"{runs}:runs.narrow", "model.width=0.125", f"{runs}:runs.usual"], Model)
    expected = read(FILE, Model).model_dump()
    expected["response_norm"]["size"] = 3
    assert model.model_dump() == {**expected, "width": 0.125}


def test_values_are_written_as_in_yaml() -> None:
    sources = [
        FILE,
        "train.seed=7",
        "train.initial_weights=a.safetensors",
        "train.schedule.drop_epochs=[2, 5]",
    ]
    train = read([*sources, "train.learning_rate=1e-4"], Train)
    assert (train.seed, train.initial_weights, train.learning_rate) == (7, "a.safetensors", 1e-4)
    assert train.schedule.drop_epochs == [2, 5]
    assert read([*sources, "train.initial_weights=null"], Train).initial_weights is None


def test_a_group_can_be_replaced_whole() -> None:
    assert load_parameters([FILE, "evaluate={split: test}"])["evaluate"] == {"split": "test"}


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            "model.widht=1",
            r"model\.widht=1: model\.widht: unknown key; allowed: .*width.* Did you mean width\?",
        ),
        ("model.width.x=1", r"model\.width\.x: unknown key; allowed: no keys here"),
        ("modle.width=1", r"modle\.width: unknown key; allowed: sample, data, .* Did you mean model\?"),
        ("RUNS:runs.strange", r"runs\.strange: model\.depth: unknown key"),
        ("RUNS:runs.numbered", r"runs\.numbered: 7: unknown key"),
        ("RUNS:runs.absent", r"runs\.yaml: runs\.absent: missing; needed is a mapping"),
        ("RUNS:runs.number.more", r"runs\.yaml: runs\.number\.more: missing"),
        ("RUNS:runs.number", r"runs\.yaml: runs\.number: found 3; allowed: dotted keys with values"),
        ("nowhere.yaml:runs", r"nowhere\.yaml: no such file"),
        (
            "model.width",
            r"--params: found model\.width after the first file; allowed: FILE:KEY.*or KEY=VALUE",
        ),
        (
            "model.width=wide",
            r"params\.yaml \+ model\.width=wide: model\.width: found wide; allowed: a number",
        ),
        ("model.width=2024-02-30", r"--params model\.width=2024-02-30: what follows = is not valid YAML"),
        ("model.width=[", r"--params model\.width=\[: what follows = is not valid YAML"),
    ],
)
def test_an_overlay_that_does_not_fit_is_named(runs: str, overlay: str, message: str) -> None:
    with told(message):
        read([FILE, overlay.replace("RUNS", runs)], Model)


def test_flattened_parameters_are_an_overlay() -> None:
    nested: dict[str, Any] = {"a": {"b": 1, "c": {"d": [2]}, "e": {}}, "f": None}
    assert flattened(nested) == {"a.b": 1, "a.c.d": [2], "a.e": {}, "f": None}


def test_exponents_without_a_point_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(Path(FILE).read_text().replace("learning_rate: 0.005", "learning_rate: 5e-3"))
    assert read(path, Train).learning_rate == 0.005


MULTIPLYING = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
for before, name in zip("abcdefg", "bcdefgh", strict=True):
    MULTIPLYING.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n".join(MULTIPLYING), "larger than any file of parameters"),
        ("a: &a [*a]", "larger than any file of parameters"),
        ("a: &a {b: [*a]}", "larger than any file of parameters"),
        ("a: " + 10_000 * "[", "larger than any file of parameters"),
        ("a: " + 41 * "[" + "1" + 41 * "]", "larger than any file of parameters"),
        ("a: " + 2_000_000 * "x", "larger than any file of parameters"),
        ('a: 1\nb: "x\\0y"', "line 2: found a NUL character"),
        ("a: 2024-02-30", "is not valid YAML: day"),
        ("a: !!bool foo", "is not valid YAML"),
        ("a: *b", "line 1: is not valid YAML: found undefined alias"),
    ],
)
def test_content_without_end_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with told(message):
        load_parameters(path)


def test_an_alias_stands_for_its_anchor(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a: &few [1, 2]\nb: *few\nc: &one 1\nd: *one\n")
    assert load_parameters(path) == {"a": [1, 2], "b": [1, 2], "c": 1, "d": 1}
