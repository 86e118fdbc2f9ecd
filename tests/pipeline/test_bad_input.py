"""A user's mistake stops the pipeline with one line that names it, never with a traceback."""

from pathlib import Path

import pytest
from conftest import ROOT, Project, copied, make_project, stages_run

from alexnet.check import check
from alexnet.core.errors import UserError


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("fresh"))


def error_of(output: str) -> str:
    """Return the one line that names the mistake."""
    assert "Traceback" not in output
    (line,) = (line for line in output.splitlines() if line.startswith("error:"))
    return line


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("train.epochs", "many", "train.epochs: found many; allowed: a whole number of at least 1"),
        ("train.epochs", 0, "train.epochs: found 0; allowed: a whole number of at least 1"),
        ("train.epoch", 3, "train.epoch: unknown key"),
        ("model.activation", "gelu", "found gelu; allowed: relu | tanh | abs_tanh"),
        ("model.response_norm.size", 4, "model.response_norm: size: found 4; allowed: an odd number"),
        ("model.patch", 227, "model.patch: unknown key"),
        ("trian", {}, "trian: unknown key"),
        ("augment.mirror", 1, "augment.mirror: found 1; allowed: true or false"),
        ("train.schedule.drop_epochs", [3, 2], "drop_epochs: found epochs [3, 2]; allowed: ascending"),
    ],
)
def test_a_wrong_parameter_is_named(tmp_path: Path, key: str, value: object, expected: str) -> None:
    project = Project(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    project.set(key, value)
    with pytest.raises(UserError) as caught:
        check(tmp_path / "params.yaml", tmp_path / "machine.yaml")
    assert f"params.yaml: {key.partition('.')[0]}" in str(caught.value)
    assert expected in str(caught.value)


def test_a_missing_parameter_is_named(tmp_path: Path) -> None:
    lines = (ROOT / "params.yaml").read_text().splitlines()
    (tmp_path / "params.yaml").write_text("\n".join(line for line in lines if "momentum:" not in line))
    with pytest.raises(
        UserError, match=r"train\.momentum: missing; allowed: a number of at least 0 and below 1"
    ):
        check(tmp_path / "params.yaml", tmp_path / "machine.yaml")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("wokers: 2", r"wokers: unknown key"),
        ("workers: none", r"workers: found none; allowed: auto or a whole number of at least 1"),
        ("devices: 7", r"devices: found 7; allowed: 1 or an even number"),
        ("devices: both", r"devices: found both; allowed: auto or a whole number of at least 1"),
        ("workers: [", r"line 2: is not valid YAML"),
    ],
)
def test_a_wrong_machine_file_is_named(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "machine.yaml").write_text(f"{content}\n")
    with pytest.raises(UserError, match=rf"machine\.yaml: {expected}"):
        check(ROOT / "params.yaml", tmp_path / "machine.yaml")


def test_either_file_stops_the_pipeline_before_any_work(fresh: Project, tmp_path: Path) -> None:
    project = copied(fresh, tmp_path)
    project.set("workers", "none", "machine.yaml")
    outputs = [project.repro(check=False)]
    project.set("workers", 1, "machine.yaml")
    project.set("train.epoch", 3)
    outputs.append(project.repro(check=False))
    for output, expected in zip(outputs, ("machine.yaml: workers", "params.yaml: train.epoch"), strict=True):
        assert stages_run(output) == ["check"]
        assert expected in error_of(output)


def test_a_data_root_that_is_not_set_is_told_where_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"machine\.yaml: data_root: not set"):
        check(ROOT / "profiles/imagenet-2012-paper.yaml", tmp_path / "machine.yaml")


def test_command_line_mistakes_are_one_line(fresh: Project, tmp_path: Path) -> None:
    picture = tmp_path / "text.jpg"
    picture.write_text("no picture")
    for command in (
        [
            "python",
            "-m",
            "alexnet.cli",
            "predict",
            str(picture),
            "--weights",
            str(tmp_path / "none.safetensors"),
        ],
        ["python", "-m", "alexnet.cli", "describe", "--params", str(tmp_path / "none.yaml")],
        ["python", "-m", "stages.train", "--params", str(tmp_path / "none.yaml")],
    ):
        done = fresh.run(*command, check=False)
        assert done.returncode != 0
        assert len(done.stderr.strip().splitlines()) == 1
        assert "error: " in done.stderr
