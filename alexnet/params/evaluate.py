"""`evaluate`: on which pictures the error rates are measured."""

from __future__ import annotations

from typing import ClassVar, Literal

from alexnet.params.base import Section


class Evaluate(Section):
    """The split whose error rates go into the report (paper, section 4.1, last paragraph of crops)."""

    key: ClassVar[str] = "evaluate"

    split: Literal["train", "val"]
