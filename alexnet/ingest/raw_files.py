"""The raw files: on a disk or behind a URL, whole or in parts (``NAME.001``, ``NAME.002``, … are ``NAME``).

A URL is opened by fsspec, by way of universal_pathlib, whose paths have the methods of `pathlib.Path`.
"""

import contextlib
import glob
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from alexnet.core.errors import UserError
from alexnet.core.machine import is_url

# Bytes that one request to a remote file asks for: pictures are read in the order in which they lie.
REQUEST_BYTES = 8_000_000


class UnreachableError(UserError):
    """A remote file cannot be read now; a later attempt may succeed."""


def root_of(data_root: str) -> Path:
    """Return the folder with the raw files; for a URL, an object that has the methods of a path.

    Raises:
        UserError: there is no such kind of URL, or the library that opens it is not installed.
    """
    if not is_url(data_root):
        try:
            return Path(data_root).expanduser()
        except RuntimeError as error:
            raise UserError(f"machine.yaml: data_root: found {data_root}: {error}") from None
    try:
        from upath import UPath

        root: Any = UPath(data_root)
        with reaching(root):
            root.is_dir()
    except ImportError as error:
        raise UserError(f"machine.yaml: data_root: found {data_root}: {error} (with pip)") from None
    except ValueError as error:
        raise UserError(f"machine.yaml: data_root: found {data_root}: {error}") from None
    return root


def is_remote(path: Path) -> bool:
    """Whether `path` lies behind a URL."""
    return not isinstance(path, Path)


@contextlib.contextmanager
def reaching(path: Path) -> Iterator[None]:
    """Turn what the libraries behind a URL raise, which can be anything, into an `UnreachableError`."""
    try:
        yield
    except (UserError, ImportError):
        raise
    except Exception as error:
        if not is_remote(path):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreachableError(
            f"{path}: cannot be reached: {reason}. What is finished is kept: run again."
        ) from None


def parts_of(path: Path) -> list[Path]:
    """Return the files that hold `path`: itself or, if it exists only in parts, the parts in order.

    Raises:
        UserError: a part is missing.
    """
    with reaching(path):
        if path.exists():
            return [path]
        found = list(path.parent.glob(f"{glob.escape(path.name)}.*"))
    numbered = {int(part.suffix[1:]): part for part in found if re.fullmatch(r"\.\d+", part.suffix)}
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
    """Return the size in bytes of a file, or of its parts, and a number that changes when it changes.

    This is the time of the last change in nanoseconds, or for a remote file a digest of what its server says
    about it.
    """
    parts = parts_of(path)
    with reaching(path):
        sizes = sum(part.stat().st_size for part in parts)
        return sizes, max(_version(part) for part in parts)


def _version(path: Any) -> int:
    # 15 hexadecimal digits fit into 64 bits.
    return int(path.fs.ukey(path.path)[:15], 16) if is_remote(path) else path.stat().st_mtime_ns


def open_whole(path: Path) -> BinaryIO:
    """Open a file, or its parts as if they were one, for reading."""
    parts = parts_of(path)
    if parts != [path]:
        return io.BufferedReader(_Joined(parts))
    return io.BufferedReader(_Remote(path)) if is_remote(path) else path.open("rb")


class _Remote(io.RawIOBase):
    """A remote file whose errors are `UnreachableError`s."""

    def __init__(self, path: Any) -> None:
        self._path = path
        with reaching(path):
            self._file = path.open("rb", block_size=REQUEST_BYTES, cache_type="readahead")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with reaching(self._path):
            return int(self._file.seek(offset, whence))

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        with reaching(self._path):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _Joined(io.RawIOBase):
    def __init__(self, parts: list[Path]) -> None:
        self._files = [open_whole(part) for part in parts]
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
