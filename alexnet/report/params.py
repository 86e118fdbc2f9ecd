"""`report`: how the report looks."""

from typing import ClassVar

from pydantic import Field

from alexnet.core.params import Section


class Report(Section):
    """The ``report`` section.

    Attributes:
        title: the heading of the page.
        photographs: whether pictures of the data are shown; without them, a page may be passed on where the
            pictures may not.
        kernel_pixels: side, in pixels of the figure, of one weight of a conv1 kernel.
        figure_dpi: pixels per inch of the other figures; 160 is sharp enough, and the page has about 1 MB.
    """

    key: ClassVar[str] = "report"

    title: str = Field(min_length=1)
    photographs: bool
    kernel_pixels: int = Field(ge=1, le=64)
    figure_dpi: int = Field(ge=50, le=600)
