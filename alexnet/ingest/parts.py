"""Files that were split for the way: ``NAME.001``, ``NAME.002`` and so on are read as ``NAME``."""

import glob
import io
import re
from pathlib import Path
from typing import BinaryIO

from alexnet.core.errors import UserError


def parts_of(path: Path) -> list[Path]:
    """Return the files that hold `path`: itself, or its parts in order where they are there instead.

    Raises:
        UserError: a part is missing.
    """
    if path.exists():
        return [path]
    numbered = {
        int(part.suffix[1:]): part
        for part in path.parent.glob(f"{glob.escape(path.name)}.*")
        if re.fullmatch(r"\.\d+", part.suffix)
    }
    # A part that is missing would shift all that follow.
    first = 0 if 0 in numbered else 1
    absent = sorted(set(range(first, max(numbered, default=first) + 1)) - set(numbered)) if numbered else []
    if absent:
        raise UserError(f"{path}: part {absent[0]} of {max(numbered)} is missing. Download it again.")
    return [numbered[number] for number in sorted(numbered)] or [path]


def is_there(path: Path) -> bool:
    """Whether there is the file `path`, or its parts."""
    return all(part.is_file() for part in parts_of(path))


def identity(path: Path) -> tuple[int, int]:
    """Return the size in bytes and the time of the last change in nanoseconds of a file, or of its parts."""
    about = [part.stat() for part in parts_of(path)]
    return sum(each.st_size for each in about), max(each.st_mtime_ns for each in about)


def open_whole(path: Path) -> BinaryIO:
    """Open a file, or its parts as if they were one, for reading."""
    parts = parts_of(path)
    return path.open("rb") if parts == [path] else io.BufferedReader(_Joined(parts))


class _Joined(io.RawIOBase):
    def __init__(self, parts: list[Path]) -> None:
        self._files = [part.open("rb") for part in parts]
        self._ends = [0]
        for part in parts:
            self._ends.append(self._ends[-1] + part.stat().st_size)
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._ends[-1]}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        for file, start, end in zip(self._files, self._ends, self._ends[1:], strict=False):
            if start <= self._place < end:
                file.seek(self._place - start)
                data = file.read(min(len(buffer), end - self._place))
                buffer[: len(data)] = data
                self._place += len(data)
                return len(data)
        return 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()
