"""How long each stage of the project's own pipeline took when DVC last ran it in this folder.

Kept beside the other state and not among the stages' results, which must not differ because a
machine was slow.
"""

import contextlib
import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alexnet.core.errors import UserError
from alexnet.core.files import parse_checked_json, write_checked_json
from alexnet.core.places import STATE
from alexnet.core.terminal import say

FOLDER = STATE / "durations"


def recorded(stage: Callable[..., Any], folder: Path = FOLDER) -> Callable[..., None]:
    """Wrap `stage`: when it ends well, its seconds are written below `folder`.

    A stage that was started by hand is not timed, nor is one of an experiment. Of torchrun's processes the
    first alone writes.
    """

    @functools.wraps(stage)
    def timed(*arguments: Any, **options: Any) -> None:
        start = time.monotonic()
        stage(*arguments, **options)
        # DVC names the stages of other pipelines with their file: FILE:STAGE.
        name = os.environ.get("DVC_STAGE", ":")
        if ":" not in name and os.environ.get("RANK", "0") == "0":
            # Its work is done: that its time cannot be written down is no failure.
            with contextlib.suppress(UserError):
                write_checked_json(folder / f"{name}.json", {"seconds": round(time.monotonic() - start, 1)})

    return timed


def read_durations(folder: Path) -> dict[str, float]:
    """Return the seconds of each stage that has run, by name; what is damaged is named and left out."""
    found = {}
    try:
        paths = sorted(folder.glob("*.json"))
    except OSError as error:
        # Perhaps another user's.
        say(f"{folder}: cannot be read, so no time is shown ({error.strerror})")
        return {}
    for path in paths:
        try:
            found[path.stem] = float(parse_checked_json(path.read_bytes())["seconds"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            say(f"{path}: damaged, so this time is not shown ({error})")
    return found
