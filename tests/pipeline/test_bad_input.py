"""A user's mistake stops the pipeline with one line that names it, never with a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Project, make_project, stages_run


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("fresh"))


def _error_lines(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("error:")]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (
            "train.epochs",
            "many",
            "params.yaml: train.epochs: found many; allowed: a whole number of at least 1",
        ),
        ("train.epochs", 0, "params.yaml: train.epochs: found 0; allowed: a whole number of at least 1"),
        ("train.epoch", 3, "params.yaml: train.epoch: unknown key"),
        ("model.activation", "gelu", "found gelu; allowed: relu | tanh | abs_tanh"),
        ("model.response_norm.size", 4, "model.response_norm: size: found 4; allowed: an odd number"),
        ("model.patch", 227, "model.patch: found 227; allowed: 224 in training"),
        ("trian", {}, "params.yaml: trian: unknown key"),
        ("augment.mirror", 1, "augment.mirror: found 1; allowed: true or false"),
    ],
)
def test_wrong_parameter_stops_in_check(fresh: Project, key: str, value: object, expected: str) -> None:
    before = (fresh.folder / "params.yaml").read_text()
    fresh.set(key, value)
    output = fresh.repro(check=False)
    (fresh.folder / "params.yaml").write_text(before)
    assert stages_run(output) == ["check"]
    (line,) = _error_lines(output)
    assert expected in line
    assert "Traceback" not in output


def test_missing_parameter_is_named(fresh: Project) -> None:
    path = fresh.folder / "params.yaml"
    before = path.read_text()
    path.write_text("\n".join(line for line in before.splitlines() if "momentum:" not in line))
    output = fresh.repro(check=False)
    path.write_text(before)
    (line,) = _error_lines(output)
    assert "train.momentum: missing; allowed: a number of at least 0 and below 1" in line


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("wokers: 2\n", "machine.yaml: wokers: unknown key"),
        (
            "workers: none\n",
            "machine.yaml: workers: found none; allowed: auto or a whole number of at least 1",
        ),
        ("devices: 7\n", "machine.yaml: devices: found 7; allowed: 1 or an even number"),
        (
            "devices: both\n",
            "machine.yaml: devices: found both; allowed: auto or a whole number of at least 1",
        ),
        ("workers: [\n", "machine.yaml: line"),
    ],
)
def test_wrong_machine_file_stops_before_work(fresh: Project, content: str, expected: str) -> None:
    path = fresh.folder / "machine.yaml"
    before = path.read_text()
    path.write_text(content)
    output = fresh.repro(check=False)
    path.write_text(before)
    (line,) = _error_lines(output)
    assert expected in line
    assert "Traceback" not in output


def test_missing_and_half_present_data_root(fresh: Project, tmp_path: Path) -> None:
    params = (fresh.folder / "params.yaml").read_text()
    machine = (fresh.folder / "machine.yaml").read_text()
    (fresh.folder / "params.yaml").write_text(
        (fresh.folder / "profiles/imagenet-2012-paper.yaml").read_text()
    )
    unset = fresh.repro(check=False)
    fresh.set("data_root", str(tmp_path / "absent"), "machine.yaml")
    absent = fresh.repro(check=False)
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "ILSVRC2012_img_val.tar").write_bytes(b"")
    half = fresh.repro(check=False)
    (fresh.folder / "params.yaml").write_text(params)
    (fresh.folder / "machine.yaml").write_text(machine)
    assert "data_root: not set" in _error_lines(unset)[0]
    assert "no such folder" in _error_lines(absent)[0]
    (line,) = _error_lines(half)
    assert "ILSVRC2012_img_train.tar, ILSVRC2012_devkit_t12.tar.gz missing" in line
    assert "image-net.org" in line
    assert "Traceback" not in unset + absent + half


def test_command_line_mistakes_are_one_line(fresh: Project, tmp_path: Path) -> None:
    picture = tmp_path / "text.jpg"
    picture.write_text("no picture")
    for command in (
        ["alexnet", "predict", str(picture), "--weights", str(tmp_path / "none.safetensors")],
        ["alexnet", "describe", "--params", str(tmp_path / "none.yaml")],
        ["python", "-m", "stages.train", "--params", str(tmp_path / "none.yaml")],
    ):
        done = fresh.run(*command, check=False)
        assert done.returncode != 0
        assert len(done.stderr.strip().splitlines()) == 1
        assert "error: " in done.stderr
