"""Progress of long work: a bar on a terminal, plain lines everywhere else."""

import sys
import time
from typing import Any, Literal, Self

from tqdm import tqdm

from alexnet.core.terminal import BARS, say

Style = Literal["auto", "bar", "lines", "none"]

SECONDS_BETWEEN_LINES = 10.0


def chosen_style(style: Style) -> Style:
    """Return what ``auto`` means here: a bar on a terminal, and lines otherwise."""
    if style == "auto":
        return "bar" if sys.stderr and sys.stderr.isatty() else "lines"
    return style


class Progress:
    """Count pictures and show the rate and the time left; a context manager.

    Args:
        label: what is being done, e.g. ``"preprocess"``.
        total: pictures in all.
        style: ``auto`` is a bar on a terminal and lines otherwise.
        done: pictures done before a stop, where work is resumed; they do not count in the rate.
    """

    def __init__(self, label: str, total: int, style: Style, done: int = 0) -> None:
        self._label, self._total, self._style, self._done = label, total, chosen_style(style), done
        self._first = done
        self._start = self._last_line = time.monotonic()
        self._note = ""
        self._bar = None
        if self._style == "bar":
            # No smoothing: after the pause of a validation, the last seconds would tell a wrong time left.
            look: dict[str, Any] = {"file": sys.stderr, "unit": " pictures", "leave": False, "smoothing": 0}
            self._bar = tqdm(total=total, initial=done, desc=label, **look)
            BARS.append(self._bar)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()
            BARS.remove(self._bar)
        if self._style != "none" and exception[0] is None:
            self._line(finished=True)

    def relabel(self, label: str) -> None:
        self._label = label
        if self._bar is not None:
            self._bar.set_description(label)

    def advance(self, pictures: int, note: str = "") -> None:
        """Count `pictures` more as done; `note`, e.g. the loss, is shown at the end of the line."""
        self._done += pictures
        self._note = note
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(pictures)
        elif self._style == "lines":
            now = time.monotonic()
            if now - self._last_line >= SECONDS_BETWEEN_LINES:
                self._last_line = now
                self._line()

    def _line(self, finished: bool = False) -> None:
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = (self._done - self._first) / seconds
        if finished:
            when = f"in {duration(seconds)}"
        else:
            when = f"{duration((self._total - self._done) / rate)} left" if rate else "time left unknown"
        count = f"{self._label}: {self._done}/{self._total} pictures"
        note = f", {self._note}" if self._note else ""
        say(f"{count}, {rate:.0f} pictures/s, {when}{note}", sys.stderr)


def duration(seconds: float) -> str:
    """Return `seconds` as people say it: ``42 s``, ``3 min 20 s``, ``5 h 12 min``, ``2 d 3 h``."""
    whole = round(seconds)
    for size, unit, part, part_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {part_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def bytes_in_words(size: float) -> str:
    """Return a number of bytes as people say it: ``1.2 GB``, ``34 MB``, ``5 kB``."""
    if size >= 1e8:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
