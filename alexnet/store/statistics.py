"""Mean image and principal components of the RGB values of the training pictures.

The pictures are as they were before their encoding to JPEG: preprocess has left their sums beside the
records. Sums are whole numbers and so exact; the result depends on no order and no number of workers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from alexnet.core.errors import UserError
from alexnet.core.files import read_arrays, replacing, write_checked_json
from alexnet.core.reading import Positive, Written
from alexnet.core.sizes import PICTURE
from alexnet.store.made import read_made
from alexnet.store.records import open_records

SUMS = "sums.npz"
# 255 times this is below 2^24.
EXACT_IN_FLOAT32 = 65_536

Triple = tuple[float, float, float]


class StatisticsSummary(Written):
    """The few numbers that people compare: the content of ``rgb_pca.json``.

    `channel_means` and `standard_deviations` (of the components, largest first) are in grey levels 0 to 255,
    `eigenvalues_unit` for pixels in [0, 1]; a row of `eigenvectors` is one component's red, green and blue.
    """

    images: Positive
    channel_means: Triple
    standard_deviations: Triple
    eigenvalues_unit: Triple
    eigenvectors: tuple[Triple, Triple, Triple]


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

    def summary(self) -> StatisticsSummary:
        """Return the few numbers that people compare."""
        vectors = [tuple(vector) for vector in self.eigenvectors.T.round(6).tolist()]
        return StatisticsSummary(
            images=self.images,
            channel_means=tuple(self.channel_means.round(4).tolist()),
            standard_deviations=tuple(np.sqrt(self.eigenvalues).round(4).tolist()),
            eigenvalues_unit=tuple((self.eigenvalues / 255**2).round(8).tolist()),
            eigenvectors=(vectors[0], vectors[1], vectors[2]),
        )


class Sums:
    """Exact whole-number sums over pictures: of each pixel, and of the products of the channels.

    Attributes:
        images: how many pictures.
        pixels: int64 (256, 256, 3).
        products: int64 (3, 3), over all pixels.
    """

    def __init__(self) -> None:
        self.images = 0
        self.pixels = np.zeros((PICTURE, PICTURE, 3), np.int64)
        self.products = np.zeros((3, 3), np.int64)
        self._recent = np.zeros((PICTURE, PICTURE, 3), np.float32)
        self._recent_images = 0
        self._planes = [np.empty((PICTURE, PICTURE), np.uint8) for _ in range(3)]

    def add_picture(self, picture: NDArray[np.uint8]) -> None:
        """Add one picture, uint8 (256, 256, 3)."""
        self.images += 1
        # In float32, which OpenCV adds to fastest, sums of this many bytes are still exact.
        cv2.accumulate(picture, self._recent)
        self._recent_images += 1
        if self._recent_images == EXACT_IN_FLOAT32:
            self._settle()
        # Products by squares alone, which OpenCV sums fastest: 2ab = a² + b² − (a − b)².
        red, green, blue = cv2.split(picture, self._planes)
        rr, gg, bb = _squares(red), _squares(green), _squares(blue)
        rg = (rr + gg - _squares(red, green)) // 2
        rb = (rr + bb - _squares(red, blue)) // 2
        gb = (gg + bb - _squares(green, blue)) // 2
        self.products += ((rr, rg, rb), (rg, gg, gb), (rb, gb, bb))

    def add(self, other: Self) -> None:
        """Add what `other` has summed; the order does not matter."""
        other._settle()
        self.images += other.images
        self.pixels += other.pixels
        self.products += other.products

    def write(self, path: Path, **facts: Any) -> None:
        """Write the sums, and `facts` beside them, to an ``.npz`` file."""
        self._settle()
        _write_arrays(path, images=self.images, pixels=self.pixels, products=self.products, **facts)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            OSError, ValueError, KeyError: it is missing or damaged.
        """
        sums = cls()
        arrays = read_arrays(path)
        sums.images = int(arrays["images"])
        sums.pixels, sums.products = arrays["pixels"], arrays["products"]
        return sums

    def _settle(self) -> None:
        self.pixels += self._recent.astype(np.int64)
        self._recent[:] = 0
        self._recent_images = 0


def _squares(plane: NDArray[np.uint8], less: NDArray[np.uint8] | None = None) -> int:
    # OpenCV's takes a root and its square on its way, hence the rounding.
    if less is None:
        return round(cv2.norm(plane, cv2.NORM_L2SQR))
    return round(cv2.norm(plane, less, cv2.NORM_L2SQR))


def read_sums(folder: Path) -> Sums:
    """Return the sums over the training pictures of the store in `folder`.

    Raises:
        UserError: they are missing or damaged.
    """
    return read_made(folder / SUMS, "preprocess", Sums.read)


def measure_records(records: Path, out: Path, summary: Path) -> None:
    """Write the statistics of the store in `records` to `out`, and the few that people compare to `summary`.

    Raises:
        UserError: the store is missing or damaged.
    """
    measured = measure_statistics(records)
    write_statistics(out, measured)
    write_checked_json(summary, measured.summary().model_dump())


def measure_statistics(folder: Path) -> Statistics:
    """Return the statistics of the training split of the store in `folder` (paper, sections 2 and 4.1).

    Raises:
        UserError: the store is missing or damaged.
    """
    sums, images = read_sums(folder), len(open_records(folder, "train"))
    if sums.images != images:
        raise UserError(
            f"{folder / SUMS}: sums of {sums.images:,} training pictures, but {images:,} are there. Run dvc"
            " repro -f preprocess."
        )
    pixels = images * PICTURE**2
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


def write_statistics(path: Path, statistics: Statistics) -> None:
    """Write all of `statistics` to an ``.npz`` file."""
    _write_arrays(path, **statistics.__dict__)


def _write_arrays(path: Path, **arrays: Any) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_statistics(path: Path) -> Statistics:
    """Read what `write_statistics` wrote.

    Raises:
        UserError: it is not there, or damaged.
    """

    def read(path: Path) -> Statistics:
        arrays: dict[str, Any] = read_arrays(path)
        return Statistics(**arrays | {"images": int(arrays["images"])})

    return read_made(path, "rgb_pca", read)
