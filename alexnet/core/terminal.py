"""What people see of a command: one line at a time, whatever a name holds and wherever the line goes."""

import contextlib
import os
import re
import signal
import sys
from typing import Any, TextIO

from tqdm import tqdm

from alexnet.core.places import STATE

# Where a stage's output goes once nothing reads its stdout any more.
OUTPUT = STATE / "output.log"
# The bars that are drawn at the moment; they make way for what is said.
BARS: list["tqdm[Any]"] = []
# Characters that move the cursor, end the line, turn the direction of a text, or are no characters.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(text: str) -> str:
    """Return `text` with control and direction-changing characters shown as escapes."""
    return _UNSEEN.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def say(line: str, stream: TextIO | None = None) -> None:
    """Print one line, on stdout by default, at once; what would act on the terminal is shown as an escape.

    Where the reader has gone, as after ``| head``, or the disk of a log is full, a command ends. A stage is
    asked to stop as by SIGTERM, so that training saves its state; what it still says stands in ``.state``.
    """
    stream = stream or sys.stdout
    # None where it was closed before the command began.
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    shown = escaped(line).encode(encoding, "backslashreplace").decode(encoding)
    try:
        with tqdm.external_write_mode(stream) if BARS else contextlib.nullcontext():
            print(shown, file=stream, flush=True)
    except OSError:
        # Stages handle this signal, from their beginning on; other commands do not.
        is_stage = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        _lead_elsewhere(stream, str(OUTPUT) if is_stage else os.devnull, shown)
        if not is_stage:
            raise SystemExit(128 + signal.SIGPIPE) from None
        signal.raise_signal(signal.SIGTERM)


def _lead_elsewhere(stream: TextIO, place: str, line: str) -> None:
    """Have `line`, and all that is still written to `stream`, go to the file `place`."""
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(file, stream.fileno())
        os.close(file)
        print(line, file=stream, flush=True)
