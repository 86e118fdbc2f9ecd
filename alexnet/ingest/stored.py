"""The bytes of one raw picture, wherever the index says that they are stored."""

import functools
import gzip
import stat
import struct
import threading
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pandas as pd

from alexnet.core.errors import UserError
from alexnet.ingest.raw_files import UnreachableError, identity, is_remote, open_whole, parts_of

# An unpacked picture larger than this is refused; the largest of ImageNet have about 15 MB.
MAX_BYTES = 400_000_000
# A gzip stream is kept unpacked up to this compressed size (CIFAR-10's has 170 MB); a larger one is read on.
KEPT_STREAM_BYTES = 200_000_000
# How many times a group of rows of a parquet file may grow, where it then has more than `MAX_BYTES`. Pictures
# are compressed already.
MAX_GROWTH = 10
# Unpacked, such a stream may have this size.
MAX_STREAM_BYTES = 2_000_000_000
# Seconds before a file that cannot be read is tried again, as networks recover.
PAUSES = (1.0, 4.0, 15.0)
READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
# zlib's way to name a bare stream.
_RAW = -zlib.MAX_WBITS


class BadPictureError(Exception):
    """The bytes are no picture that can be used; the message is the reason."""


def is_read_in_order(root: Path, pictures: pd.DataFrame) -> bool:
    """Whether some `pictures` of an index lie far away, in streams, or in groups that are read together."""
    if is_remote(root):
        return True
    streams = [root / path for path in pictures[pictures["packing"] == "gzip"]["path"].unique()]
    # One that is not large stays unpacked; to change from one to another costs all of it.
    large = any(path.exists() and path.stat().st_size > KEPT_STREAM_BYTES for path in streams)
    return large or len(streams) > 1 or bool((pictures["packing"] == "parquet").any())


def read_bytes(root: Path, row: Any) -> bytes:
    """Return the bytes of the picture of a row of the index, unpacked.

    Raises:
        BadPictureError: they cannot be unpacked, or not all are there.
        UserError: the file cannot be read, several times in a row: that says nothing of the picture.
    """
    path = root / row.path
    for pause in PAUSES:
        try:
            return _read_bytes(path, row)
        except (OSError, UnreachableError):
            # A connection that failed is of no more use.
            _kept_open.cache_clear()
            time.sleep(pause)
    try:
        return _read_bytes(path, row)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror or error}. What is finished is kept: run again."
        ) from None


def _read_bytes(path: Path, row: Any) -> bytes:
    if not is_remote(path) and not all(stat.S_ISREG(part.stat().st_mode) for part in parts_of(path)):
        raise BadPictureError("not a regular file")
    if row.size > MAX_BYTES:
        raise BadPictureError(f"{row.size:,} bytes; at most {MAX_BYTES:,} are read")
    try:
        if row.packing == "parquet":
            return _from_table(path, row.offset)
        if row.packing == "gzip" or is_remote(path):
            return _all(_from_kept(path, row), row.size)
        with open_whole(path) as file:
            file.seek(row.offset)
            if row.packing == "none":
                return _all(file.read(row.size), row.size)
            method, checksum = _read_local_header(file, path, row)
            packed = _all(file.read(row.size), row.size)
            if checksum is None:
                checksum = _checksum_behind(file)
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise BadPictureError(f"cannot be unpacked: {error}") from None
    data = inflated(packed, _RAW) if method == zipfile.ZIP_DEFLATED else packed
    if checksum != zlib.crc32(data):
        raise BadPictureError("cannot be read: its checksum in the zip is another")
    return data


def _read_local_header(file: BinaryIO, path: Path, row: Any) -> tuple[int, int | None]:
    """Read the header in front of a member of a zip; return its method and, where it stands there, its CRC.

    Raises:
        BadPictureError: the header is not whole.
        UserError: it is not the one that the zip's directory lists.
    """
    header = _all(file.read(_LOCAL_HEADER.size), _LOCAL_HEADER.size)
    signature, _, flags, method, _, _, checksum, size, _, name_bytes, more = _LOCAL_HEADER.unpack(header)
    coded = _all(file.read(name_bytes), name_bytes)
    extra = _all(file.read(more), more)
    name = coded.decode("utf-8" if flags & 0x800 else "cp437", "replace").rpartition("/")[2]
    listed = row.name.rpartition("/")[2]
    # With this flag checksum and size stand behind the content; with this size, in a field of its own.
    known = not flags & 8
    agrees = (
        signature == b"PK\3\4"
        and method in READABLE
        # From Python 3.12 on, zipfile takes a name from its copy in UTF-8 behind the header, if there is one.
        and (name == listed or (not listed.isascii() and listed.encode() in extra))
        and (not known or size in (row.size, 0xFFFFFFFF))
    )
    if not agrees:
        raise UserError(
            f"{path}: the directory of the zip lists {row.name}, but something else stands in its place."
            " Download it again; if it was replaced, run dvc repro -f index."
        )
    return method, checksum if known else None


def _checksum_behind(file: BinaryIO) -> int:
    """Return the CRC behind the content of a member written as a stream; a signature may stand in between."""
    found = _all(file.read(8), 8)
    return int.from_bytes(found[4:] if found.startswith(b"PK\7\x08") else found[:4], "little")


def _all(data: bytes, size: int) -> bytes:
    if len(data) < size:
        raise BadPictureError(f"cannot be read: {size - len(data)} of {size} bytes are missing")
    return data


def inflated(packed: bytes, window_bits: int) -> bytes:
    unpacker = zlib.decompressobj(window_bits)
    try:
        data = unpacker.decompress(packed, MAX_BYTES)
    except zlib.error as error:
        raise BadPictureError(f"cannot be unpacked: {error}") from None
    if not unpacker.eof:
        what = f"more than {MAX_BYTES:,} bytes" if unpacker.unconsumed_tail else "it is cut short"
        raise BadPictureError(f"cannot be unpacked: {what}")
    return data


def _known(path: Path) -> tuple[int, int]:
    # To ask a server before each picture would take longer than to read it.
    return (0, 0) if is_remote(path) else identity(path)


def _from_kept(path: Path, row: Any) -> bytes:
    known = _known(path)
    if row.packing == "gzip" and not is_remote(path) and known[0] <= KEPT_STREAM_BYTES:
        return _unpacked(path, known)[row.offset : row.offset + row.size]
    with _ONE_AT_A_TIME:
        # Going on from where a stream was costs what lies between; going back costs all from the beginning.
        file = _kept_open(path, known, row.packing)
        file.seek(row.offset)
        return file.read(row.size)


_ONE_AT_A_TIME = threading.Lock()


@functools.lru_cache(1)
def _kept_open(path: Path, known: tuple[int, int], packing: str) -> BinaryIO:
    file = open_whole(path)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packing == "gzip" else file


@functools.lru_cache(1)
def _unpacked(path: Path, known: tuple[int, int]) -> bytes:
    # Once per worker: a gzip stream cannot be entered in its middle.
    with gzip.open(path) as file:
        content = file.read(MAX_STREAM_BYTES + 1)
    if len(content) > MAX_STREAM_BYTES:
        raise UserError(f"{path}: unpacks to more than {MAX_STREAM_BYTES:,} bytes. Unpack it, or divide it.")
    return content


def _from_table(path: Path, row: int) -> bytes:
    try:
        known = _known(path)
        starts = _starts(path, known)
        group = int(np.searchsorted(starts, row, side="right")) - 1
        picture = _row_group(path, known, group)[row - int(starts[group])]
    except (ValueError, LookupError, NotImplementedError, OSError) as error:
        # pyarrow's errors are of these kinds; of those of the operating system only the disk's have a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadPictureError(f"cannot be read: {str(error).splitlines()[0]}") from None
    if not picture:
        raise BadPictureError("no bytes in its row")
    return picture


@functools.lru_cache(8)
def _starts(path: Path, known: tuple[int, int]) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the number of the first row of each group of rows."""
    import pyarrow.parquet

    with open_whole(path) as raw, pyarrow.parquet.ParquetFile(raw) as file:
        counts = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    return np.cumsum([0, *counts[:-1]])


@functools.lru_cache(1)
def _row_group(path: Path, known: tuple[int, int], group: int) -> list[bytes | None]:
    import pyarrow.parquet

    with open_whole(path) as raw, pyarrow.parquet.ParquetFile(raw) as file:
        column = column_of_pictures(file.schema_arrow)
        _refuse_bomb(file.metadata.row_group(group), column)
        cells = file.read_row_group(group, columns=[column])[column].to_pylist()
    return [cell.get("bytes") if isinstance(cell, dict) else cell for cell in cells]


def _refuse_bomb(group: Any, name: str) -> None:
    for part in map(group.column, range(group.num_columns)):
        limit, size = max(MAX_BYTES, MAX_GROWTH * part.total_compressed_size), part.total_uncompressed_size
        # The column of pictures, or a field of it.
        if part.path_in_schema.partition(".")[0] == name and size > limit:
            raise ValueError(f"its group of rows unpacks to {size:,} bytes")


def column_of_pictures(schema: Any) -> str:
    """Return the name of the column of a parquet file that holds pictures: bytes, or a struct with bytes.

    Raises:
        LookupError: there is none.
    """
    import pyarrow.types

    for field in schema:
        if pyarrow.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            return str(field.name)
    for field in schema:
        if pyarrow.types.is_binary(field.type) or pyarrow.types.is_large_binary(field.type):
            return str(field.name)
    raise LookupError("no column of pictures")
