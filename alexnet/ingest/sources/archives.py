"""Lists of the files in tars and zips, from their headers alone."""

import contextlib
import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.core.terminal import say
from alexnet.ingest.raw_files import identity, open_whole
from alexnet.ingest.sources.listing import MEMBERS, Member
from alexnet.ingest.sources.pictures import is_utf8
from alexnet.ingest.stored import READABLE

AGAIN = "Download it again."
_ENCRYPTED = 1
# Zeros that may fill a tar up at its end: GNU tar writes up to 10 kB of them, other block sizes need more.
MAX_PADDING = 2**16


@contextlib.contextmanager
def opened_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar for reading, compressed if its name says so.

    Raises:
        UserError: it is cut short or broken; also while it is read.
    """
    try:
        with open_whole(path) as file:
            stream = gzip.GzipFile(fileobj=file) if is_packed(path) else file
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                yield tar
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise _unreadable(path, "tar", error) from None


def _unreadable(path: Path, kind: str, error: Exception) -> UserError:
    if isinstance(error, OSError) and error.errno is not None:
        return UserError(f"{path}: cannot be read: {error.strerror}")
    return UserError(f"{path}: not a whole {kind} ({error}). {AGAIN}")


def is_packed(path: Path) -> bool:
    """Whether a tar is compressed, by its name."""
    return path.suffix in (".gz", ".tgz")


def scan_tar(path: Path) -> pd.DataFrame:
    """List the files in a tar, and in the tars inside it.

    Returns:
        One row per file: container (the inner tar's name, or empty), name, offset (in bytes from
        the start of the outer file, unpacked) and size.

    Raises:
        UserError: the tar is cut short or broken, or a member is neither file nor folder.
    """
    rows: list[Member] = []
    if is_packed(path):
        say(f"index: {path.name} is read through once, as a compressed tar has no list of its members")
    with opened_tar(path) as outer:
        for member in _members(outer, path):
            if not member.name.endswith(".tar"):
                rows.append(("", member.name, member.offset_data, member.size))
                continue
            with tarfile.open(fileobj=outer.extractfile(member), mode="r:") as inner:
                rows += [
                    (member.name, file.name, member.offset_data + file.offset_data, file.size)
                    for file in _members(inner, path)
                ]
    return _checked(path, rows, "tar")


def scan_zip(path: Path) -> pd.DataFrame:
    """List the files in a zip.

    Returns:
        As `scan_tar`, without containers; the offset is that of the member's own header, which
        says where its bytes begin (reading each header here would cost a seek per picture), and the
        size that of the bytes as they lie there.

    Raises:
        UserError: the zip is cut short or broken, or a member is encrypted, packed in another way
            than deflated, or named to lie outside.
    """
    rows: list[Member] = []
    try:
        with zipfile.ZipFile(path) as packed:
            for member in packed.infolist():
                if member.is_dir():
                    continue
                refuse_outside(path, member.filename)
                if member.flag_bits & _ENCRYPTED or member.compress_type not in READABLE:
                    raise UserError(f"{path}: {member.filename} is neither stored nor deflated; not read")
                rows.append(("", member.filename, member.header_offset, member.compress_size))
    except UserError:
        raise
    except Exception as error:
        # Python's reader raises nearly anything.
        raise _unreadable(path, "zip", error) from None
    members = _checked(path, rows, "zip")
    in_order = members.sort_values("offset")
    ends = in_order["offset"] + in_order["size"]
    if (ends.to_numpy()[:-1] > in_order["offset"].to_numpy()[1:]).any():
        raise UserError(f"{path}: its directory lists members that overlap; not read. {AGAIN}")
    return members


def _checked(path: Path, rows: list[Member], kind: str) -> pd.DataFrame:
    members = pd.DataFrame(rows, columns=MEMBERS)
    if members.empty:
        raise UserError(f"{path}: an empty {kind}. {AGAIN}")
    if members["offset"].min() < 0:
        raise UserError(f"{path}: a member is said to begin before the file does. {AGAIN}")
    end, _ = identity(path)
    if (members["offset"] + members["size"]).max() > end and not is_packed(path):
        raise UserError(f"{path}: cut short at {end} bytes. {AGAIN}")
    return members


def _members(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    for member in whole(tar, path):
        if member.isdir():
            continue
        if not member.isreg():
            raise UserError(f"{path}: found {member.name}, which is no plain file; not read")
        refuse_outside(path, member.name)
        yield member


def whole(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a tar of the file `path`, and then check that it ends where the last one does.

    Raises:
        UserError: a name cannot be written, or a member is not stored whole.
        tarfile.ReadError: it does not end there.
    """
    for member in tar:
        if not is_utf8(member.name):
            raise UserError(f"{path}: found {member.name!r}; allowed: names in UTF-8. Pack it anew.")
        if member.issparse():
            # Its bytes lie there without its zeros, behind a list of where those were.
            raise UserError(
                f"{path}: found {member.name}, stored as a sparse file; allowed: files stored whole."
                " Pack it anew without --sparse."
            )
        member.name = member.name.removeprefix("./")
        yield member
    # tarfile takes a broken or missing header for the end, and zeros that stand for lost members, too.
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    rest = tar.fileobj.read(MAX_PADDING + 1)
    if len(rest) < tarfile.BLOCKSIZE or len(rest) > MAX_PADDING or any(rest):
        raise tarfile.ReadError(f"no end where one is due, at {tar.offset} bytes")


def refuse_outside(path: Path, name: str) -> None:
    """Refuse a member whose name leads out of the archive `path` with a `UserError`."""
    if ".." in name.split("/") or name.startswith("/"):
        raise UserError(f"{path}: found {name}, which lies outside of it; not read")
