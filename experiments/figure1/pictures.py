"""The pictures of the index as arrays that fit into memory: python -m experiments.figure1.pictures"""

from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alexnet.core.errors import UserError
from alexnet.core.files import replacing
from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.places import MACHINE
from alexnet.core.processes import executor
from alexnet.core.stage import run
from alexnet.ingest.decode import Picture, read_picture
from alexnet.ingest.raw_files import root_of
from alexnet.ingest.stored import BadPictureError
from alexnet.store.index import read_index
from experiments.figure1.settings import HERE, PARAMS, Figure1

FOLDER = HERE / "pictures"
SPLITS = {"train": "train", "test": "val"}
CHUNK = 256
# More than a few undecodable pictures mean that something else is wrong.
MAX_BAD_FRACTION = 0.01


@dataclass(frozen=True)
class Pictures:
    """A split in memory: pixels, uint8 (pictures, 3, side, side), and labels, int64 (pictures,)."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


def read_pictures(split: str, folder: Path = FOLDER) -> Pictures:
    """Read what this stage wrote for ``train`` or ``test``; refuse to go on without it."""
    path = folder / f"{split}.npz"
    if not path.exists():
        raise UserError(f"{path}: missing; run the experiment first (python -m experiments.run figure1)")
    with np.load(path) as arrays:
        return Pictures(arrays["pixels"], arrays["labels"])


def shrink(picture: Picture, side: int) -> Picture:
    """Return the central square of `picture`, RGB (side, side, 3), each pixel the mean of what it covers."""
    height, width = picture.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = picture[top : top + short, left : left + short]
    if short == side:
        return square
    interpolation = cv2.INTER_AREA if short > side else cv2.INTER_CUBIC
    return cv2.resize(square, (side, side), interpolation=interpolation).astype(np.uint8, copy=False)


def _shrunk(root: Path, side: int, rows: pd.DataFrame) -> list[Picture | None]:
    """Return pictures (3, side, side); None where one cannot be decoded."""
    found: list[Picture | None] = []
    for row in rows.itertuples():
        try:
            found.append(shrink(read_picture(root, row), side).transpose(2, 0, 1))
        except BadPictureError:
            found.append(None)
    return found


def main() -> None:
    """Decode every picture; those that cannot be decoded are left out, and counted."""
    settings, where = read(PARAMS, Figure1), read_machine(MACHINE)
    root = root_of(where.data_root)
    table = read_index(HERE / "index").pictures
    with executor(where) as pool:
        for name, split in SPLITS.items():
            rows = table[table["split"] == split]
            chunks = [rows.iloc[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
            found = [*chain.from_iterable(pool.map(partial(_shrunk, root, settings.side), chunks))]
            good = [picture for picture in found if picture is not None]
            bad = len(found) - len(good)
            if not good or bad > MAX_BAD_FRACTION * len(found):
                raise UserError(
                    f"{root}: {bad} of {len(found)} {split} pictures cannot be decoded; allowed:"
                    f" {MAX_BAD_FRACTION:.0%}. See which in the project's own preprocess stage."
                )
            labels = rows["label"].to_numpy(np.int64)[[picture is not None for picture in found]]
            with replacing(FOLDER / f"{name}.npz") as temporary, temporary.open("wb") as file:
                np.savez(file, pixels=np.stack(good), labels=labels)
            left_out = f", {bad} left out" if bad else ""
            print(f"pictures: {len(good):,} {name}, {settings.side}×{settings.side}{left_out}")


if __name__ == "__main__":
    run(main)
