"""The preprocess stage, under the real dvc or alone, killed with SIGKILL while it is at work."""

import sys

import pytest
from conftest import Project, make_project, wait_until
from tiny import hashes

DVC = ("dvc", "repro", "-f", "-s", "preprocess")
STAGE = (sys.executable, "-m", "stages.preprocess")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, str]]:
    """A project whose store is there, and the store's hashes."""
    project = make_project(tmp_path_factory.mktemp("killed") / "project")
    project.set("sample.train_per_class", 40)
    project.set("preprocess.shard_pictures", 2)
    for stage in ("sample", "index", "preprocess"):
        project.run(sys.executable, "-m", f"stages.{stage}")
    return project, hashes(project.folder / "data/records")


@pytest.mark.parametrize(
    ("command", "shuffle", "finished"),
    [(DVC, "seek", "*/train-*.parquet"), (STAGE, "scatter", "*/run-*/rows.parquet")],
    ids=["dvc", "stage"],
)
def test_a_killed_preprocessing_goes_on_to_the_same_store(
    prepared: tuple[Project, dict[str, str]], command: tuple[str, ...], shuffle: str, finished: str
) -> None:
    project, expected = prepared
    project.set("shuffle", shuffle, "machine.yaml")
    state = project.folder / ".state/preprocess"
    running = project.start(*command)
    wait_until(lambda: list(state.glob(finished)), running)
    running.kill()
    running.wait(60)
    assert list(state.glob(finished))
    # At once: a stage that dvc left behind is either gone or waited for, never joined.
    project.run(*command)
    assert hashes(project.folder / "data/records") == expected
    assert list(state.iterdir()) == []
