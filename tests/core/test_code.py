"""The fingerprint of a stage's code follows the dependencies that DVC reads."""

from pathlib import Path

import pytest

from alexnet.core import code
from alexnet.core.code import sha256_of_code

PIPELINE = """\
stages:
  train:
    deps: [stages/train.py, alexnet/core, data/records]
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two folders of code, one of which its stage declares."""
    for name in ("stages/train.py", "alexnet/core/deep/a.py", "alexnet/report/b.py", "data/records/c.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("stages/train.py", True),
        ("alexnet/core/deep/a.py", True),
        ("alexnet/core/new.py", True),
        ("alexnet/report/b.py", False),
        ("data/records/c.py", False),
        ("alexnet/core/notes.txt", False),
    ],
)
def test_what_is_declared_counts_and_nothing_else(root: Path, name: str, counts: bool) -> None:
    before = sha256_of_code("train")
    assert sha256_of_code("train") == before
    (root / name).write_text("x = 2\n")
    assert (sha256_of_code("train") != before) == counts


def test_without_the_pipeline_all_of_the_package_counts(root: Path) -> None:
    (root / "dvc.yaml").unlink()
    before = sha256_of_code("train")
    (root / "alexnet/report/b.py").write_text("x = 2\n")
    assert sha256_of_code("train") != before
