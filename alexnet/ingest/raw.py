"""The pixels of one raw picture, wherever the index says its bytes lie."""

from __future__ import annotations

import functools
import gzip
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet.ingest.resize import BadPictureError, Picture, decode

# An unpacked picture larger than this is refused; the largest of ImageNet have some 15 MB.
MAX_BYTES = 400_000_000
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_DEFLATED = 8
# zlib's way to name a bare stream and one with gzip's header.
_RAW, _GZIP = -zlib.MAX_WBITS, 16 + zlib.MAX_WBITS


class Place(NamedTuple):
    """Where a picture's bytes lie: the index's columns of these names."""

    path: str
    packing: str
    form: str
    offset: int
    size: int


def read_picture(root: Path, place: Place) -> Picture:
    """Return the picture at `place` as RGB uint8 (height, width, 3).

    Raises:
        BadPictureError: the bytes cannot be read, or are no picture.
    """
    data = read_bytes(root, place)
    if place.form == "planes":
        side = int((len(data) // 3) ** 0.5)
        return np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(3, side, side).transpose(1, 2, 0))
    # ILSVRC-2010's tars hold some pictures gzipped.
    return decode(_inflated(data, _GZIP) if data.startswith(b"\x1f\x8b") else data)


def read_bytes(root: Path, place: Place) -> bytes:
    """Return the bytes of the picture at `place`, unpacked.

    Raises:
        BadPictureError: they cannot be read, or not all are there.
    """
    path = root / place.path
    try:
        if place.packing == "gzip":
            about = path.stat()
            whole = _unpacked(path, about.st_size, about.st_mtime_ns)
            return _all(whole[place.offset : place.offset + place.size], place.size)
        with path.open("rb") as file:
            file.seek(place.offset)
            if place.packing == "none":
                return _all(file.read(place.size), place.size)
            header = _all(file.read(_LOCAL_HEADER.size), _LOCAL_HEADER.size)
            signature, _, _, method, *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
            if signature != b"PK\3\4":
                raise BadPictureError("cannot be read: the zip has changed since it was indexed")
            file.seek(name_length + extra_length, 1)
            packed = _all(file.read(place.size), place.size)
    except OSError as error:
        raise BadPictureError(f"cannot be read: {error.strerror or error}") from None
    except (zlib.error, EOFError) as error:
        raise BadPictureError(f"cannot be unpacked: {error}") from None
    return _inflated(packed, _RAW) if method == _DEFLATED else packed


def _all(data: bytes, size: int) -> bytes:
    if len(data) < size:
        raise BadPictureError(f"cannot be read: {size - len(data)} of {size} bytes are missing")
    return data


def _inflated(packed: bytes, window_bits: int) -> bytes:
    unpacker = zlib.decompressobj(window_bits)
    try:
        data = unpacker.decompress(packed, MAX_BYTES)
    except zlib.error as error:
        raise BadPictureError(f"cannot be unpacked: {error}") from None
    if not unpacker.eof:
        what = f"more than {MAX_BYTES:,} bytes" if unpacker.unconsumed_tail else "it is cut short"
        raise BadPictureError(f"cannot be unpacked: {what}")
    return data


@functools.lru_cache(1)
def _unpacked(path: Path, size: int, time: int) -> bytes:
    # CIFAR-10's 186 MB, once a worker: a gzip stream cannot be entered in its middle.
    with gzip.open(path) as file:
        return file.read()
