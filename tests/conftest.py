"""A tiny copy of the project in which the real `dvc` runs the real stages."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from alexnet.core.files import sole_writer

# Two test processes share two cores: more threads would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What is compared bit for bit is compared on CPUs, also on a machine with GPUs.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# Triton reads it when it is imported: without a GPU its kernels are interpreted.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = Path(__file__).parent.parent
COPIED = (
    "alexnet",
    "stages",
    "experiments",
    "profiles",
    "params.yaml",
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
)


@dataclass
class Project:
    """A clone-like folder with its own Git and DVC, and parameters small enough for seconds."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which the copy's own code is imported, and `python` is this one."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", "COLUMNS": "200", **self.environment}

    def run(
        self, *command: str, check: bool = True, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder; with `check` a failure shows its output."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=timeout
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command in the folder, in silence unless the `options` of `Popen` say otherwise."""
        silence = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(
            command, cwd=self.folder, env=self.variables, text=True, **{**silence, **options}
        )

    def repro(self, *arguments: str, check: bool = True) -> str:
        """Run `dvc repro` and return all that it printed."""
        done = self.run("dvc", "repro", *arguments, check=check)
        return done.stdout + done.stderr

    def set(self, key: str, value: object, file: str = "params.yaml") -> None:
        """Change one dotted key of a YAML file."""
        yaml, path = YAML(), self.folder / file
        content = yaml.load(path.read_text()) if path.exists() else {}
        *groups, last = key.split(".")
        inner = content
        for group in groups:
            inner = inner[group]
        inner[last] = value
        with path.open("w") as out:
            yaml.dump(content, out)

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)


def wait_until(
    condition: Callable[[], object], running: subprocess.Popen[str] | None = None, seconds: float = 120
) -> None:
    """Wait for `condition`, which comes before `running` ends."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert running is None or running.poll() is None, "it ended before that; give it more to do"
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.001)


def stages_run(output: str) -> list[str]:
    """Return which stages `dvc repro` ran, in order."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def make_project(folder: Path) -> Project:
    """Make a tiny project in `folder`: three classes, narrow network, one epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            # A file of compiled code that is being written may be gone before it is copied.
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
        else:
            shutil.copy(source, folder / name)
    project = Project(folder)
    project.run("git", "init", "-q")
    project.run("git", "config", "user.email", "tests@example.org")
    project.run("git", "config", "user.name", "tests")
    project.run("dvc", "init", "-q")
    for key, value in {
        "sample.classes": 3,
        "sample.train_per_class": 8,
        "sample.val_per_class": 4,
        "preprocess.shard_pictures": 10,
        "model.width": 0.05,
        "train.epochs": 1,
        "train.batch_size": 8,
        "retrieve.steps": 20,
        "report.figure_dpi": 50,
    }.items():
        project.set(key, value)
    project.set("workers", 1, "machine.yaml")
    # As on a GPU, so that a stage opens all the code it may need.
    project.set("loader", "dali", "machine.yaml")
    project.commit("tiny parameters")
    return project


@pytest.fixture(scope="session")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stages of `reproduced` leave what they read: see the recorder."""
    own = tmp_path_factory.getbasetemp()
    # All test processes of one run share it, and the project beside it.
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "readings"


@pytest.fixture(scope="session")
def reproduced(readings: Path) -> Project:
    """A tiny project that DVC reproduced and that is committed; tests only read it."""
    folder = readings.with_name("reproduced")
    with sole_writer(readings, 600):
        if not (readings / "complete").exists():
            made = make_project(folder)
            recorder = ROOT / "tests/pipeline/recorder"
            Project(folder, {"PYTHONPATH": str(recorder), "ALEXNET_RECORD": str(readings)}).repro()
            made.commit("first run")
            (readings / "complete").touch()
    return Project(folder)


@pytest.fixture(scope="module")
def project(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of `reproduced` that the tests of one module may change."""
    return copied(reproduced, tmp_path_factory.mktemp("copy"))


def copied(project: Project, folder: Path) -> Project:
    """Copy a project with its results into an empty folder."""
    shutil.copytree(project.folder, folder, symlinks=True, dirs_exist_ok=True)
    return Project(folder)


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Any]:
    """Return a function that indexes a folder; for tests/ingest, where `archives` lies."""
    from archives import builder

    return builder(tmp_path / "state")


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The facts of made results; for tests/report, where `made` lies. Tests only read them."""
    from made import write_results

    from alexnet.report.facts import read_facts

    return read_facts(write_results(tmp_path_factory.mktemp("results")))


@pytest.fixture(scope="session")
def parts(facts: Any) -> list[Any]:
    """All parts of the report of `facts`, which take seconds to draw."""
    from alexnet.report.report import all_parts

    return all_parts(facts)
