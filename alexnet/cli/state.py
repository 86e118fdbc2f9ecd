"""List and remove the saved states from which stopped stages resume."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from alexnet.core.places import STATE
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
    from alexnet.core.progress import bytes_in_words, duration
    from alexnet.training.states import ENDED

    total = 0
    for place in _places():
        if clear == "all" or (clear == "ended" and (place / ENDED).exists()):
            say(f"{place}: {'removed' if _remove(place) else 'in use, so it stays'}")
            continue
        size, age = _measure(place)
        total += size
        say(f"{bytes_in_words(size):>8}  {duration(age) + ' ago':14}  {place}{_about(place)}")
    say(f"{bytes_in_words(total):>8}  in all")


def _places() -> Iterator[Path]:
    """Yield the folders and files that are kept or removed as one: each training and each other state."""
    for path in sorted(STATE.glob("*")):
        if path.name in ("train", "preprocess"):
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
    from alexnet.training.checkpoints import Checkpoints
    from alexnet.training.states import ENDED, TRAININGS

    if place.parent != TRAININGS:
        return ""
    if (place / ENDED).exists():
        return ": a training that has ended"
    furthest = Checkpoints(place).furthest()
    return f": a training in epoch {furthest[0]}" if furthest else ": a training without a state yet"


def _remove(place: Path) -> bool:
    from alexnet.core.files import naming_what_cannot_be_written, remove_unless_held

    if (place / "lock").exists():
        return remove_unless_held(place)
    with naming_what_cannot_be_written(place):
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    return True
