"""Progress in plain lines, and as a bar on a terminal."""

import contextlib
import os
import pty
import subprocess
import sys
import termios

import pytest

from alexnet.core.progress import Progress, bytes_in_words, duration


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that `Progress` sees, in a list of its own."""
    now = [100.0]
    monkeypatch.setattr("alexnet.core.progress.time.monotonic", lambda: now[0])
    return now


def test_lines_tell_rate_and_time_left(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    with Progress("train", 1000, "auto") as shown:
        shown.relabel("epoch 1/2")
        clock[0] += 20
        shown.advance(400, "loss 1.5")
        clock[0] += 1
        shown.advance(100)
        shown.relabel("epoch 2/2")
        clock[0] += 29
        shown.advance(500)
        shown.relabel("train")
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1/2: 400/1000 pictures, 20 pictures/s, 30 s left, loss 1.5",
        "epoch 2/2: 1000/1000 pictures, 20 pictures/s, 0 s left",
        "train: 1000/1000 pictures, 20 pictures/s, in 50 s",
    ]


TALKING = """
import sys, time
from alexnet.core.progress import Progress
from alexnet.core.terminal import say

with Progress("train", 3, "auto") as shown:
    for epoch in (1, 2, 3):
        shown.relabel(f"epoch {epoch}/3")
        time.sleep(0.3)
        shown.advance(1, "loss 1.5")
        say(f"epoch {epoch} is done")
"""


def test_on_a_terminal_a_bar_makes_way_for_what_is_said() -> None:
    master, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    running = subprocess.Popen([sys.executable, "-c", TALKING], stdout=terminal, stderr=terminal)
    os.close(terminal)
    written = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 1024):
            written += chunk
    os.close(master)
    assert running.wait() == 0
    text = written.decode()
    assert "epoch 2/3:  67%" in text
    assert "loss 1.5" in text
    screen = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
    for epoch in (1, 2, 3):
        assert screen.count(f"epoch {epoch} is done") == 1, screen


def test_work_done_earlier_is_no_speed(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
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
