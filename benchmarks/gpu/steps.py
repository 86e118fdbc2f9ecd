"""Steps that are taken one by one, each with a time limit, whose results are written at once.

They run in another process, so that one that hangs or dies takes nothing with it. A run that was killed
keeps what it had, and the next one takes only the steps that have no figures yet.
"""

import gc
import json
import multiprocessing
import os
import shlex
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch

from alexnet.core.errors import UserError
from alexnet.core.files import write_json
from alexnet.core.processes import end_abruptly_with_parent
from alexnet.training.log import git_commit, versions

OUT_OF_MEMORY = "out of memory"
# Seconds that the other process has to end by itself.
GRACE = 5.0

Figures = dict[str, Any]


class NoFiguresError(Exception):
    """A step has no figures, for the reason that the message gives in one line."""


@dataclass(frozen=True)
class Step:
    """Something to measure.

    Attributes:
        limit: seconds after which it is given up.
        again: whether it is taken although it has figures, because they depend on those of other steps.
    """

    name: str
    limit: float
    work: Callable[[], Figures]
    again: bool = False


# Called in the other process too, so it can be pickled: a function of a module, or a partial of one.
Plan = Callable[[], list[Step]]


def measure(
    plan: Plan,
    folder: Path,
    results: Path,
    about: Figures,
    only: tuple[str, ...] = (),
    again: bool = False,
) -> None:
    """Take the steps that have no figures yet; print the table of all results at the end.

    Args:
        folder: where the steps run.
        results: the file to continue.
        about: what all figures of that file have in common, such as the device.
        only: leave out the steps whose names contain none of these; without any, take all.
        again: take the steps that have figures, too.

    Raises:
        UserError: the results so far are about something else.
    """
    found, worker = read_results(results), Worker(plan, folder)
    if found.setdefault("about", about) != about:
        raise UserError(
            f"{results}: found results of {found['about']}; now it is {about}. Move the file away."
        )
    try:
        for step in plan():
            before = found["steps"].get(step.name, {})
            done = "figures" in before or before.get("missing") == OUT_OF_MEMORY
            wanted = not only or any(text in step.name for text in only)
            if not wanted or (done and not (step.again or again)):
                continue
            start = time.monotonic()
            entry = worker.take(step)
            entry |= {"seconds": round(time.monotonic() - start, 1), "commit": git_commit()}
            command = shlex.join(["python", "-m", "benchmarks.gpu", *sys.argv[1:]])
            entry |= {"versions": versions(), "command": command}
            found["steps"][step.name] = entry
            write_json(results, found)
            print(f"{step.name}: {shown(entry)} ({entry['seconds']} s)", flush=True)
    finally:
        worker.end()
    print("\n" + ", ".join(f"{name} {value}" for name, value in about.items()))
    print("\n| step | figures | commit |\n|---|---|---|")
    for name, entry in found["steps"].items():
        print(f"| {name} | {shown(entry)} | {entry['commit']} |")


def read_results(path: Path) -> dict[str, Any]:
    """Return the results so far: what they are about, and an entry for each step that was taken."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"steps": {}}
    return found


def shown(entry: Figures) -> str:
    """Return an entry in one line."""
    if "missing" in entry:
        return f"none: {entry['missing']}"
    figures = entry["figures"].items()
    return "; ".join(f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in figures)


class Worker:
    """The process that takes the steps; a new one takes over where a step has hung or ended it."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self._process: SpawnProcess | None = None

    def take(self, step: Step) -> Figures:
        """Take `step` and return its entry: its figures, or the reason why it has none."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, self.plan, self.folder))
            self._process.start()
            theirs.close()
        try:
            self._pipe.send(step.name)
            if self._pipe.poll(step.limit):
                entry, is_sound = self._pipe.recv()
                if not is_sound:
                    self.end()
                return dict(entry)
            reason = f"not done within {step.limit:g} s"
        except (EOFError, OSError):
            self._process.join()
            reason = f"its process ended with status {self._process.exitcode}"
        self.end()
        return {"missing": reason}

    def end(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            # One that waits for a step ends by itself.
            self._pipe.close()
            self._process.join(GRACE)
            self._process.kill()
            self._process.join()
            self._process = None


def _serve(pipe: Connection, plan: Plan, folder: Path) -> None:
    end_abruptly_with_parent()
    # Stages keep their state below the present folder.
    os.chdir(folder)
    steps = {step.name: step for step in plan()}
    with suppress(EOFError):
        while True:
            entry, is_sound = _taken(steps[pipe.recv()])
            # The memory that a step has taken must not be missing to the next.
            gc.collect()
            if is_sound:
                torch.cuda.empty_cache()
            pipe.send((entry, is_sound))


def _taken(step: Step) -> tuple[Figures, bool]:
    """Return the entry of a step, and whether this process can go on."""
    try:
        return {"figures": step.work()}, True
    except NoFiguresError as error:
        return {"missing": str(error)}, True
    except (Exception, SystemExit) as error:
        if isinstance(error, MemoryError) or OUT_OF_MEMORY in str(error).lower():
            return {"missing": OUT_OF_MEMORY}, True
        traceback.print_exc()
        # After some errors a GPU does no more for a process.
        return {"missing": " ".join(f"{type(error).__name__}: {error}".split())[:300]}, False
