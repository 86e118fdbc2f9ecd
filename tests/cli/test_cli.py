"""The command `alexnet`, and the package in Python."""

import importlib
import json
import re
import shlex
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Project
from documents import FILES, blocks, commands, text_of
from PIL import Image
from tiny import PAPER, ROOT, coarse_pictures
from typer.testing import CliRunner

import alexnet
from alexnet.cli.main import app, main
from alexnet.core.errors import UserError
from alexnet.core.places import PRETRAINED, WEIGHTS
from alexnet.evaluation.predictions import load_predictions, save_predictions


def test_describe_prints_the_papers_table_and_takes_other_classes() -> None:
    printed = CliRunner().invoke(app, ["describe", "--params", str(PAPER)]).stdout
    rows = {line.split()[0]: line for line in printed.splitlines()}
    assert rows["conv1"].split()[-1] == "34,944"
    assert "11×11×3, 4" in rows["conv1"]
    assert "55×55×96 → 27×27" in rows["conv1"]
    assert "own column" in rows["conv2"]
    assert "5×5×48" in rows["conv2"]
    assert "both columns" in rows["conv3"]
    assert rows["fc6"].split()[-1] == "37,752,832"
    assert "60,965,224 parameters in all" in printed
    printed = CliRunner().invoke(app, ["describe", "--params", str(PAPER), "--classes", "10"]).stdout
    assert f"{60_965_224 - 990 * 4097:,} parameters" in printed


def test_describe_describes_the_trained_network(reproduced: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reproduced.folder)
    trained = CliRunner().invoke(app, ["describe"]).stdout
    assert "models/alexnet.safetensors: trained, 3 classes" in trained
    run = json.loads((reproduced.folder / "reports/training/run.json").read_text())
    assert f"{run['parameter_count']:,} parameters in all" in trained
    asked = CliRunner().invoke(app, ["describe", "--classes", "3"]).stdout
    assert asked.splitlines()[1:] == trained.splitlines()[1:]
    assert "params.yaml: with 3 classes" in asked


def test_predict_prints_the_likeliest_labels(reproduced: Project, tmp_path: Path) -> None:
    weights, picture = reproduced.folder / "models/alexnet.safetensors", tmp_path / "picture.png"
    Image.fromarray(coarse_pictures(1)[0, :90, :120]).save(picture)
    printed = CliRunner().invoke(app, ["predict", str(picture), "--weights", str(weights)]).stdout
    name, *guesses = printed.splitlines()
    assert name == str(picture)
    assert len(guesses) == 3
    shares = [float(guess.split("%")[0]) for guess in guesses]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.3)

    # One that is no picture does not hide the others.
    both = CliRunner().invoke(app, ["predict", str(tmp_path), str(picture), "--weights", str(weights)])
    assert both.exit_code == 1
    assert both.stdout == printed
    assert both.stderr == f"error: {tmp_path}: cannot be read: Is a directory\n"

    (told,) = alexnet.load(weights).predict([picture])
    assert [guess.wnid for guess in told] == [re.findall(r"n\d+", guess)[-1] for guess in guesses]
    for given in (None, 5, b"picture"):
        with pytest.raises(UserError, match=f"picture: found {type(given).__name__}; allowed: a path"):
            alexnet.load(weights).predict(given)  # type: ignore[arg-type]


def test_before_there_is_a_trained_network_the_one_of_the_repository_is_taken(
    reproduced: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = reproduced.folder / WEIGHTS
    monkeypatch.chdir(tmp_path)
    Image.fromarray(coarse_pictures(1)[0]).save("picture.png")
    without = CliRunner().invoke(app, ["predict", "picture.png"])
    assert "models/alexnet.safetensors: no such file" in without.stderr
    half = CliRunner().invoke(app, ["export", "--weights", str(weights), "--out", str(PRETRAINED)])
    assert "MB; weights and mean image in 16 bits" in half.stdout
    assert PRETRAINED.stat().st_size < 0.51 * weights.stat().st_size
    note, *guesses = CliRunner().invoke(app, ["predict", "picture.png"]).stdout.splitlines()
    assert note.startswith(
        f"{WEIGHTS}: not there (dvc checkout restores one that was trained); {PRETRAINED} is"
    )
    WEIGHTS.parent.mkdir()
    WEIGHTS.symlink_to("removed")
    gone = CliRunner().invoke(app, ["predict", "picture.png"])
    assert (
        "models/alexnet.safetensors: no such file; train one (dvc repro train), restore it (dvc"
        in gone.stderr
    )
    WEIGHTS.unlink()
    shutil.copy(weights, WEIGHTS)
    own = CliRunner().invoke(app, ["predict", "picture.png"]).stdout.splitlines()
    assert [line.split()[1:] for line in own] == [line.split()[1:] for line in guesses]
    refused = CliRunner().invoke(app, ["export", "--out", "network.pt"])
    assert "found network.pt; allowed: a name that ends in .onnx or .safetensors" in refused.stderr
    refused = CliRunner().invoke(app, ["export", "--out", "half.safetensors", "--one-patch"])
    assert "--one-patch: found --out half.safetensors; allowed: only with" in refused.stderr


def test_what_the_documents_show_runs(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("data", "models", "reports", "profiles", "params.yaml"):
        (tmp_path / name).symlink_to(project.folder / name)
    # A command writes into it.
    shutil.copytree(ROOT / "pretrained", tmp_path / "pretrained")
    first = load_predictions(project.folder / "data/predictions")
    save_predictions(tmp_path / "data/first", replace(first, ten=first.ten[:, ::-1]))
    save_predictions(tmp_path / "data/second", first)
    Image.fromarray(coarse_pictures(1)[0]).save(tmp_path / "cat.jpg")
    monkeypatch.chdir(tmp_path)
    shown = {shlex.join(command) for command in commands() if command[0] == "alexnet"}
    shown |= {command for path in FILES for command in re.findall(r"`(alexnet [a-z][^`]*)`", text_of(path))}
    for command in sorted(shown):
        _, *arguments = shlex.split(command)
        if arguments[0] != "import-caffe":  # its file comes from elsewhere
            done = CliRunner().invoke(app, arguments)
            assert done.exit_code == 0, f"{command}: {done.output}"
    for path in FILES:
        for block in blocks(path, "python"):
            exec(compile(block, path.name, "exec"), {})


def test_the_version_and_the_completion_of_the_shell_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"alexnet {alexnet.__version__}\n"
    assert f"version: {alexnet.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    monkeypatch.setenv("SHELL", "/bin/bash")
    words = {"_ALEXNET_COMPLETE": "complete_bash", "COMP_WORDS": "alexnet pre", "COMP_CWORD": "1"}
    assert CliRunner().invoke(app, [], env=words, prog_name="alexnet").stdout.split() == ["predict"]


def test_the_installed_command_is_this_one() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["alexnet"].partition(":")
    assert getattr(importlib.import_module(module), function) is main
