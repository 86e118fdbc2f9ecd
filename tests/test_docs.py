"""What the Markdown files name exists, and the commands that they show are known."""

import importlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import ROOT
from documents import FILES, anchors, blocks, commands, text_of
from dvc.cli.parser import get_main_parser  # type: ignore[import-untyped]

from alexnet.cli.main import app
from alexnet.core.params import load_yaml

README_BYTES = 8000
# Git ignores these folders: they hold what a run makes.
MADE = {".state", ".venv", "data", "models"}
# What running an experiment and `make docs` make beside files of the project.
MADE_BESIDE = {"experiments/NAME/dvc.yaml", "docs/_build/index.html"}


def test_the_readme_is_read_in_three_minutes() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= README_BYTES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = text_of(path)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:href|src)="([^"]+)"', text)
    assert [link for link in links if not re.match(r"\w+:", link) and not _leads_somewhere(path, link)] == []


def _leads_somewhere(path: Path, link: str) -> bool:
    place, _, anchor = link.partition("#")
    target = path.parent / place if place else path
    return target.exists() and (not anchor or anchor in anchors(target))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_paths_in_backticks_exist(path: Path) -> None:
    tokens = re.findall(r"`([\w.*-]+/[\w./*-]*)`", text_of(path))
    assert [token for token in tokens if _is_stale(token, ROOT) or _is_stale(token, path.parent)] == []


def _is_stale(token: str, folder: Path) -> bool:
    """Return whether `token` begins as a path in `folder` and is none; a word in capitals may be any name."""
    first = token.partition("/")[0]
    pattern = re.sub(r"\b[A-Z]{4,}\b(?!\.)", "*", token).rstrip("/")
    if first in MADE or token in MADE_BESIDE:
        return False
    return (folder / first).exists() and not any(folder.glob(pattern))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_names_said_to_be_in_a_module_are_there(path: Path) -> None:
    assert list(_absent(text_of(path))) == []


def _absent(text: str) -> Iterator[str]:
    for module, names in re.findall(r"`([\w/]+\.py)` \(((?:`\w+`(?:, )?)+)\)", text):
        for name in re.findall(r"\w+", names):
            defined = rf"^(def|class) {name}\b|^{name}\b.* = "
            if not re.search(defined, (ROOT / module).read_text(), re.MULTILINE):
                yield f"{module}: {name}"


def test_the_tree_in_the_readme_is_that_of_the_project() -> None:
    (tree,) = blocks(ROOT / "README.md", "")
    shown = set(re.findall(r"([\w.]+)/ ", tree))
    there = {path.parent.name for path in (ROOT / "alexnet").glob("*/__init__.py")}
    assert there <= shown
    assert [n for n in shown if not (ROOT / n).exists() and not (ROOT / "alexnet" / n).exists()] == []


def _parse_typer(app: typer.Typer, arguments: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(command.name, arguments)


def _parse_module(arguments: list[str]) -> None:
    """Take the options of a module's ``main`` after ``-m``; those before are of the program."""
    name, *options = arguments[arguments.index("-m") + 1 :]
    shown = typer.Typer()
    module = importlib.import_module(name)
    # A package's command is in a module of its own.
    module = importlib.import_module(f"{name}.__main__") if hasattr(module, "__path__") else module
    shown.command()(module.main)
    _parse_typer(shown, options)


def _parse_dvc(arguments: list[str]) -> None:
    parsed = get_main_parser().parse_args(arguments)
    if arguments[0] in ("repro", "commit"):
        stages = load_yaml(ROOT / "dvc.yaml")["stages"]
        unknown = [t for t in parsed.targets if t not in stages and not (ROOT / t).exists()]
        assert unknown == []


def _parse_make(arguments: list[str]) -> None:
    subprocess.run(["make", "-n", *arguments], cwd=ROOT, check=True, capture_output=True)


PARSERS: dict[str, Callable[[list[str]], None]] = {
    "alexnet": partial(_parse_typer, app),
    "python": _parse_module,
    "torchrun": _parse_module,
    "dvc": _parse_dvc,
    "make": _parse_make,
}


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_commands_are_known_with_their_options(command: Sequence[str]) -> None:
    program, *arguments = command[1:] if command[0] == "time" else command
    if program in PARSERS:
        PARSERS[program](arguments)
    else:
        assert program == "source" or shutil.which(program)
