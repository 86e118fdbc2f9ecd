"""Mean image and principal components of the RGB values over the training records.

Sums are whole numbers and so exact; the result depends on no order and no number of workers.
"""

from __future__ import annotations

from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.data.records import decoded, open_records
from alexnet.errors import UserError
from alexnet.files import replacing
from alexnet.progress import Progress, Style

# Work is handed out in ranges of so many records.
RANGE = 2048


@dataclass(frozen=True)
class Statistics:
    """What the training records have in common.

    Attributes:
        images: how many records.
        mean_image: float32 (3, 256, 256), 0-255.
        channel_means: float64 (3,), 0-255.
        covariance: float64 (3, 3) of the RGB values, in squares of 0-255.
        eigenvalues: float64 (3,), largest first, in squares of 0-255; ÷ 255² for pixels in [0, 1].
        eigenvectors: float64 (3, 3), column i belongs to eigenvalue i; its largest part is positive.
    """

    images: int
    mean_image: NDArray[np.float32]
    channel_means: NDArray[np.float64]
    covariance: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]
    eigenvectors: NDArray[np.float64]

    def summary(self) -> dict[str, Any]:
        """Return the few numbers that people compare, with their units in the names."""
        return {
            "images": self.images,
            "channel_means": self.channel_means.round(4).tolist(),
            "standard_deviations": np.sqrt(self.eigenvalues).round(4).tolist(),
            "eigenvalues_unit": (self.eigenvalues / 255**2).round(8).tolist(),
            "eigenvectors": self.eigenvectors.T.round(6).tolist(),
        }


@dataclass
class _Sums:
    """Exact sums over pictures: of each pixel, and of the products of the channels."""

    pixels: NDArray[np.int64]
    products: NDArray[np.int64]


def measure(folder: Path, pool: Executor, style: Style = "auto") -> Statistics:
    """Measure the training split of the store in `folder` (paper, sections 2 and 4.1)."""
    images = len(open_records(folder, "train"))
    starts = range(0, images, RANGE)
    total = _nothing()
    with Progress("rgb_pca", images, style) as progress:
        for future in as_completed([pool.submit(_sum_range, folder, start) for start in starts]):
            sums, count = future.result()
            total.pixels += sums.pixels
            total.products += sums.products
            progress.advance(count)
    return _finish(total, images)


def add_picture(sums: _Sums, picture: NDArray[np.uint8]) -> None:
    """Add one 256×256×3 picture to `sums`."""
    sums.pixels += picture
    values = picture.reshape(-1, 3).astype(np.float64)
    # A picture's products stay below 2^53, where float64 counts exactly, and BLAS is fast.
    sums.products += (values.T @ values).astype(np.int64)


def _nothing() -> _Sums:
    return _Sums(np.zeros((256, 256, 3), np.int64), np.zeros((3, 3), np.int64))


def _sum_range(folder: Path, start: int) -> tuple[_Sums, int]:
    records = open_records(folder, "train")
    sums = _nothing()
    end = min(start + RANGE, len(records))
    for record in range(start, end):
        add_picture(sums, decoded(records, record))
    return sums, end - start


def _finish(sums: _Sums, images: int) -> Statistics:
    pixels = images * 256 * 256
    means = sums.pixels.sum((0, 1)) / pixels
    covariance = sums.products / pixels - np.outer(means, means)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    # An eigenvector's sign is free; the noise is symmetric, but files should be equal.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), range(3)])
    return Statistics(
        images=images,
        mean_image=(sums.pixels / images).transpose(2, 0, 1).astype(np.float32),
        channel_means=means,
        covariance=covariance,
        eigenvalues=values.clip(min=0),
        eigenvectors=vectors,
    )


def write(path: Path, statistics: Statistics) -> None:
    """Write all of `statistics` to an ``.npz`` file."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **statistics.__dict__)


def read(path: Path) -> Statistics:
    """Read what `write` wrote.

    Raises:
        UserError: it is not there.
    """
    if not path.exists():
        raise UserError(f"{path}: missing; run the rgb_pca stage first (dvc repro rgb_pca)")
    with path.open("rb") as file, np.load(file) as arrays:
        return Statistics(**{**arrays, "images": int(arrays["images"])})
