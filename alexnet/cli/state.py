"""List and remove the saved states from which stopped stages resume."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from alexnet.core.errors import UserError
from alexnet.core.places import PARAMS_FILE, STATE
from alexnet.core.terminal import say


def state(
    clear: Annotated[
        Literal["ended", "all"] | None,
        typer.Option(
            help="ended: remove the states of trainings that have ended; all: everything in .state. What a"
            " stage of the pipeline is using stays"
        ),
    ] = None,
) -> None:
    """List the saved states from which stopped stages resume, and what else is in .state; or remove them.

    No results are removed, and nothing outside .state.
    """
    from alexnet.core.files import exists
    from alexnet.core.progress import bytes_in_words, duration
    from alexnet.training.states import ENDED

    if not PARAMS_FILE.exists():
        raise UserError(f"{PARAMS_FILE}: no such file. Run this in the root folder of the project.")
    total, failed = 0, False
    for place in _places():
        try:
            is_unwanted = clear == "all" or (clear == "ended" and exists(place / ENDED))
            if is_unwanted and _remove(place):
                say(f"{place}: removed")
                continue
            shown = f"{place}{_about(place)}{'; in use, so it stays' * is_unwanted}"
        except UserError as error:
            failed, shown = True, str(error)
        size, age = _measure(place)
        total += size
        say(f"{bytes_in_words(size):>8}  {duration(age) + ' ago':14}  {shown}")
    say(f"{bytes_in_words(total):>8}  in all")
    if failed:
        raise SystemExit(1)


def _places() -> Iterator[Path]:
    """Yield the folders and files that are kept or removed as one: each training and each other state."""
    for path in sorted(STATE.glob("*")):
        if path.name in ("train", "preprocess") and os.access(path, os.R_OK | os.X_OK):
            yield from sorted(path.iterdir())
        else:
            yield path


def _measure(place: Path) -> tuple[int, float]:
    """Return the bytes in a folder or file, and the seconds since any of it was written."""
    size, last = 0, 0.0
    for path in (place, *place.rglob("*")):
        # A training that is running renames and removes its states.
        with contextlib.suppress(OSError):
            about = path.stat()
            last = max(last, about.st_mtime)
            size += about.st_size if path.is_file() else 0
    return size, max(0.0, time.time() - last)


def _about(place: Path) -> str:
    """Say of a training whether it has ended, and how far it came."""
    from alexnet.core.files import exists
    from alexnet.training.checkpoints import Checkpoints
    from alexnet.training.states import ENDED, TRAININGS

    if place.parent != TRAININGS:
        return ""
    if exists(place / ENDED):
        return ": a training that has ended"
    furthest = Checkpoints(place).furthest()
    return f": a training in epoch {furthest[0]}" if furthest else ": a training without a state yet"


def _remove(place: Path) -> bool:
    from alexnet.core.files import exists, naming_what_cannot_be_written, remove_unless_held

    if exists(place / "lock"):
        return remove_unless_held(place)
    with naming_what_cannot_be_written(place):
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    return True
