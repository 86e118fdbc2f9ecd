"""`evaluate`: on which pictures the error rates are measured, and how ties count."""

from typing import ClassVar, Literal

from alexnet.core.params import Section


class Evaluate(Section):
    """The split whose error rates go into the report (paper, section 4.1)."""

    key: ClassVar[str] = "evaluate"

    split: Literal["train", "val", "test"]
    ties: Literal["against", "fractional"]

    @property
    def share_ties(self) -> bool:
        """Whether classes of equal score share the credit, as in the 2012 source."""
        return self.ties == "fractional"
