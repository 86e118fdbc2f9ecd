"""Figures as PNG bytes; equal input gives equal bytes, since DVC hashes them.

Those with text or axes are drawn in a light theme and a dark one. Kernels and photographs are plain pixels
and need only one.
"""

import functools
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib import font_manager, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from alexnet.core.terminal import say
from alexnet.report.page import Figure

# Matplotlib's own font, and what has letters that it lacks, where one is installed.
FONT = "DejaVu Sans"
MORE_LETTERS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "Unifont")


@dataclass(frozen=True)
class Theme:
    """Colours of a figure; `paper` is its background, the page's own as in page.css."""

    paper: str
    ink: str
    faint: str
    train: str
    top1: str
    top5: str
    tint: str
    middle: str


LIGHT = Theme("#ffffff", "#23262b", "#b9bec6", "#7a818c", "#1f5fa8", "#b3541e", "#d8e4f2", "#8db3dd")
DARK = Theme("#15171b", "#d9dce1", "#555c66", "#9aa1ab", "#7db4f0", "#e8955c", "#2b3f58", "#4a76a6")


@contextmanager
def canvas(
    theme: Theme, dpi: int, width: float, height: float, photograph: bool = False
) -> Iterator[tuple[matplotlib.figure.Figure, io.BytesIO]]:
    """Yield an empty figure of `width` by `height` inches; after the block the PNG is in the buffer.

    Its parts are laid out so that none covers another, and its pixels are cut down to 256 colours: none of a
    chart's moves far, and the file is a third as large. With a `photograph` neither is done.
    """
    # From the defaults, so that a user's matplotlibrc cannot change the bytes.
    settings: dict[str, Any] = {
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), theme.ink),
        **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), theme.faint),
        **dict.fromkeys(("axes.spines.right", "axes.spines.top", "legend.frameon", "text.parse_math"), False),
        "figure.constrained_layout.use": not photograph,
        "font.family": _fonts(),
        "font.size": 9.5,
        "legend.fontsize": 8.5,
    }
    png = io.BytesIO()
    with style.context(["default", settings]):
        figure = matplotlib.figure.Figure((width, height), dpi, facecolor=theme.paper)
        surface = FigureCanvasAgg(figure)
        yield figure, png
        with warnings.catch_warnings():
            # A line for each letter would bury what else the stage says.
            warnings.filterwarnings("error", message="Glyph .* missing from font")
            try:
                surface.draw()
            except UserWarning:
                _say_that_letters_are_missing()
                warnings.filterwarnings("ignore", message="Glyph .* missing from font")
                surface.draw()
    image = Image.fromarray(np.asarray(surface.buffer_rgba())).convert("RGB")
    if not photograph:
        image = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    image.save(png, format="PNG", optimize=True, dpi=(dpi, dpi))


@functools.cache
def _fonts() -> list[str]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [FONT, *(name for name in MORE_LETTERS if name in installed)]


@functools.cache
def _say_that_letters_are_missing() -> None:
    say(
        "report: no installed font has all letters of the class names, so figures show boxes in their place;"
        f" the text of the report has them. Install one of: {', '.join(MORE_LETTERS)}."
    )


@contextmanager
def one_axes(
    theme: Theme, dpi: int, width: float = 4.4, height: float = 3.2
) -> Iterator[tuple[Axes, io.BytesIO]]:
    """Yield the only axes of a figure; see `canvas`."""
    with canvas(theme, dpi, width, height) as (figure, png):
        yield figure.add_subplot(facecolor="none"), png


def drawn(
    name: str, draw: Callable[[Theme], bytes], alt: str, caption: str = "", width: int = 0, least: int = 0
) -> Figure:
    """Return the figure that `draw` draws, in both themes; the other arguments are those of `Figure`."""
    return Figure(name, draw(LIGHT), alt, draw(DARK), caption, width, least)
