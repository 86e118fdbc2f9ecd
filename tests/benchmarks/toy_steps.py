"""Toy steps of a measurement; the processes that take them import this module, so it imports little."""

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.steps import NoFiguresError, Step


def note(path: Path, error: BaseException | None = None) -> dict[str, Any]:
    """Note that this step was taken."""
    with path.open("a") as file:
        file.write(".")
    if error:
        raise error
    return {"value": 1.5, "process": os.getpid()}


def first_only(path: Path) -> dict[str, Any]:
    """Have figures once, and then none."""
    return note(path, NoFiguresError("nothing to measure any more") if path.exists() else None)


def hang() -> dict[str, Any]:
    time.sleep(600)
    return {}


def troubled(folder: Path) -> list[Step]:
    """Return steps that fail in all ways, and one among them that does not."""
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
    return [
        Step("has a reason", 60, partial(note, folder / "none", NoFiguresError("nothing to measure"))),
        Step("needs memory", 60, partial(note, folder / "memory", full)),
        Step("fails", 60, partial(note, folder / "wrong", RuntimeError("this is\nwrong"))),
        Step("dies", 60, partial(os._exit, 3)),
        Step("hangs", 2, hang),
        Step("is sound", 60, partial(note, folder / "sound")),
    ]


def dependent(folder: Path) -> list[Step]:
    """Return a step, and one whose figures depend on those of the first."""
    return [Step(name, 60, partial(note, folder / name), again=name == "sum") for name in ("part", "sum")]


def fickle(folder: Path) -> list[Step]:
    return [Step("has figures once", 60, partial(first_only, folder / "once"))]
