"""Raw bytes to a 256×256 RGB picture and to JPEG (paper, section 2).

"Rescaled such that the shorter side was of length 256", then the central 256×256. Shrinking
averages areas and enlarging is cubic, as in the authors' later data maker. EXIF rotation is
ignored, as it was in 2012.
"""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

SIDE = 256
# A decoded picture larger than this is refused: 100 million pixels take 300 MB.
MAX_PIXELS = 100_000_000

Picture = NDArray[np.uint8]


class BadPictureError(Exception):
    """The bytes are no picture that can be used; the message is the reason."""


def decode(data: bytes) -> Picture:
    """Return RGB uint8 (height, width, 3) of any picture Pillow reads.

    Grey is repeated, CMYK becomes RGB without a colour profile, alpha is dropped, 16 bits become 8.

    Raises:
        BadPictureError: empty, broken, cut short, or larger than `MAX_PIXELS`.
    """
    if not data:
        raise BadPictureError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise BadPictureError(
                        f"{image.width}×{image.height} pixels; at most {MAX_PIXELS:,} are read"
                    )
                image.load()
                return np.asarray(_to_rgb(image))
    except UnidentifiedImageError:
        raise BadPictureError("cannot be decoded: no picture format that is known") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadPictureError(f"cannot be decoded: {error}") from None


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


def to_square(picture: Picture) -> Picture:
    """Return the central 256×256 of `picture` scaled to a shorter side of 256, uint8 RGB.

    Raises:
        BadPictureError: so thin that the scaled picture would be larger than `MAX_PIXELS`.
    """
    height, width = picture.shape[:2]
    short = min(height, width)
    if short != SIDE:
        size = (max(SIDE, round(width * SIDE / short)), max(SIDE, round(height * SIDE / short)))
        if size[0] * size[1] > MAX_PIXELS:
            raise BadPictureError(f"{width}×{height} pixels is too thin to be scaled to {size[0]}×{size[1]}")
        method = cv2.INTER_AREA if short > SIDE else cv2.INTER_CUBIC
        picture = cv2.resize(picture, size, interpolation=method).astype(np.uint8, copy=False)
    height, width = picture.shape[:2]
    top, left = (height - SIDE) // 2, (width - SIDE) // 2
    return np.ascontiguousarray(picture[top : top + SIDE, left : left + SIDE])


def encode(picture: Picture, quality: int, chroma: str) -> bytes:
    """Return `picture` as baseline JPEG with `chroma` ``4:2:0`` or ``4:4:4``."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=chroma)
    return buffer.getvalue()
