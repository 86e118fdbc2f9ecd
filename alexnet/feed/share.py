"""Parts of a batch that several processes work on."""

from __future__ import annotations

from typing import NamedTuple


class Share(NamedTuple):
    """Which part of every batch a process works on: parts `first` to `last` − 1 of `of`.

    The parts of a batch are as even as they can be; of a batch smaller than `of` some are empty.
    """

    first: int
    last: int
    of: int

    def bounds(self, count: int) -> tuple[int, int]:
        """Return where this share of `count` pictures begins and ends."""
        return count * self.first // self.of, count * self.last // self.of


WHOLE = Share(0, 1, 1)
