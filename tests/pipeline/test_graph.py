"""Each stage declares the code, files and parameters that it reads."""

from pathlib import Path

import pytest
from conftest import ROOT, Project
from ruamel.yaml import YAML

STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
# Read by every stage, and no dependency on purpose: it changes no number.
MACHINE = "machine.yaml"
CODE = ("alexnet/", "stages/")
# A fingerprint looks at what is declared, and Python at an editable install.
HOUSEKEEPING = (".state/", "dvc.yaml", "__editable__")


def opened_by(stage: str, readings: Path) -> set[str]:
    """Return the files of the project that a stage opened or imported."""
    return set((readings / f"{stage}.files").read_text().splitlines())


def _files_below(folder: Path, path: str) -> set[str]:
    whole = folder / path
    if whole.is_dir():
        files = [file for file in whole.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
        return {str(file.relative_to(folder)) for file in files}
    return {path}


@pytest.mark.parametrize("name", list(STAGES))
def test_what_a_stage_imports_lies_within_what_it_declares(
    name: str, reproduced: Project, readings: Path
) -> None:
    used = {path for path in opened_by(name, readings) if path.startswith(CODE) and ".pyc" not in path}
    declared = {dep: _files_below(reproduced.folder, dep) for dep in STAGES[name]["deps"]}
    # The packages themselves, on the way to their folders, change no number.
    assert used - set().union(*declared.values()) <= {"alexnet/__init__.py", "stages/__init__.py"}
    assert STAGES[name]["cmd"] == f"exec python -m stages.{name}"
    for dep, files in declared.items():
        if f"{dep}/".startswith(CODE):
            assert files & used, f"{dep}: declared, and nothing of it is used"


@pytest.mark.parametrize("name", list(STAGES))
def test_data_dependencies_cover_what_a_stage_opens(name: str, reproduced: Project, readings: Path) -> None:
    stage = STAGES[name]
    # An output with a flag is a mapping of its path to the flag.
    outs = [out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]]
    declared, own = (
        set().union(*(_files_below(reproduced.folder, path) for path in paths))
        for paths in (stage["deps"], outs)
    )
    opened = {
        path
        for path in opened_by(name, readings)
        if not path.startswith(CODE + HOUSEKEEPING) and not path.endswith(".partial")
    }
    # The raw pictures are read through the index, which names their sizes.
    raw = {path for path in opened if path.startswith("data/sample/")} if name == "preprocess" else set()
    parameters = {"params.yaml"} if stage.get("params") else set()
    assert opened - own - raw <= declared | parameters | {MACHINE}


@pytest.mark.parametrize("name", [name for name in STAGES if name != "check"])
def test_parameter_dependencies_are_the_sections_read(name: str, reproduced: Project, readings: Path) -> None:
    declared = {key.split(".")[0] for key in STAGES[name].get("params", [])}
    assert declared == {*(readings / f"{name}.params").read_text().splitlines()}
