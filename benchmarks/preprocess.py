"""Speed and exactness of squaring pictures, beside Pillow at full resolution.

    python -m benchmarks.preprocess [--pictures FOLDER]

Both sides decode a picture, bring its shorter side to 256, cut the central 256×256 and encode it
as JPEG of quality 95, on one core, in turns of a few pictures over several rounds of the same pictures
in memory, timed in seconds of the processor.
"""

from __future__ import annotations

import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from alexnet.data.resize import SIDE, BadPictureError, decode, encode, expect_many_pictures, to_square
from alexnet.data.sample import generate
from alexnet.data.sources.archives import scan_tar
from alexnet.data.sources.ilsvrc import ILSVRC_2012
from alexnet.data.sources.listing import PICTURE_SUFFIXES
from alexnet.data.statistics import Sums
from alexnet.errors import UserError, shown_plainly
from alexnet.params.sample import Sample

QUALITY, CHROMA = 95, "4:2:0"
# Pictures: long enough for warm caches.
TURN = 20
SAMPLE = Sample(seed=2012, classes=10, first_class=0, train_per_class=20, val_per_class=1)

Floats = NDArray[np.float64]


def ours(data: bytes) -> bytes:
    """Decode, square and encode as the preprocess stage does."""
    return encode(to_square(decode(data)), QUALITY, CHROMA)


def pillow(data: bytes) -> bytes:
    """The same with Pillow alone: all pixels decoded, bicubic filter over all of them."""
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    short = min(image.size)
    width, height = (max(SIDE, round(side * SIDE / short)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    buffer = io.BytesIO()
    image.crop((left, top, left + SIDE, top + SIDE)).save(buffer, "JPEG", quality=QUALITY, subsampling=CHROMA)
    return buffer.getvalue()


def coverage(before: int, after: int) -> Floats:
    """Return (after, before): which share of each new cell each old cell covers."""
    edges = np.arange(after + 1) * before / after
    cells = np.arange(before)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return overlap.clip(0) * after / before


def area_square(picture: NDArray[np.uint8]) -> Floats:
    """Return the central square of `picture` shrunk by area in float64, without OpenCV."""
    short = min(picture.shape[:2])
    height, width = (max(SIDE, round(side * SIDE / short)) for side in picture.shape[:2])
    top, left = (height - SIDE) // 2, (width - SIDE) // 2
    rows = coverage(picture.shape[0], height)[top : top + SIDE]
    columns = coverage(picture.shape[1], width)[left : left + SIDE]
    planes = [rows @ picture[..., channel].astype(np.float64) @ columns.T for channel in range(3)]
    return np.stack(planes, axis=2)


def pictures_per_second(pictures: list[bytes], *contestants: Callable[[bytes], bytes]) -> list[float]:
    """Return the rate of each contestant, who take turns, some pictures at a time."""
    # So whatever else the machine does then falls on all alike. Seconds of this process alone: all compute
    # in one thread, and read and wait for nothing.
    seconds = [0.0] * len(contestants)
    for first in range(0, len(pictures), TURN):
        for number, work in enumerate(contestants):
            start = time.process_time()
            for data in pictures[first : first + TURN]:
                work(data)
            seconds[number] += time.process_time() - start
    return [len(pictures) / spent for spent in seconds]


def from_folder(folder: Path) -> list[bytes]:
    """Return the bytes of the readable pictures below `folder`."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURE_SUFFIXES:
            data = path.read_bytes()
            try:
                decode(data)
            except BadPictureError as error:
                print(f"left out {path}: {error}")
                continue
            found.append(data)
    if not found:
        raise UserError(f"{folder}: no pictures ({', '.join(PICTURE_SUFFIXES)})")
    return found


def drawn() -> list[bytes]:
    """Return the training pictures of a generated sample."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "sample"
        generate(root, SAMPLE, "none")
        content = (root / ILSVRC_2012.train).read_bytes()
        members = scan_tar(root / ILSVRC_2012.train)
        places = zip(members["offset"].tolist(), members["size"].tolist(), strict=True)
        return [content[offset : offset + size] for offset, size in places]


def compare_speed(pictures: list[bytes], rounds: int) -> None:
    """Print the rates of both sides, and their ratio."""
    rates = [pictures_per_second(pictures, ours, pillow) for _ in range(rounds)]
    for name, values in (("ours", [a for a, _ in rates]), ("Pillow, bicubic", [b for _, b in rates])):
        print(
            f"{name}: {statistics.median(values):.1f} pictures/s"
            f" (median of {rounds} rounds, {min(values):.1f} to {max(values):.1f})"
        )
    ratios = [a / b for a, b in rates]
    print(
        f"ratio: {statistics.median(ratios):.2f}"
        f" (median of the rounds' ratios, {min(ratios):.2f} to {max(ratios):.2f})"
    )


def compare_statistics(pictures: list[bytes], rounds: int) -> None:
    """Print what summing the statistics adds to preparing."""
    sums = Sums()

    def summing(data: bytes) -> bytes:
        square = to_square(decode(data))
        sums.add_picture(square)
        return encode(square, QUALITY, CHROMA)

    rates = [pictures_per_second(pictures, ours, summing) for _ in range(rounds)]
    extra = [without / summed - 1 for without, summed in rates]
    print(
        f"statistics on the way: {statistics.median(extra):+.1%} of the time"
        f" (median of {rounds} rounds, {min(extra):+.1%} to {max(extra):+.1%})"
    )


def compare_pixels(pictures: list[bytes]) -> None:
    """Print how far our squares are from float64 area averages, and what JPEG adds."""
    from_area, by_jpeg = [], []
    for data in pictures:
        picture = decode(data)
        square = to_square(picture)
        if min(picture.shape[:2]) >= SIDE:
            from_area.append(np.abs(square - area_square(picture)).mean())
        stored = decode(encode(square, QUALITY, CHROMA))
        by_jpeg.append(np.abs(stored.astype(np.int16) - square).mean())
    if from_area:
        print(
            f"square against float64 area averages, before JPEG: mean absolute difference"
            f" {np.mean(from_area):.3f} grey levels, worst picture {max(from_area):.3f}"
            f" ({len(from_area)} pictures with a shorter side of at least {SIDE})"
        )
    print(
        f"JPEG round trip, quality {QUALITY}, {CHROMA}: mean absolute difference"
        f" {np.mean(by_jpeg):.3f} grey levels, worst picture {max(by_jpeg):.3f} ({len(by_jpeg)} pictures)"
    )


@shown_plainly
def main(
    pictures: Annotated[Path | None, typer.Option(help="a folder of pictures; default: generated")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="how often each side takes all pictures")] = 5,
) -> None:
    """Compare speed and pixels of our squaring with Pillow's and with exact area averages."""
    expect_many_pictures()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    files = drawn() if pictures is None else from_folder(pictures)
    compare_speed(files, rounds)
    compare_statistics(files, rounds)
    compare_pixels(files)


if __name__ == "__main__":
    typer.run(main)
