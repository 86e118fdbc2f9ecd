"""How the report looks; no knob here changes a number in it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from alexnet.params.base import Section


class Report(Section):
    """The ``report`` section.

    Attributes:
        title: the heading of the page.
        kernel_pixels: side, in pixels of the figure, of one weight of a conv1 kernel.
        figure_dpi: pixels per inch of the other figures; twice a screen's 96 is sharp on a phone.
    """

    key: ClassVar[str] = "report"

    title: str = Field(min_length=1)
    kernel_pixels: int = Field(ge=1, le=64)
    figure_dpi: int = Field(ge=50, le=600)
