"""How long stages took: kept when they end well, read without a stumble."""

import time
from pathlib import Path

import pytest

from alexnet.core.durations import read_durations, recorded


def test_a_stage_that_ends_well_leaves_its_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    def stage(number: int, *, fails: bool = False) -> None:
        time.sleep(0.2)
        told.append(number)
        if fails:
            raise ValueError("no")

    timed = recorded(stage, tmp_path)
    monkeypatch.setenv("DVC_STAGE", "experiments/ensemble/dvc.yaml:evaluate")
    timed(1)
    monkeypatch.delenv("DVC_STAGE")
    timed(2)
    assert not [*tmp_path.iterdir()]
    monkeypatch.setenv("DVC_STAGE", "evaluate")
    timed(3)
    written = (tmp_path / "evaluate.json").read_text()
    assert 0.2 <= read_durations(tmp_path)["evaluate"] < 60
    with pytest.raises(ValueError, match="no"):
        timed(4, fails=True)
    assert told == [1, 2, 3, 4]
    assert (tmp_path / "evaluate.json").read_text() == written


def test_what_is_damaged_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (("index", '{"seconds": 2}'), ("train", "{"), ("check", '{"minutes": 1}')):
        (tmp_path / f"{name}.json").write_text(content)
    assert read_durations(tmp_path) == {"index": 2.0}
    named = [line.split(": ")[0] for line in capsys.readouterr().out.splitlines()]
    assert named == [str(tmp_path / name) for name in ("check.json", "train.json")]
    assert read_durations(tmp_path / "absent") == {}


def test_a_folder_of_another_user_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "glob", forbidden)
    assert read_durations(tmp_path) == {}
    assert capsys.readouterr().out == f"{tmp_path}: cannot be read, so no time is shown (Permission denied)\n"


def test_a_time_that_cannot_be_written_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "train")
    (tmp_path / "durations").write_text("no folder")
    told: list[str] = []
    recorded(told.append, tmp_path / "durations")("done")
    assert told == ["done"]
    assert (tmp_path / "durations").read_text() == "no folder"
