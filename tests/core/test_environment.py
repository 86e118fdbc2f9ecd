"""What is set before torch is loaded."""

import os
import tempfile
from pathlib import Path

import pytest

from alexnet.core.environment import prepare_environment


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOMP_SPINCOUNT", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_what_the_user_has_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_environment()
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    prepare_environment()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "compiled")


def test_a_place_that_cannot_be_made_is_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/proc/nowhere")
    prepare_environment()
    expected = f"{tempfile.gettempdir()}/torchinductor_{os.getuid()}"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == expected
    assert capsys.readouterr().err.endswith(f"used is {expected}\n")


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nameless)
    prepare_environment()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"].endswith(f"torchinductor_{os.getuid()}")
