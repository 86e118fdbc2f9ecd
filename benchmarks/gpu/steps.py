"""Steps that are taken one by one, each with a time limit, whose results are written at once.

They run in another process, so that one that hangs or dies takes nothing with it. A run that was killed
keeps what it had, and the next one takes only the steps that have no figures yet.
"""

import gc
import json
import multiprocessing
import os
import shlex
import signal
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
from alexnet.core.processes import end_abruptly_with_parent, left_to_parent
from alexnet.parallel.device import memory_error
from alexnet.training.log import git_commit, versions

OUT_OF_MEMORY = "out of memory"
# Seconds that the other process has to end by itself.
GRACE = 5.0
# Whose changes mark a commit.
CODE = ("alexnet", "benchmarks", ":!benchmarks/results")

Figures = dict[str, Any]


class NoFiguresError(Exception):
    """A step has no figures, for the reason that the message gives in one line."""


@dataclass(frozen=True)
class Step:
    """Something to measure, which is given up after `limit` seconds.

    `again`: it is taken although it has figures, and after any step that got some; its own depend on theirs.
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
    device: str,
    drivers: Figures,
    only: tuple[str, ...] = (),
    again: bool = False,
) -> None:
    """Take the steps that have no figures yet; print the table of all results at the end, or when stopped.

    Args:
        folder: where the steps run.
        results: the file to continue, whose figures are all of one `device`.
        drivers: its versions, which are kept with each figure.
        only: leave out the steps whose names contain none of these; without any, take all.
        again: take the steps that have figures, too. A step that then has none keeps the old ones.

    Raises:
        UserError: the results so far are damaged or of another device, or `only` fits no step.
    """
    found, worker, steps = read_results(results), Worker(plan, folder), plan()
    if found.setdefault("device", device) != device:
        raise UserError(f"{results}: found results of {found['device']}; now it is {device}. Move it away.")
    for text in only:
        if not any(text in step.name for step in steps):
            kinds = dict.fromkeys(step.name.partition(":")[0] for step in steps)
            raise UserError(f"--steps: found {text!r}; no step has it in its name. Try {', '.join(kinds)}.")
    changed = False
    try:
        for step in steps:
            before = found["steps"].get(step.name, {})
            done = "figures" in before or before.get("missing") == OUT_OF_MEMORY
            wanted = not only or any(text in step.name for text in only)
            is_due = (wanted or changed) if step.again else wanted and (again or not done)
            if not is_due:
                continue
            start = time.monotonic()
            entry = worker.take(step)
            entry |= {"seconds": round(time.monotonic() - start, 1), "commit": git_commit(CODE)}
            command = shlex.join(["python", "-m", "benchmarks.gpu", *sys.argv[1:]])
            entry |= {"versions": {**versions(), **drivers}, "command": command}
            told = f"{step.name}: {shown(entry)} ({entry['seconds']} s)"
            if "missing" in entry and "figures" in before:
                told += f"; the figures of {before['commit']} are kept"
            else:
                found["steps"][step.name], changed = entry, True
                write_json(results, found)
            print(told, flush=True)
    finally:
        worker.end()
        print(f"\n{device}\n\n| step | figures | commit |\n|---|---|---|")
        for name, entry in found["steps"].items():
            print(f"| {name} | {shown(entry)} | {entry['commit']} |", flush=True)


def read_results(path: Path) -> dict[str, Any]:
    """Return the device and an entry for each step that was taken so far; refuse a damaged file."""
    if not path.exists():
        return {"steps": {}}
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        found: dict[str, Any] = json.loads(path.read_text())
        entries = found["steps"].values()
        if all("commit" in entry and ("figures" in entry) != ("missing" in entry) for entry in entries):
            return found
    raise UserError(f"{path}: damaged; take it from Git again, or move it away")


def shown(entry: Figures) -> str:
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
            with left_to_parent(signal.SIGINT):
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
        if self._process is not None:
            self._pipe.close()
            self._process.terminate()
            self._process.join(GRACE)
            self._process.kill()
            self._process.join()
            self._process = None


class _EndedError(BaseException):
    """This process is to end; what it was doing is to clean up."""


def _end(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _EndedError


def _serve(pipe: Connection, plan: Plan, folder: Path) -> None:
    end_abruptly_with_parent()
    signal.signal(signal.SIGTERM, _end)
    # Stages keep their state below the present folder.
    os.chdir(folder)
    steps = {step.name: step for step in plan()}
    # In two parts, since the end of the pipe and the signal can come at almost the same time.
    with suppress(_EndedError), suppress(EOFError):
        while True:
            entry, is_sound = taken(steps[pipe.recv()])
            # The memory that a step has taken must not be missing to the next.
            gc.collect()
            if is_sound:
                torch.cuda.empty_cache()
            pipe.send((entry, is_sound))
    # What ends by itself is not to be told to end in the middle of it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def taken(step: Step) -> tuple[Figures, bool]:
    """Return the entry of a step, and whether this process can go on."""
    try:
        return {"figures": step.work()}, True
    except NoFiguresError as error:
        return {"missing": str(error)}, True
    except (Exception, SystemExit) as error:
        if isinstance(error, MemoryError) or memory_error(error):
            # After errors of CUDA itself, a GPU may do no more for a process.
            return {"missing": OUT_OF_MEMORY}, isinstance(error, (MemoryError, torch.OutOfMemoryError))
        traceback.print_exc()
        return {"missing": " ".join(f"{type(error).__name__}: {error}".split())[:300]}, False
