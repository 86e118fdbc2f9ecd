"""Progress in plain lines, where no terminal is."""

import pytest

from alexnet.core.progress import Progress, bytes_in_words, duration


def test_lines_tell_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("alexnet.core.progress.time.monotonic", lambda: clock[0])
    with Progress("epoch 1/2", 1000, "auto") as shown:
        clock[0] += 20
        shown.advance(400, "loss 1.5")
        clock[0] += 1
        shown.advance(100)
        clock[0] += 29
        shown.advance(500)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "epoch 1/2: 400/1000 pictures, 20 pictures/s, 30 s left, loss 1.5"
    assert lines[-1] == "epoch 1/2: 1000/1000 pictures, 20 pictures/s, in 50 s"
    assert len(lines) == 3


def test_work_done_earlier_is_no_speed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("alexnet.core.progress.time.monotonic", lambda: clock[0])
    with Progress("preprocess", 1000, "lines", done=900) as shown:
        clock[0] += 10
        shown.advance(100)
    assert "1000/1000 pictures, 10 pictures/s" in capsys.readouterr().err


def test_none_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("x", 1, "none") as shown:
        shown.advance(1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (93_600, "1 d 2 h"), (86_400, "1 d")],
)
def test_duration_is_as_people_say_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "words"),
    [(123_456, "123 kB"), (2.4e6, "2 MB"), (99.6e6, "100 MB"), (1.2e8, "0.1 GB"), (138e9, "138.0 GB")],
)
def test_bytes_as_people_say_them(size: float, words: str) -> None:
    assert bytes_in_words(size) == words
