"""What a training writes for people: a table of epochs, the curves for DVC, versions and commit."""

import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet.core.errors import UserError
from alexnet.core.files import naming_what_cannot_be_written
from alexnet.core.terminal import say
from alexnet.training.measures import EpochRow
from alexnet.training.results import HISTORY, write_history

if TYPE_CHECKING:
    from dvclive import Live
    from torch.utils.tensorboard import SummaryWriter

LOSSES = ("train_loss", "train_error", "val_loss", "val_top1_error", "val_top5_error")
RATES = ("learning_rate", "bias_learning_rate", "conv1_learning_rate", "fc8_learning_rate")
CURVES = (*LOSSES, *RATES, "data_wait_seconds")
PACKAGES = ("torch", "numpy", "nvidia-dali-cuda130", "dvc")


class Logbook:
    """Writes ``history.csv`` and, through DVCLive, curves and last values, after every epoch.

    All are rewritten from the whole history, so that a resumed run has no gap and no repetition.

    Args:
        folder: of these files.
        events: where TensorBoard finds the same curves, if it is installed.
    """

    def __init__(self, folder: Path, events: Path | None = None) -> None:
        self.folder, self.events = folder, events
        self._live: Live | None = None
        self._events: SummaryWriter | None = None
        self._logged = 0

    def write(self, history: list[EpochRow]) -> None:
        """Write all of `history`.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        write_history(self.folder / HISTORY, history)
        with naming_what_cannot_be_written(self.folder):
            if self._live is None:
                self._live = _open_live(self.folder / "live")
                self._events = _open_events(self.events)
            for row in history[self._logged :]:
                self._live.step = row.epoch
                curves = {name: getattr(row, name) for name in CURVES}
                curves |= {f"gradient_norm/{layer}": norm for layer, norm in row.gradient_norms.items()}
                for name, value in curves.items():
                    self._live.log_metric(name, value)
                    if self._events is not None:
                        self._events.add_scalar(name, value, row.epoch)
                self._live.make_summary()
            if self._events is not None:
                self._events.flush()
        self._logged = len(history)


def _open_live(folder: Path) -> "Live":
    # Not above: what trains without curves, as the benchmarks do, needs no DVC.
    from dvclive import Live
    from scmrepo.exceptions import SCMError

    try:
        # DVCLive would write a dvc.yaml of its own, save experiments and print a report.
        return Live(dir=str(folder), save_dvc_exp=False, dvcyaml=None, report=None, resume=False)
    except SCMError as error:
        raise UserError(f"this Git repository cannot be used ({error}). Make a first commit.") from None


def _open_events(folder: Path | None) -> "SummaryWriter | None":
    if folder is None or importlib.util.find_spec("tensorboard") is None:
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
    """Return the commit checked out, with ``+`` when the tracked `code` was changed since, or None."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "diff", "--quiet", "HEAD", "--", *code], capture_output=True, check=False
        ).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")
