"""Each stage depends on exactly the code, files and parameters that it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Project
from ruamel.yaml import YAML

STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
# Read by every stage, and no dependency on purpose: it changes no number.
MACHINE = "machine.yaml"
CODE = ("alexnet/", "stages/")
# DVCLive, in the train stage, looks at the repository it runs in.
HOUSEKEEPING = (".state/", ".git", ".dvc")


@pytest.fixture(scope="module")
def readings(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[set[str], set[str]]]:
    """What each stage opened or imported below the project, and which sections it read."""
    found = {}
    for name, stage in STAGES.items():
        log = tmp_path_factory.mktemp("readings")
        recorder = {
            "PYTHONPATH": str(Path(__file__).parent / "recorder"),
            "ALEXNET_RECORD_FILES": str(log / "files"),
            "ALEXNET_RECORD_PARAMS": str(log / "params"),
        }
        for out in _paths(stage.get("outs", [])):
            # As DVC does before it runs a stage.
            project.run("rm", "-rf", out)
        watched = Project(project.folder, recorder)
        watched.run("sh", "-c", stage["cmd"])
        sections = set()
        if (log / "params").exists():
            sections = {line.split("\t")[1] for line in (log / "params").read_text().splitlines()}
        found[name] = (set((log / "files").read_text().splitlines()), sections)
    return found


def _paths(entries: list[Any]) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def _files_below(folder: Path, path: str) -> set[str]:
    whole = folder / path
    if whole.is_dir():
        files = [file for file in whole.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
        return {str(file.relative_to(folder)) for file in files}
    return {path}


@pytest.mark.parametrize("name", list(STAGES))
def test_code_dependencies_are_what_the_stage_imports(
    name: str, project: Project, readings: dict[str, tuple[set[str], set[str]]]
) -> None:
    declared = set().union(*(_files_below(project.folder, dep) for dep in _paths(STAGES[name]["deps"])))
    code = {path for path in declared if path.startswith(CODE)}
    opened = {path for path in readings[name][0] if path.startswith(CODE) and ".pyc" not in path}
    assert code == opened


@pytest.mark.parametrize("name", list(STAGES))
def test_data_dependencies_cover_what_the_stage_opens(
    name: str, project: Project, readings: dict[str, tuple[set[str], set[str]]]
) -> None:
    stage = STAGES[name]
    declared = set().union(*(_files_below(project.folder, dep) for dep in _paths(stage["deps"])))
    own = set().union(*(_files_below(project.folder, out) for out in _paths(stage["outs"])))
    opened = {
        path
        for path in readings[name][0]
        if not path.startswith(CODE + HOUSEKEEPING) and not path.endswith(".partial")
    }
    # The raw pictures are read through the index, which names their sizes.
    raw = {path for path in opened if path.startswith("data/sample/")} if name == "preprocess" else set()
    parameters = {"params.yaml"} if stage.get("params") else set()
    assert opened - own - raw <= declared | parameters | {MACHINE}


@pytest.mark.parametrize("name", list(STAGES))
def test_parameter_dependencies_are_the_sections_read(
    name: str, readings: dict[str, tuple[set[str], set[str]]]
) -> None:
    if "params.yaml" in STAGES[name]["deps"] and name == "check":
        return
    assert set(STAGES[name].get("params", [])) == readings[name][1]
