"""The raw files: on a disk or behind a URL, whole or in parts (``NAME.001``, ``NAME.002``, … are ``NAME``).

A URL is opened by fsspec, by way of universal_pathlib, whose paths have the methods of `pathlib.Path`.
"""

import contextlib
import glob
import io
import re
import stat
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from alexnet.core.errors import UserError
from alexnet.core.files import fingerprint
from alexnet.core.machine import is_url

# Bytes that one request to a remote file asks for: pictures are read in the order in which they lie.
REQUEST_BYTES = 8_000_000
# What the servers of different kinds say of a file's content.
SAID_OF_CONTENT = ("etag", "content-md5", "digest", "last-modified", "lastmodified", "mtime", "updated")
# The answers of a server over HTTP that mean that a file is not there; many refuse what they do not list.
ABSENT = (403, 404, 410)


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
    except (ImportError, ValueError) as error:
        how = " (with pip)" if isinstance(error, ImportError) else ""
        raise UserError(f"machine.yaml: data_root: found {data_root}: {error}{how}") from None
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


def stem_of(path: Path) -> str:
    """Return the name of a file without its suffix, as it is called where it lies."""
    over_http = is_remote(path) and getattr(path, "protocol", "") in ("http", "https")
    return urllib.parse.unquote(path.stem) if over_http else path.stem


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
    # Parts are counted from 0 or 1. One that is missing would shift all that follow.
    for number in range(1, max(numbered, default=0)):
        if number not in numbered:
            raise UserError(f"{path}: part {number} of {max(numbered)} is missing. Download it again.")
    return [numbered[number] for number in sorted(numbered)] or [path]


def is_file(path: Path) -> bool:
    """Whether there is the file `path`.

    Raises:
        UnreachableError: its server has not answered, which the libraries would take for an absent file.
    """
    if not is_remote(path):
        return path.is_file()
    with reaching(path):
        try:
            return stat.S_ISREG(path.stat().st_mode)
        except FileNotFoundError as error:
            # Over HTTP, that is raised whatever went wrong.
            if error.__cause__ is None or getattr(error.__cause__, "status", None) in ABSENT:
                return False
            raise error.__cause__ from None


def is_there(path: Path) -> bool:
    """Whether there is the file `path`, or its parts; errors as of `is_file`."""
    return all(is_file(part) for part in parts_of(path))


def identity(path: Path) -> tuple[int, int]:
    """Return the size in bytes of a file, or of its parts, and a number that changes when it changes.

    This is the time of the last change in nanoseconds, or for a remote file a digest of what its server says
    about it.
    """
    parts: list[Any] = parts_of(path)
    with reaching(path):
        sizes = sum(part.stat().st_size for part in parts)
        if is_remote(path):
            # 15 hexadecimal digits fit into 64 bits.
            return sizes, int(fingerprint(parts=[_said_of(part) for part in parts])[:15], 16)
        return sizes, max(part.stat().st_mtime_ns for part in parts)


def _said_of(part: Any) -> list[Any]:
    # fsspec's own key of a file behind http(s) is made of its URL alone.
    said = {key.lower(): value for key, value in part.fs.info(part.path).items()}
    return [part.fs.ukey(part.path), *(said.get(key) for key in SAID_OF_CONTENT)]


def open_whole(path: Path) -> BinaryIO:
    """Open a file, or its parts as if they were one, for reading."""
    parts = parts_of(path)
    if parts == [path] and not is_remote(path):
        return path.open("rb")
    return io.BufferedReader(_Joined(parts))


class _Joined(io.RawIOBase):
    """Files one after another; what goes wrong behind a URL is an `UnreachableError`."""

    def __init__(self, parts: list[Any]) -> None:
        self._parts, self._files, self._ends, self._place = parts, [], [0], 0
        for part in parts:
            options = {"block_size": REQUEST_BYTES, "cache_type": "readahead"} if is_remote(part) else {}
            with reaching(part):
                self._files.append(part.open("rb", **options))
                self._ends.append(self._ends[-1] + self._files[-1].seek(0, io.SEEK_END))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._ends[-1]}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        for number, end in enumerate(self._ends[1:]):
            if self._place < end:
                with reaching(self._parts[number]):
                    self._files[number].seek(self._place - self._ends[number])
                    data = self._files[number].read(min(len(buffer), end - self._place))
                buffer[: len(data)] = data
                self._place += len(data)
                return len(data)
        return 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()
