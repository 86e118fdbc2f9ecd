"""The states of all trainings in this folder: which have ended, and which of those are kept."""

import contextlib
import time
from pathlib import Path

from alexnet.core.errors import UserError
from alexnet.core.files import remove_unless_held
from alexnet.core.places import LASTING
from alexnet.core.terminal import say
from alexnet.training.checkpoints import Checkpoints

# A folder for each training.
TRAININGS = LASTING / "train"
# A file of this name stands in the folder of a training whose weights have been written.
ENDED = "ended"
# Of trainings that have ended, the last so many are kept, for so many days.
KEPT, KEPT_DAYS = 3, 30


def begin_training(folder: Path, epochs: int) -> None:
    """Mark the training in `folder` as not ended, unless a longer one than `epochs` has ended there."""
    if not Checkpoints(folder).go_beyond(epochs):
        (folder / ENDED).unlink(missing_ok=True)


def end_training(folder: Path, epochs: int) -> None:
    """Mark the training in `folder` as ended, and remove the states of those that ended long before it.

    It stays unmarked if it has states of a longer training than `epochs`, which has not ended.
    """
    if not Checkpoints(folder).go_beyond(epochs):
        (folder / ENDED).touch()
    ended: dict[Path, float] = {}
    for mark in TRAININGS.glob(f"*/{ENDED}"):
        # Another training may remove it at the same time.
        with contextlib.suppress(OSError):
            ended[mark.parent] = mark.stat().st_mtime
    # However the clock was set when the others ended.
    ended.pop(folder, None)
    oldest = time.time() - KEPT_DAYS * 86400
    for place, other in enumerate(sorted(ended, key=ended.__getitem__, reverse=True), 1):
        # What belongs to another user may stay.
        with contextlib.suppress(UserError):
            if (place >= KEPT or ended[other] < oldest) and remove_unless_held(other):
                say(
                    f"train: {other}: removed, the state of a training that has ended (kept are {KEPT}, for"
                    f" {KEPT_DAYS} days)"
                )
