"""What a training writes for people: a table of epochs, TensorBoard's files, versions and commit."""

import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet.core.files import naming_what_cannot_be_written
from alexnet.core.terminal import say
from alexnet.training.measures import EpochRow
from alexnet.training.results import HISTORY, NORM_COLUMN, columns_of, write_history

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

PACKAGES = ("torch", "numpy", "nvidia-dali-cuda130", "dvc")


class Logbook:
    """Writes ``history.csv`` after every epoch, and the same numbers for TensorBoard.

    The table is rewritten from the whole history, so that a resumed run has no gap and no repetition.

    Args:
        folder: of the table.
        events: where TensorBoard finds its files, if it is installed.
    """

    def __init__(self, folder: Path, events: Path) -> None:
        self.folder, self.events = folder, events
        self._events: SummaryWriter | None = None
        self._logged = 0

    def write(self, history: list[EpochRow]) -> None:
        """Write all of `history`.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        write_history(self.folder / HISTORY, history)
        with naming_what_cannot_be_written(self.events):
            if not self._logged:
                self._events = _open_events(self.events)
            if self._events is not None:
                for row in history[self._logged :]:
                    for name, value in columns_of(row).items():
                        # TensorBoard shows together what has the same name before a slash.
                        tag = name.replace(NORM_COLUMN, "gradient_norm/")
                        self._events.add_scalar(tag, value, row.epoch)
                self._events.flush()
        self._logged = len(history)


def _open_events(folder: Path) -> "SummaryWriter | None":
    if importlib.util.find_spec("tensorboard") is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except (ImportError, TypeError, AttributeError) as error:
        # One that does not fit its own dependencies must not end a training.
        say(f"TensorBoard cannot be imported, so it gets no curves ({error})")
        return None
    shutil.rmtree(folder, ignore_errors=True)
    return SummaryWriter(str(folder))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers and speed depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_commit(code: Sequence[str] = ("alexnet", "stages")) -> str | None:
    """Return the commit checked out, with ``+`` when the `code` differs from it.

    None without a repository that has the `code`, or when Git does not read it, as that of another user.
    """

    def answer(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # The folder may lie in a repository of something else.
        if not answer("ls-files", "--", *code):
            return None
        head, changed = answer("rev-parse", "--short", "HEAD"), answer("status", "--porcelain", "--", *code)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")
