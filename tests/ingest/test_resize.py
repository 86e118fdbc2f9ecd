"""Decoding and squaring, against resamplers written here in float64 and inks known beforehand."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tiny import encoded

from alexnet.core.sizes import PICTURE
from alexnet.ingest.decode import MAX_PIXELS, decode
from alexnet.ingest.resize import to_square
from alexnet.ingest.stored import BadPictureError
from alexnet.store.records import encode
from benchmarks.preprocess import coverage

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def drawn(height: int, width: int, seed: int = 0) -> Pixels:
    """Return waves of several lengths, some near the pixel grid's limit, with hard edges and noise."""
    rng = np.random.default_rng((seed, height, width))
    y, x = np.mgrid[:height, :width].astype(np.float64)
    planes = []
    for _ in range(3):
        waves = sum(
            np.sin(rng.uniform(-2.5, 2.5) * x + rng.uniform(-2.5, 2.5) * y + rng.uniform(0, 6))
            + np.sin(rng.uniform(-0.1, 0.1) * x + rng.uniform(-0.1, 0.1) * y + rng.uniform(0, 6))
            for _ in range(3)
        )
        planes.append(127 + 25 * waves + rng.normal(0, 10, (height, width)))
    picture = np.stack(planes, axis=2)
    picture[height // 3 : height // 2 + 1, width // 4 : width // 2 + 1] = rng.uniform(0, 255, 3)
    return picture.clip(0, 255).astype(np.uint8)


def smooth(height: int, width: int) -> Pixels:
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = [127 + 90 * np.sin(4 * x + shift) * np.cos(3 * y - shift) for shift in (0.0, 0.6, 1.2)]
    return np.stack(planes, axis=2).astype(np.uint8)


def pixels_of(content: bytes) -> npt.NDArray[Any]:
    """Return the pixels of a file as Pillow decodes them."""
    return np.asarray(Image.open(io.BytesIO(content)))


def new_size(height: int, width: int) -> tuple[int, int]:
    short = min(height, width)
    return max(PICTURE, round(height * PICTURE / short)), max(PICTURE, round(width * PICTURE / short))


def cubic(before: int, after: int) -> Floats:
    """Return (after, before): Keys' cubic convolution with a = −0.75, the edge repeated."""
    a = -0.75
    matrix = np.zeros((after, before))
    for row in range(after):
        centre = (row + 0.5) * before / after - 0.5
        first = int(np.floor(centre)) - 1
        for cell in range(first, first + 4):
            d = abs(centre - cell)
            weight = (
                (a + 2) * d**3 - (a + 3) * d**2 + 1 if d <= 1 else a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
            )
            matrix[row, min(max(cell, 0), before - 1)] += weight
    return matrix


def central_square(picture: Floats) -> Floats:
    top, left = (picture.shape[0] - PICTURE) // 2, (picture.shape[1] - PICTURE) // 2
    return picture[top : top + PICTURE, left : left + PICTURE]


def expected_square(picture: npt.NDArray[Any], weights: Callable[[int, int], Floats]) -> Floats:
    height, width = picture.shape[:2]
    new_height, new_width = new_size(height, width)
    rows, columns = weights(height, new_height), weights(width, new_width)
    planes = [rows @ picture[..., channel].astype(np.float64) @ columns.T for channel in range(3)]
    return central_square(np.stack(planes, axis=2)).clip(0, 255)


def difference(found: Pixels, expected: npt.NDArray[Any]) -> float:
    assert found.shape == expected.shape == (PICTURE, PICTURE, 3)
    return float(np.abs(found.astype(np.float64) - expected).mean())


# --- shrinking and enlarging ----------------------------------------------------------------------

LARGER = [(257, 257), (257, 400), (300, 301), (301, 300), (375, 500), (500, 333), (512, 512), (512, 1024)]
LARGER += [(768, 768), (333, 999), (1100, 270), (1201, 900)]
SMALLER = [(255, 255), (128, 128), (100, 171), (200, 130), (255, 900), (60, 61), (17, 40), (2, 3), (3, 2)]


@pytest.mark.parametrize("shape", LARGER + SMALLER)
def test_shrinking_averages_areas_and_enlarging_is_cubic(shape: tuple[int, int]) -> None:
    picture = drawn(*shape)
    found = to_square(picture)
    weights, most = (coverage, 1.01) if min(shape) > PICTURE else (cubic, 1.5)
    expected = expected_square(picture, weights)
    assert difference(found, expected) <= 0.5
    assert np.abs(found - expected).max() <= most


@pytest.mark.parametrize("shape", [(256, 256), (256, 259), (256, 300), (401, 256)])
def test_shorter_side_of_256_is_only_cut(shape: tuple[int, int]) -> None:
    # Odd rests of the cut go to the right and below.
    picture = drawn(*shape)
    found = to_square(picture)
    assert (found == central_square(picture.astype(np.float64))).all()
    assert found.flags.c_contiguous


def test_a_single_pixel_fills_the_square() -> None:
    picture = np.array([[[10, 200, 90]]], np.uint8)
    assert (to_square(decode(encoded(picture))) == picture[0, 0]).all()


def test_thin_pictures_are_cut_or_refused() -> None:
    assert to_square(drawn(3, 300)).shape == (PICTURE, PICTURE, 3)
    # One pixel to 256 makes this one 256 × 10,240,000, 8 GB.
    with pytest.raises(BadPictureError, match=r"40000×1"):
        to_square(np.zeros((1, 40_000, 3), np.uint8))


# --- kinds of file --------------------------------------------------------------------------------


LARGE = encoded(drawn(520, 600), "JPEG", quality=92)
GREY = encoded(drawn(300, 400)[..., 0], "JPEG", quality=95)
PALETTE = Image.fromarray(smooth(80, 90)).quantize(32)
COLOURS, ALPHA = drawn(60, 70), np.arange(60 * 70, dtype=np.uint8).reshape(60, 70, 1)
BITS = np.random.default_rng(0).integers(0, 2, (40, 50)).astype(bool)
# A file, and the pixels that it shows.
SHOWN: dict[str, tuple[bytes, Any]] = {
    "JPEG at full resolution": (LARGE, pixels_of(LARGE)),
    "grey": (GREY, pixels_of(GREY)[..., None]),
    "palette": (encoded(PALETTE), PALETTE.convert("RGB")),
    "transparent palette": (encoded(PALETTE, transparency=3), PALETTE.convert("RGB")),
    "alpha": (encoded(np.concatenate([COLOURS, ALPHA], axis=2)), COLOURS),
    "grey and alpha": (encoded(np.concatenate([COLOURS[..., :1], ALPHA], axis=2)), COLOURS[..., :1]),
    "black and white": (encoded(BITS), 255 * BITS[..., None]),
    # n02105855_2933.JPEG of the real set is a PNG; decoding sees bytes alone, whatever they are.
    **{form: (encoded(COLOURS, form), COLOURS) for form in ("PNG", "BMP", "TIFF")},
}


@pytest.mark.parametrize("kind", SHOWN)
def test_greys_are_repeated_palettes_looked_up_and_alpha_dropped(kind: str) -> None:
    content, expected = SHOWN[kind]
    assert (decode(content) == np.asarray(expected)).all()


def inks(height: int, width: int) -> Floats:
    """Return cyan, magenta, yellow and black, each in smooth shares from 0 to 1 of its own."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    cyan, magenta = 0.5 + 0.4 * np.sin(3 * x), 0.5 + 0.45 * np.cos(4 * y)
    return np.stack([cyan, magenta, 0.4 + 0.3 * np.sin(5 * (x + y)), 0.5 * x * y], axis=2)


def printed(amounts: Floats) -> Floats:
    """Return the RGB of white paper on which each ink takes its share of one colour, black of all."""
    return 255 * (1 - amounts[..., :3]) * (1 - amounts[..., 3:])


def cmyk_jpeg(amounts: Floats, *, adobe: bool) -> bytes:
    # Pillow stores 255 − value and says that Adobe did; so the plain file needs both undone.
    values = 255 * amounts if adobe else 255 * (1 - amounts)
    bands = [Image.fromarray(band) for band in np.rint(values).astype(np.uint8).transpose(2, 0, 1)]
    content = encoded(Image.merge("CMYK", bands), "JPEG", quality=98, subsampling="4:4:4")
    if adobe:
        return content
    start = content.index(b"\xff\xee")
    length = int.from_bytes(content[start + 2 : start + 4], "big")
    return content[:start] + content[start + 2 + length :]


@pytest.mark.parametrize("adobe", [True, False])
@pytest.mark.parametrize("size", [(256, 256), (300, 420)])
def test_cmyk_shows_what_its_inks_print(adobe: bool, size: tuple[int, int]) -> None:
    content = cmyk_jpeg(inks(*size), adobe=adobe)
    opened = Image.open(io.BytesIO(content))
    assert opened.mode == "CMYK"
    assert ("adobe" in opened.info) == adobe
    found = to_square(decode(content))
    assert difference(found, expected_square(printed(inks(*size)), coverage)) <= 1


def test_sixteen_bits_become_eight() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    found = decode(encoded(values))
    assert found.dtype == np.uint8
    assert np.abs(found - (values / 65535 * 255)[..., None]).max() <= 0.5 + 1e-9


def test_sixteen_bits_of_which_zero_is_white() -> None:
    content = encoded(np.full((300, 300), 55 * 257, np.uint16), "TIFF", tiffinfo={262: 0})
    assert (decode(content) == 200).all()


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_32_bits_of_an_unknown_scale_are_refused(kind: type) -> None:
    content = encoded(np.full((300, 300), 200, kind), "TIFF")
    with pytest.raises(BadPictureError, match="32 bits"):
        decode(content)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_orientation_is_ignored(orientation: int) -> None:
    picture = smooth(90, 140)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = encoded(picture, "JPEG", quality=95, exif=exif.tobytes())
    assert Image.open(io.BytesIO(turned)).getexif()[0x0112] == orientation
    assert (decode(turned) == decode(encoded(picture, "JPEG", quality=95))).all()


@pytest.mark.parametrize(
    "directory",
    [b"", b"no TIFF at all", b"II*\0\xff\xff\xff\x7f", b"MM\0*\0\0\0\x08\xff\xff"],
    ids=["empty", "nonsense", "beyond the end", "cut"],
)
def test_broken_exif_does_no_harm(directory: bytes) -> None:
    plain = encoded(smooth(90, 140), "JPEG", quality=95)
    marker = b"\xff\xe1" + (len(directory) + 8).to_bytes(2, "big") + b"Exif\0\0" + directory
    assert (decode(plain[:2] + marker + plain[2:]) == decode(plain)).all()


# --- broken files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 2, 100, 5000])
def test_random_bytes_are_refused(length: int) -> None:
    content = np.random.default_rng(length).bytes(length)
    for start in (b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(BadPictureError, match="cannot be decoded" if start + content else "empty file"):
            decode(start + content)


@pytest.mark.parametrize(
    ("form", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {})], ids=str
)
@pytest.mark.parametrize("tenth", range(1, 10))
def test_cut_files_are_refused(form: str, options: dict[str, Any], tenth: int) -> None:
    content = encoded(drawn(120, 150), form, **options)
    assert decode(content).shape == (120, 150, 3)
    with pytest.raises(BadPictureError, match="cannot be decoded"):
        decode(content[: len(content) * tenth // 10])


def claiming_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def claiming_jpeg(width: int, height: int) -> bytes:
    content = bytearray(encoded(smooth(16, 16), "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


@pytest.mark.parametrize("claiming", [claiming_png, claiming_jpeg])
@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (12_000, 10_000), (65_000, 2000)])
def test_huge_pictures_are_refused_by_their_header(
    claiming: Callable[[int, int], bytes], width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Decoded(BaseException):
        pass

    def no_decoding(*_: object) -> None:
        raise Decoded

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", no_decoding)
    assert width * height > MAX_PIXELS
    with pytest.raises(BadPictureError, match="pixels"):
        decode(claiming(width, height))
    with pytest.raises(Decoded):
        decode(claiming(1000, 1000))


def test_formats_that_are_not_listed_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would start Ghostscript for PostScript, whatever the file is called."""

    def started(*_: object) -> None:
        raise SystemExit("a program was started")

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", started)
    content = encoded(Image.new("RGB", (8, 8)), "EPS")
    with pytest.raises(BadPictureError, match="no picture format that is known"):
        decode(content)


# --- JPEG -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chroma", "sampling"), [("4:4:4", 0), ("4:2:0", 2)])
def test_encoding_is_baseline_jpeg_of_the_asked_chroma(chroma: str, sampling: int) -> None:
    from PIL import JpegImagePlugin

    picture = smooth(PICTURE, PICTURE)
    content = encode(picture, 95, chroma)
    opened = Image.open(io.BytesIO(content))
    assert isinstance(opened, JpegImagePlugin.JpegImageFile)
    assert (opened.mode, opened.size) == ("RGB", (PICTURE, PICTURE))
    assert JpegImagePlugin.get_sampling(opened) == sampling
    assert b"\xff\xc0" in content
    assert "progressive" not in opened.info
    assert encode(picture, 95, chroma) == content
    assert difference(decode(content), picture) < 4
    assert len(encode(picture, 30, chroma)) < len(content)
