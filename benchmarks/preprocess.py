"""Speed and exactness of squaring pictures, beside Pillow at full resolution.

    python -m benchmarks.preprocess [--pictures FOLDER]

Both sides decode a picture, bring its shorter side to 256, cut the central 256×256 and encode it
as JPEG of quality 95, on one core, in turns of a few pictures over several rounds of the same pictures
in memory, timed in seconds of the processor.
"""

import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from alexnet.core.errors import UserError, shown_plainly
from alexnet.core.sizes import PICTURE
from alexnet.ingest.decode import decode
from alexnet.ingest.resize import to_square
from alexnet.ingest.shards import expect_many_pictures
from alexnet.ingest.sources.archives import scan_tar
from alexnet.ingest.sources.ilsvrc import ILSVRC_2012
from alexnet.ingest.sources.pictures import SUFFIXES
from alexnet.ingest.stored import BadPictureError
from alexnet.sample.files import generate
from alexnet.sample.params import Sample
from alexnet.store.records import encode
from alexnet.store.statistics import Sums
from benchmarks.turns import spread

QUALITY, CHROMA = 95, "4:2:0"
# Pictures: long enough for warm caches.
TURN = 50
SAMPLE = Sample(seed=2012, classes=10, first_class=0, train_per_class=20, val_per_class=1)

Floats = NDArray[np.float64]


def ours(data: bytes) -> bytes:
    return encode(to_square(decode(data)), QUALITY, CHROMA)


def pillow(data: bytes) -> bytes:
    """The same with Pillow alone: all pixels decoded, bicubic filter over all of them."""
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    short = min(image.size)
    width, height = (max(PICTURE, round(side * PICTURE / short)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - PICTURE) // 2, (height - PICTURE) // 2
    buffer = io.BytesIO()
    image.crop((left, top, left + PICTURE, top + PICTURE)).save(
        buffer, "JPEG", quality=QUALITY, subsampling=CHROMA
    )
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
    height, width = (max(PICTURE, round(side * PICTURE / short)) for side in picture.shape[:2])
    top, left = (height - PICTURE) // 2, (width - PICTURE) // 2
    rows = coverage(picture.shape[0], height)[top : top + PICTURE]
    columns = coverage(picture.shape[1], width)[left : left + PICTURE]
    planes = [rows @ picture[..., channel].astype(np.float64) @ columns.T for channel in range(3)]
    return np.stack(planes, axis=2)


def seconds(pictures: list[bytes], rounds: int, *contestants: Callable[[bytes], bytes]) -> Floats:
    """Return (rounds, turns, contestants): how long each took over each turn's pictures."""
    # In turns, so that whatever else the machine does falls on all alike. Seconds of this process alone: all
    # compute in one thread, and read and wait for nothing.
    turns = range(0, len(pictures), TURN)
    taken = np.empty((rounds, len(turns), len(contestants)))
    for number in range(rounds):
        for turn, first in enumerate(turns):
            for who, work in enumerate(contestants):
                start = time.process_time()
                for data in pictures[first : first + TURN]:
                    work(data)
                taken[number, turn, who] = time.process_time() - start
    return taken


def shown_ratio(taken: Floats, less: int, form: str) -> str:
    """Return how many times the first's seconds the second took, `less` a number, with its range."""
    (first, second), (quickest, other) = taken.sum(1).T, taken.min(0).sum(0)
    told = spread([*(second / first - less)], form)
    return f"{told}; by each turn's fastest round, as on a quiet machine, {other / quickest - less:{form}}"


def from_folder(folder: Path) -> list[bytes]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            data = path.read_bytes()
            try:
                decode(data)
            except BadPictureError as error:
                print(f"left out {path}: {error}")
                continue
            found.append(data)
    if not found:
        raise UserError(f"{folder}: no pictures ({', '.join(SUFFIXES)})")
    return found


def drawn() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "sample"
        generate(root, SAMPLE, "none")
        content = (root / ILSVRC_2012.train).read_bytes()
        members = scan_tar(root / ILSVRC_2012.train)
        places = zip(members["offset"].tolist(), members["size"].tolist(), strict=True)
        return [content[offset : offset + size] for offset, size in places]


def compare_speed(pictures: list[bytes], rounds: int) -> None:
    taken = seconds(pictures, rounds, ours, pillow)
    for who, name in enumerate(("ours", "Pillow, bicubic")):
        print(f"{name}: {spread([*(len(pictures) / taken[..., who].sum(1))], '.1f')} pictures/s")
    print(f"ours / Pillow: {shown_ratio(taken, 0, '.2f')}; the goal is 2")


def compare_statistics(pictures: list[bytes], rounds: int) -> None:
    sums = Sums()

    def summing(data: bytes) -> bytes:
        square = to_square(decode(data))
        sums.add_picture(square)
        return encode(square, QUALITY, CHROMA)

    extra = shown_ratio(seconds(pictures, rounds, ours, summing), 1, "+.1%")
    print(f"statistics on the way, of the time: {extra}; the goal is at most 5 %")


def compare_pixels(pictures: list[bytes]) -> None:
    """Print how far our squares are from float64 area averages, and what JPEG adds."""
    from_area, by_jpeg = [], []
    for data in pictures:
        picture = decode(data)
        square = to_square(picture)
        if min(picture.shape[:2]) >= PICTURE:
            from_area.append(np.abs(square - area_square(picture)).mean())
        stored = decode(encode(square, QUALITY, CHROMA))
        by_jpeg.append(np.abs(stored.astype(np.int16) - square).mean())
    if from_area:
        print(
            f"square against float64 area averages, before JPEG: mean absolute difference"
            f" {np.mean(from_area):.3f} grey levels, worst picture {max(from_area):.3f}"
            f" ({len(from_area)} pictures with a shorter side of at least {PICTURE})"
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
