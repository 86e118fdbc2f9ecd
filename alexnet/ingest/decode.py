"""The pixels of one raw picture: its bytes, wherever the index says that they lie, decoded to RGB.

The EXIF rotation is ignored, as it was in 2012.
"""

import functools
import gzip
import io
import stat
import struct
import time
import warnings
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from alexnet.core.errors import UserError

# An unpacked picture larger than this is refused; the largest of ImageNet have about 15 MB.
MAX_BYTES = 400_000_000
# A decoded picture larger than this is refused: 100 million pixels take 300 MB.
MAX_PIXELS = 100_000_000
# What is decoded. Pillow would read many more, PostScript by starting a program.
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "JPEG2000")
# Seconds before a file that cannot be read is tried again, as network disks recover.
PAUSES = (1.0, 4.0, 15.0)
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
# zlib's way to name a bare stream and one with gzip's header.
_RAW, _GZIP = -zlib.MAX_WBITS, 16 + zlib.MAX_WBITS

Picture = NDArray[np.uint8]


class BadPictureError(Exception):
    """The bytes are no picture that can be used; the message is the reason."""


def read_picture(root: Path, row: Any) -> Picture:
    """Return the picture of a row of the index as RGB, uint8 (height, width, 3).

    Raises:
        BadPictureError: not all bytes are there, or they are no picture.
        UserError: the file cannot be read.
    """
    data = read_bytes(root, row)
    if row.form == "planes":
        side = int((len(data) // 3) ** 0.5)
        return np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(3, side, side).transpose(1, 2, 0))
    # ILSVRC-2010's tars hold some pictures gzipped.
    return decode(_inflated(data, _GZIP) if data.startswith(b"\x1f\x8b") else data)


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
        except OSError:
            time.sleep(pause)
    try:
        return _read_bytes(path, row)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror or error}. What is finished is kept: run again."
        ) from None


def _read_bytes(path: Path, row: Any) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadPictureError("not a regular file")
    try:
        if row.packing == "gzip":
            about = path.stat()
            whole = _unpacked(path, about.st_size, about.st_mtime_ns)
            return _all(whole[row.offset : row.offset + row.size], row.size)
        with path.open("rb") as file:
            file.seek(row.offset)
            if row.packing == "none":
                return _all(file.read(row.size), row.size)
            method, checksum = _read_local_header(file, path, row)
            packed = _all(file.read(row.size), row.size)
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise BadPictureError(f"cannot be unpacked: {error}") from None
    data = _inflated(packed, _RAW) if method == _DEFLATED else packed
    if checksum not in (None, zlib.crc32(data)):
        raise BadPictureError("cannot be read: its checksum in the zip is another")
    return data


def _read_local_header(file: BinaryIO, path: Path, row: Any) -> tuple[int, int | None]:
    """Read the header in front of a member of a zip; return its method and, where it stands there, its CRC.

    Raises:
        BadPictureError: the header is not whole.
        UserError: it is not the one that the zip's directory lists.
    """
    header = _all(file.read(_LOCAL_HEADER.size), _LOCAL_HEADER.size)
    signature, _, flags, method, _, _, checksum, size, _, *lengths = _LOCAL_HEADER.unpack(header)
    coded, _ = _all(file.read(lengths[0]), lengths[0]), file.seek(lengths[1], 1)
    name = coded.decode("utf-8" if flags & 0x800 else "cp437", "replace")
    # With this flag checksum and size stand behind the content; with this size, in a field of its own.
    known = not flags & 8
    agrees = (
        signature == b"PK\3\4"
        and method in (_STORED, _DEFLATED)
        and name.rpartition("/")[2] == row.name.rpartition("/")[2]
        and (not known or size in (row.size, 0xFFFFFFFF))
    )
    if not agrees:
        raise UserError(
            f"{path}: the directory of the zip lists {row.name}, but something else stands in its place."
            " Download it again; if it was replaced, run dvc repro -f index."
        )
    return method, checksum if known else None


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
    # CIFAR-10's 186 MB, once per worker: a gzip stream cannot be entered in its middle.
    with gzip.open(path) as file:
        return file.read()


def decode(data: bytes) -> Picture:
    """Return RGB uint8 (height, width, 3) of a picture in one of `FORMATS`.

    Grey is repeated, CMYK becomes RGB without a colour profile, alpha is dropped, 16 bits become 8.

    Raises:
        BadPictureError: empty, broken, cut short, or larger than `MAX_PIXELS`.
    """
    if not data:
        raise BadPictureError("empty file")
    if data.startswith(b"\xff\xd8"):
        picture = _decode_plain_jpeg(data)
        if picture is not None:
            return picture
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_formats()) as image:
                _refuse_huge(image.width, image.height)
                image.load()
                return np.asarray(_to_rgb(image))
    except UnidentifiedImageError:
        raise BadPictureError("cannot be decoded: no picture format that is known") from None
    except BadPictureError:
        raise
    except Exception as error:
        # The readers of picture formats raise nearly anything.
        raise BadPictureError(f"cannot be decoded: {error}") from None


@functools.cache
def _formats() -> list[str]:
    """Return those of `FORMATS` that this Pillow reads."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _decode_plain_jpeg(data: bytes) -> Picture | None:
    """Decode a grey or RGB JPEG as Pillow does, in three quarters of the time; None leaves it to Pillow."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _refuse_huge(width, height)
        return None if colours in ("CMYK", "YCCK") else simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except ValueError:
        # Not whole, or with something odd in it, which need not keep Pillow from reading it.
        return None


def _refuse_huge(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadPictureError(f"{width}×{height} pixels; at most {MAX_PIXELS:,} are read")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow inverts every CMYK JPEG as Adobe writes them; without Adobe's marker ink is ink.
        image = Image.fromarray(255 - np.asarray(image), "CMYK")
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.float64) / 257
        image = Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode == "RGBA":
        return Image.merge("RGB", image.split()[:3])
    return image if image.mode == "RGB" else image.convert("RGB")
