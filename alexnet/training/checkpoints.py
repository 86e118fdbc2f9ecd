"""Resumable states on disk: complete or absent, two kept, named by epoch, picture and checksum."""

import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from alexnet.core.errors import UserError
from alexnet.core.files import replacing
from alexnet.core.terminal import say

KEPT = 2


@dataclass(frozen=True)
class Checkpoints:
    """The states of one training, in a folder of their own.

    The folder is named by a fingerprint of all that changes the numbers but the number of epochs,
    so that a longer run can resume from a shorter one.
    """

    folder: Path

    def save(self, state: dict[str, Any]) -> None:
        """Write `state`, which names its ``epoch`` and ``consumed``, and drop those before the last two.

        States further on are of a longer training, and stay.

        Raises:
            UserError: the disk is full or the folder cannot be written; the older states are kept.
        """
        # Each state has another name, so nothing else would remove what a killed write left.
        for leftover in self.folder.glob("epoch-*.partial"):
            leftover.unlink()
        packed = io.BytesIO()
        torch.save(state, packed)
        content = packed.getbuffer()
        written = self.folder / f"epoch-{state['epoch']:05d}-{state['consumed']:09d}-{_checksum(content)}.pt"
        with replacing(written) as temporary:
            temporary.write_bytes(content)
        before = [path for path in self._files() if path != written and _place_of(path) <= _place_of(written)]
        for path in sorted(before, key=_place_of)[: -(KEPT - 1)]:
            path.unlink()

    def newest(self, epochs: int) -> dict[str, Any] | None:
        """Return the furthest sound state within `epochs` whole epochs, or None to start from the beginning.

        A state beyond `epochs` belongs to a longer run and is no result of this one. A state whose
        checksum differs is renamed, this is printed, and the state before it is taken.

        Raises:
            UserError: a state cannot be read, or a damaged one cannot be renamed.
        """
        for path in sorted(self._within(epochs), reverse=True):
            try:
                content = path.read_bytes()
                if _checksum(content) != path.stem.split("-")[-1]:
                    path.replace(path.with_suffix(".damaged"))
                    say(f"train: {path}: damaged, so not used; it is now called *.damaged")
                    continue
            except OSError as error:
                raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
            return dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
        return None

    def forget_ended(self, epochs: int) -> None:
        """Remove the states within `epochs` whole epochs if the last of them was reached, else none."""
        within = self._within(epochs)
        if any(_place_of(path) == (epochs + 1, 0) for path in within):
            for path in within:
                path.unlink()

    def go_beyond(self, epochs: int) -> bool:
        """Whether there is a state of a longer training than `epochs` whole epochs."""
        return len(self._within(epochs)) < len(self._files())

    def furthest(self) -> tuple[int, int] | None:
        """Return the epoch and the number of its pictures at which the furthest state stands, or None."""
        return max(map(_place_of, self._files()), default=None)

    def _within(self, epochs: int) -> list[Path]:
        return [path for path in self._files() if _place_of(path) <= (epochs + 1, 0)]

    def _files(self) -> list[Path]:
        return [path for path in self.folder.glob("epoch-*.pt") if _NAME.fullmatch(path.name)]


_NAME = re.compile(r"epoch-\d+-\d+-[0-9a-f]{16}\.pt")


def _place_of(path: Path) -> tuple[int, int]:
    epoch, consumed = path.stem.split("-")[1:3]
    return int(epoch), int(consumed)


def _checksum(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
