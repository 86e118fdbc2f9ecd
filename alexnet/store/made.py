"""Reading what a stage has made, and naming the stage when it is missing or damaged."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from alexnet.core.errors import UserError

T = TypeVar("T")


def read_made(path: Path, stage: str, read: Callable[[Path], T]) -> T:
    """Return what `read` makes of a file of the `stage`.

    Raises:
        UserError: it is missing, damaged or of another version.
    """
    if not path.exists():
        raise UserError(f"{path}: missing; run the {stage} stage first (dvc repro {stage})")
    try:
        return read(path)
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: cannot be read ({reason}); run dvc repro -f {stage}") from None
