"""`evaluate`: on which pictures the error rates are measured, and how ties count."""

from typing import ClassVar, Literal

from alexnet.core.params import Section

Ties = Literal["against", "fractional"]


class Evaluate(Section):
    """The split whose error rates go into the report (paper, section 4.1, last paragraph of crops)."""

    key: ClassVar[str] = "evaluate"

    split: Literal["train", "val", "test"]
    ties: Ties
