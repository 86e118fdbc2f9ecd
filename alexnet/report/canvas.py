"""Figures as PNG bytes; equal input gives equal bytes, for DVC hashes them.

Those with text or axes come in a light dress and a dark one. Kernels and photographs are plain pixels and
need one only.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from PIL import Image

from alexnet.report.page import Figure


@dataclass(frozen=True)
class Dress:
    """Colours of a figure; `paper` is its background, the page's own as in page.css."""

    paper: str
    ink: str
    faint: str
    train: str
    top1: str
    top5: str
    tint: str
    middle: str


LIGHT = Dress("#ffffff", "#23262b", "#b9bec6", "#7a818c", "#1f5fa8", "#b3541e", "#d8e4f2", "#8db3dd")
DARK = Dress("#15171b", "#d9dce1", "#555c66", "#9aa1ab", "#7db4f0", "#e8955c", "#2b3f58", "#4a76a6")


@contextmanager
def canvas(
    dress: Dress,
    dpi: int,
    width: float,
    height: float,
    layout: Literal["constrained"] | None = "constrained",
    colours: int | None = 256,
) -> Iterator[tuple[Drawing, io.BytesIO]]:
    """Yield an empty figure of `width` by `height` inches; after the block the PNG is in the buffer.

    Its pixels are cut down to this number of `colours`: none of a chart's moves far, and the file is a third
    as large. None keeps all, as a photograph needs.
    """
    # From the defaults, so that a user's matplotlibrc cannot change the bytes.
    settings: dict[str, Any] = {
        "font.size": 9.5,
        "axes.edgecolor": dress.faint,
        "axes.labelcolor": dress.ink,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "text.color": dress.ink,
        "text.parse_math": False,
        "xtick.color": dress.faint,
        "xtick.labelcolor": dress.ink,
        "ytick.color": dress.faint,
        "ytick.labelcolor": dress.ink,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
    }
    png = io.BytesIO()
    with style.context(["default", settings]):
        figure = Drawing(figsize=(width, height), dpi=dpi, facecolor=dress.paper, layout=layout)
        FigureCanvasAgg(figure)
        yield figure, png
        figure.savefig(png, format="png")
    image = Image.open(png).convert("RGB")
    if colours is not None:
        image = image.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    png.seek(0)
    png.truncate()
    image.save(png, format="PNG", optimize=True, dpi=(dpi, dpi))


@contextmanager
def one_axes(
    dress: Dress, dpi: int, width: float = 4.4, height: float = 3.2
) -> Iterator[tuple[Axes, io.BytesIO]]:
    """Yield the only axes of a figure; see `canvas`."""
    with canvas(dress, dpi, width, height) as (figure, png):
        yield figure.add_subplot(facecolor="none"), png


def drawn(
    name: str, draw: Callable[[Dress], bytes], alt: str, caption: str = "", width: int = 0, least: int = 0
) -> Figure:
    """Return the figure that `draw` draws, in both dresses; the other arguments are those of `Figure`."""
    return Figure(name, draw(LIGHT), alt, draw(DARK), caption, width, least)
