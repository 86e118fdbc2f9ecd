"""Files that are complete or absent, folders with one writer, and fingerprints of contents."""

import contextlib
import csv
import fcntl
import glob
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from alexnet.core.errors import HeldError, UserError
from alexnet.core.terminal import say

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import DTypeLike, NDArray

# A partial file that was not touched for this long has no living writer.
STALE_SECONDS = 3600
# Up to this size a file is read through to compare it with its checksum, which takes seconds.
CHEAP_BYTES = 2_000_000_000
CHECKSUM = "checksum"
# The arrays that this project keeps in one file take a few megabytes.
MAX_ARRAYS_BYTES = 256_000_000
# What a spreadsheet takes for a formula (OWASP, "CSV injection"), and what that becomes when it is written.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def fingerprint(**facts: Any) -> str:
    """Return 16 hexadecimal digits that stand for `facts` (anything JSON can hold)."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of what changes when one of the files is written to or replaced, cheaply.

    A copy keeps the time of its content, but not its inode and the time of that.
    """
    digest = hashlib.sha256()
    for path in paths:
        about = path.stat()
        digest.update(f"{about.st_ino} {about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}\n".encode())
    return digest.hexdigest()


def checksums_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of files in `folder`, for `refuse_damaged`."""
    return {name: sha256_of(folder / name) for name in names}


def refuse_damaged(folder: Path, checksums: dict[str, str], largest: int = CHEAP_BYTES) -> None:
    """Check that files in `folder` still have their `checksums`; any above `largest` bytes is not read.

    Raises:
        FileNotFoundError: one of them is missing.
        ValueError: one of them has changed.
    """
    for name, checksum in checksums.items():
        if (folder / name).stat().st_size <= largest and sha256_of(folder / name) != checksum:
            raise ValueError(f"{name} is damaged: its content has another checksum")


def partial_of(path: Path) -> Path:
    """Return a name beside `path`, different for each writer, for a file or folder that is not complete yet.

    Leftovers of writers that were killed are removed.
    """
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime >= STALE_SECONDS:
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink()
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")


def exists(path: Path) -> bool:
    """Whether there is something at `path`.

    Raises:
        UserError: this cannot be found out.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    return True


@contextlib.contextmanager
def naming_what_cannot_be_written(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into a `UserError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` when the block ends well.

    Raises:
        UserError: the disk is full, the folder cannot be written, or `path` names no file.
    """
    if not path.name:
        raise UserError(f"{path}: found a folder; allowed: the name of a file to write")
    with naming_what_cannot_be_written(path):
        temporary = partial_of(path)
    try:
        with naming_what_cannot_be_written(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        # Where nothing can be written, removing fails as well, and the first error is the one that says why.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_array(path: Path, shape: tuple[int, ...], kind: "DTypeLike") -> "Iterator[NDArray[Any]]":
    """Yield an array that is mapped to a file, which becomes `path` (``.npy``) when the block ends well.

    Raises:
        UserError: the disk is too small or the folder cannot be written.
    """
    import numpy as np

    with replacing(path) as temporary:
        array = np.lib.format.open_memmap(temporary, "w+", kind, shape)
        # Where the disk has no room for a page of a mapped file, the process is ended by a signal.
        with temporary.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        yield array
        array.flush()


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` at once or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as indented JSON, at once or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_checked_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` to `path` as JSON, with a checksum that `parse_checked_json` compares."""
    write_json(path, {**content, CHECKSUM: _checksum_of(content)})


def parse_checked_json(text: bytes) -> Any:
    """Return the content of a JSON file; the checksum, where there is one, is compared and left out.

    Raises:
        ValueError: it is no JSON, or damaged.
    """
    content = json.loads(text)
    if isinstance(content, dict) and CHECKSUM in content:
        expected = content.pop(CHECKSUM)
        if _checksum_of(content) != expected:
            raise ValueError("damaged: its content has another checksum")
    return content


def _checksum_of(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def write_table(path: Path, frame: "pd.DataFrame") -> None:
    """Write the columns of `frame` to `path`, ``.csv`` or ``.parquet``, at once or not at all.

    Parquet has checksums, which `read_parquet` compares. In CSV, texts that a spreadsheet would run as a
    formula get an apostrophe in front; `read_csv` and `alexnet.core.reading.read_rows` take it off again.
    """
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            texts = _with_texts(frame, _no_formula)
            # Python's writer puts no quotes around a text for a carriage return alone; its reader needs them.
            odd = any("\r" in str(text) for name in texts.columns for text in (name, *texts[name]))
            texts.to_csv(temporary, index=False, quoting=csv.QUOTE_NONNUMERIC if odd else csv.QUOTE_MINIMAL)
        else:
            frame.to_parquet(temporary, index=False, write_page_checksum=True)


def read_csv(path: Path, **options: Any) -> "pd.DataFrame":
    """Read a CSV table that `write_table` wrote; `options` are those of `pandas.read_csv`."""
    import pandas as pd

    return _with_texts(pd.read_csv(path, **options), as_it_was)


def as_it_was(cell: Any) -> Any:
    """Return a cell of a CSV table as it was before `write_table` wrote it."""
    return cell[1:] if isinstance(cell, str) and cell[0:1] == "'" and _FORMULA.match(cell) else cell


def _no_formula(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def _with_texts(frame: "pd.DataFrame", change: Callable[[Any], Any]) -> "pd.DataFrame":
    numbers = frame.select_dtypes("number").columns
    changed = frame.copy()
    for name in frame.columns.difference(numbers, sort=False):
        changed[name] = frame[name].map(change)
    return changed.rename(columns=change)


def read_parquet(path: Path) -> "pd.DataFrame":
    """Read a table that `write_table` wrote.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is damaged.
    """
    import pandas as pd

    content = path.read_bytes()
    try:
        return pd.read_parquet(io.BytesIO(content), page_checksum_verification=True)
    except (OSError, ValueError, LookupError, TypeError, NotImplementedError) as error:
        raise ValueError(f"{path} is damaged: {str(error).splitlines()[0]}") from None


def read_arrays(path: Path) -> "dict[str, NDArray[Any]]":
    """Read the arrays of an ``.npz`` file of this project.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is damaged.
    """
    import numpy as np

    content = path.read_bytes()
    try:
        # NumPy compares the checksums of the values only, not those of its headers.
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            if sum(member.file_size for member in file.infolist()) > MAX_ARRAYS_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_ARRAYS_BYTES:,} bytes")
            changed = file.testzip()
        if changed:
            raise ValueError(f"{changed} has another checksum")
        with np.load(io.BytesIO(content)) as arrays:
            return dict(arrays)
    except Exception as error:
        # The readers of zip files and of arrays raise nearly anything.
        raise ValueError(f"{path} is damaged: {error}") from None


def add_to_tar(tar: tarfile.TarFile, name: str, content: bytes) -> int:
    """Append a file without owner and time, so that equal contents give equal bytes.

    Returns:
        Where its content begins in the tar, in bytes.
    """
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
    # The content ends at the tar's end, padded to whole blocks.
    return int(tar.offset) - -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


@contextlib.contextmanager
def sole_writer(folder: Path, timeout_seconds: float) -> Iterator[None]:
    """Hold `folder` (made if absent) against other processes; the lock ends with the process.

    Raises:
        HeldError: another process still holds it after `timeout_seconds`.
        UserError: it cannot be written.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        with naming_what_cannot_be_written(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                file = (folder / "lock").open("wb")
            except FileNotFoundError:
                # Whoever held it before has removed the folder since.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
                continue
        with file:
            # Nothing is made in the folder while it is held: the holder may be removing it.
            is_told = False
            while not _locked(file):
                if time.monotonic() > deadline:
                    raise HeldError(
                        f"{folder}: held by another process for {timeout_seconds:g} s"
                        " (see timeout_seconds of machine.yaml). Wait for it or stop it."
                    )
                if not is_told:
                    say(f"{folder}: held by another process; waiting for it, {timeout_seconds:g} s at most")
                is_told = True
                time.sleep(0.2)
            # It may have removed the folder, and this lock with it.
            if os.fstat(file.fileno()).st_nlink:
                yield
                return


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            f"{file.name}: cannot be locked ({error.strerror or error}), which the file system of this folder"
            " must allow (NFS and Lustre may have to be mounted for it)"
        ) from None
    return True


def remove_unless_held(folder: Path) -> bool:
    """Remove a folder of state; return False where another process holds it.

    Raises:
        UserError: it cannot be removed.
    """
    try:
        with sole_writer(folder, 0), naming_what_cannot_be_written(folder):
            shutil.rmtree(folder)
    except HeldError:
        return False
    return True
