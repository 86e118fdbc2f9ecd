"""The principal components of RGB as strips of colour."""

from __future__ import annotations

import numpy as np

from alexnet.report.figures import LIGHT, Dress, one_axes
from alexnet.report.results import RgbPca

# A component is drawn this many standard deviations to either side of the mean colour.
DEVIATIONS_SHOWN = 2


def rgb_components(pca: RgbPca, dpi: int, dress: Dress = LIGHT) -> bytes:
    """Draw the colours along each RGB component, two standard deviations either side of the mean.

    Along these directions the colour noise (Section 4.1) shifts a picture, by far less. The figure
    is 4.4 by 1.5 inches.
    """
    reach = np.linspace(-DEVIATIONS_SHOWN, DEVIATIONS_SHOWN, 256)
    shifts = np.array(pca.eigenvectors) * np.array(pca.standard_deviations)[:, np.newaxis]
    colours = np.array(pca.channel_means) + reach[:, np.newaxis] * shifts[:, np.newaxis, :]
    with one_axes(dress, dpi, height=1.5) as (axes, png):
        for position, strip in enumerate(np.clip(colours, 0, 255).astype(np.uint8), start=1):
            extent = (-DEVIATIONS_SHOWN, DEVIATIONS_SHOWN, position + 0.45, position - 0.45)
            axes.imshow(strip[np.newaxis], aspect="auto", extent=extent, interpolation="nearest")
        axes.set_ylim(3.5, 0.5)
        axes.set_yticks([1, 2, 3])
        axes.set_ylabel("component")
        axes.set_xticks([-2, -1, 0, 1, 2])
        axes.set_xlabel("standard deviations from the mean colour")
        axes.spines[:].set_visible(False)
    return png.getvalue()
