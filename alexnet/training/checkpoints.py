"""Resumable states on disk: complete or absent, the last two kept, named by epoch and picture."""

import re
from pathlib import Path
from typing import Any

import torch

from alexnet.core.files import replacing

KEPT = 2


class Checkpoints:
    """The states of one training, in a folder of their own.

    The folder is named by a fingerprint of all that changes the numbers but the number of epochs,
    so that a longer run can resume from a shorter one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: dict[str, Any]) -> None:
        """Write `state`, which names its ``epoch`` and ``consumed``, and drop all but the last two."""
        # Each state has another name, so nothing else would remove what a killed write left.
        for leftover in self.folder.glob("epoch-*.partial"):
            leftover.unlink()
        name = f"epoch-{state['epoch']:05d}-{state['consumed']:09d}.pt"
        with replacing(self.folder / name) as temporary:
            torch.save(state, temporary)
        written = self.folder / name
        older = sorted(self._files(), key=lambda path: path.stat().st_mtime_ns)
        for path in older[:-KEPT]:
            if path != written:
                path.unlink()

    def newest(self, epochs: int) -> dict[str, Any] | None:
        """Return the furthest state within `epochs` whole epochs, or None to start from the beginning.

        A state beyond `epochs` belongs to a longer run and is no result of this one.
        """
        for path in sorted(self._files(), reverse=True):
            if _place(path) <= (epochs + 1, 0):
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
                return state
        return None

    def _files(self) -> list[Path]:
        return list(self.folder.glob("epoch-*.pt"))


def _place(path: Path) -> tuple[int, int]:
    epoch, consumed = re.findall(r"\d+", path.name)
    return int(epoch), int(consumed)
