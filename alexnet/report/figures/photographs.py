"""Photographs, alone and with the network's guesses (Figure 4 of the paper)."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.report.figures import LIGHT, Dress, canvas

Photograph = NDArray[np.uint8]
# Between the photographs of a sheet, in pixels.
GAP = 4
# Of WebP: a tenth of a PNG's bytes, and no difference to see.
QUALITY = 75
# Inches of a photograph with its guesses: the photograph's side, its title, the bars with the gap above.
SIDE, TITLE, BARS, GAP_INCHES = 2.1, 0.2, 1.15, 0.06


def guesses(
    photograph: Photograph,
    true: str,
    labels: Sequence[tuple[str, float, bool]],
    dpi: int,
    dress: Dress = LIGHT,
) -> bytes:
    """Draw a photograph, its true label, and a bar for each of the likeliest labels.

    Args:
        photograph: uint8 (256, 256, 3).
        true: the true label, or empty where it is unknown.
        labels: name, probability and whether it is the true one, the likeliest first.
        dpi: pixels per inch; the figure is 2.1 by 3.45 inches.
    """
    with canvas(dress, dpi, SIDE, TITLE + SIDE + BARS, layout=None, colours=None) as (figure, png):
        height = TITLE + SIDE + BARS
        above = figure.add_axes((0, BARS / height, 1, SIDE / height))
        below = figure.add_axes((0, 0, 1, (BARS - GAP_INCHES) / height), facecolor="none")
        above.imshow(photograph, interpolation="lanczos")
        figure.text(0.5, 1, true, fontsize=9, ha="center", va="top")
        colours = [dress.top5 if right else dress.top1 for _, _, right in labels]
        shares = [share for _, share, _ in labels]
        below.barh(range(len(labels)), shares, 0.26, color=colours, align="edge")
        for place, (name, share, right) in enumerate(labels):
            # The name stands on its bar, the share at the right.
            weight = "bold" if right else "normal"
            below.text(0, place - 0.05, name, fontsize=8, va="bottom", weight=weight)
            below.text(
                1, place - 0.05, f"{share:.0%}", fontsize=8, va="bottom", ha="right", color=dress.train
            )
        below.set_xlim(0, 1)
        below.set_ylim(4.32, -0.72)
        for axes in (above, below):
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
    return _webp(Image.open(png))


def row(photographs: Sequence[Photograph]) -> bytes:
    """Set photographs of equal size side by side, with transparent gaps."""
    height = photographs[0].shape[0]
    gap = np.zeros((height, GAP, 4), np.uint8)
    opaque = [np.dstack([one, np.full(one.shape[:2], 255, np.uint8)]) for one in photographs]
    parts = [part for one in opaque for part in (gap, one)][1:]
    return _webp(Image.fromarray(np.concatenate(parts, 1)))


def beside_six(query: Photograph, others: Sequence[Photograph]) -> bytes:
    """Set a photograph beside six others, half as large, in two rows of three (Figure 4, right)."""
    half = (len(query) - GAP) // 2
    sheet = np.zeros((len(query), len(query) + 3 * (GAP + half) + GAP, 4), np.uint8)
    sheet[:, : len(query), :3], sheet[:, : len(query), 3] = query, 255
    for place, other in enumerate(others[:6]):
        small = np.asarray(Image.fromarray(other).resize((half, half), Image.Resampling.LANCZOS))
        top, left = place // 3 * (half + GAP), len(query) + 2 * GAP + place % 3 * (half + GAP)
        sheet[top : top + half, left : left + half, :3] = small
        sheet[top : top + half, left : left + half, 3] = 255
    return _webp(Image.fromarray(sheet))


def _webp(image: Image.Image) -> bytes:
    webp = io.BytesIO()
    image.save(webp, format="WEBP", quality=QUALITY, method=4)
    return webp.getvalue()
