"""The pixels of one raw picture: decoded to RGB.

The EXIF rotation is ignored, except in TIFF files, where Pillow applies it; how the authors treated it is not
known.
"""

import io
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from alexnet.ingest.stored import BadPictureError, inflated, read_bytes

# A decoded picture larger than this is refused: 100 million pixels take 300 MB.
MAX_PIXELS = 100_000_000
# What is decoded. Pillow would read many more, PostScript by starting a program.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "JPEG2000")
_GZIP = 16 + zlib.MAX_WBITS
# A tag of TIFF files.
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0

Picture = NDArray[np.uint8]


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
    return decode(inflated(data, _GZIP) if data.startswith(b"\x1f\x8b") else data)


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
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return pixels_of(image)
    except UnidentifiedImageError:
        raise BadPictureError("cannot be decoded: no picture format that is known") from None
    except BadPictureError:
        raise
    except Exception as error:
        # The readers of picture formats raise nearly anything.
        raise BadPictureError(f"cannot be decoded: {error}") from None


def pixels_of(image: Image.Image) -> Picture:
    """Return RGB uint8 (height, width, 3) of an image of Pillow, converted as by `decode`.

    Raises:
        BadPictureError: broken, cut short, or larger than `MAX_PIXELS`.
    """
    if not image.width * image.height:
        raise BadPictureError("no pixels")
    _refuse_huge(image.width, image.height)
    try:
        image.load()
        return np.asarray(_to_rgb(image))
    except Exception as error:
        raise BadPictureError(f"cannot be decoded: {error}") from None


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
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise BadPictureError("32 bits for each value, of which nothing says which is white")
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.float64) / 257
        if image.format == "TIFF" and image.getexif().get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            # Pillow inverts these with eight bits alone.
            grey = 255 - grey
        image = Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode == "RGBA":
        return Image.merge("RGB", image.split()[:3])
    return image if image.mode == "RGB" else image.convert("RGB")
