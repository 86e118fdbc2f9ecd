"""Files that are complete or absent, folders with one writer, and fingerprints of contents."""

import contextlib
import fcntl
import glob
import hashlib
import io
import json
import os
import secrets
import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alexnet.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

STATE = Path(".state")
# A partial file that was not touched for this long has no living writer.
STALE_SECONDS = 3600


def fingerprint(**facts: Any) -> str:
    """Return 16 hexadecimal digits that stand for `facts` (anything JSON can hold)."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def partial_of(path: Path) -> Path:
    """Return a name beside `path`, different for each writer, for a file or folder that is not complete yet.

    Leftovers of writers that were killed are removed.
    """
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime < STALE_SECONDS:
                continue
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")


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
        UserError: the disk is full or the folder cannot be written.
    """
    temporary = partial_of(path)
    try:
        with naming_what_cannot_be_written(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` at once or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as indented JSON, at once or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_table(path: Path, frame: "pd.DataFrame") -> None:
    """Write the columns of `frame` to `path`, ``.csv`` or ``.parquet``, at once or not at all."""
    with replacing(path) as temporary:
        write = frame.to_csv if path.suffix == ".csv" else frame.to_parquet
        write(temporary, index=False)


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
        UserError: another process still holds it after `timeout_seconds`, or it cannot be written.
    """
    with naming_what_cannot_be_written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w", encoding="utf-8")
    with lock as file:
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"{folder}: held by another process for {timeout_seconds:g} s"
                        " (timeout_seconds of machine.yaml). Wait for it or stop it."
                    ) from None
                time.sleep(0.2)
        yield
