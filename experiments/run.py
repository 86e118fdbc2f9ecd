"""Run an experiment: python -m experiments.run ablations

Each experiment is a pipeline of its own, of up to a hundred stages. DVC looks at every ``dvc.yaml`` of the
project in each of its commands, so that of an experiment is named ``pipeline.yaml`` until it is run.

With ``--at-once 2``, the runs of the experiment are dealt out to several `dvc repro --single-item`, each with
one GPU of this machine and an equal part of its cores; with fewer of them, they are shared. What comes before
the runs (the pictures, the check) and after them (the page) runs alone. It is for pipelines whose runs do not
need each other: ablations and ensemble. The same command resumes what was stopped.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer

from alexnet.core.errors import UserError
from alexnet.core.files import write_text
from alexnet.core.params import load_yaml
from alexnet.core.places import REPORTS
from alexnet.core.processes import end_abruptly_with_parent
from alexnet.core.stage import run
from alexnet.core.terminal import say

Experiment = Literal["ablations", "ensemble", "figure1", "pretraining", "recipe_walk"]
# The stages that a pipeline must have for --at-once.
STAGES = ("check", "train", "evaluate", "page")


def shares(stages: list[str], count: int) -> list[list[str]]:
    """Deal the runs out to `count` processes; return the stages of each in the given order.

    ``train@1-full`` and ``evaluate@1-full`` are of one run and stay together; without ``@`` they are in none.
    """
    runs: dict[str, list[str]] = {}
    for stage in stages:
        _, at, name = stage.partition("@")
        if at:
            runs.setdefault(name, []).append(stage)
    dealt = list(runs.values())
    return [[stage for own in dealt[number::count] for stage in own] for number in range(count)]


def places(count: int) -> Iterator[tuple[list[int], dict[str, str]]]:
    """Yield the cores and the environment of each of `count` processes."""
    cores, gpus = sorted(os.sched_getaffinity(0)), torch.cuda.device_count()
    # Whoever started this may have left it only some of the GPUs, by number or by name.
    left = os.environ.get("CUDA_VISIBLE_DEVICES")
    named = list(map(str, range(gpus))) if left is None else left.split(",")
    for number in range(count):
        environment = {"CUDA_VISIBLE_DEVICES": named[number % gpus].strip()} if gpus else {}
        yield cores[number::count] or cores, environment


def refuse_other_shapes(stages: list[str], pipeline: Path) -> None:
    """Refuse a pipeline with stages between or beside the runs: nothing would run them in time."""
    kinds = list(dict.fromkeys(stage.partition("@")[0] for stage in stages))
    if set(kinds) != set(STAGES):
        raise UserError(
            f"--at-once: {pipeline} has the stages {', '.join(kinds)}; allowed: {', '.join(STAGES)}, as"
            " ablations and ensemble have them. Leave the option out."
        )


def main(
    experiment: Annotated[Experiment, typer.Argument(help="which experiment")],
    at_once: Annotated[int, typer.Option(help="number of runs at a time", min=1)] = 1,
) -> None:
    """Run a whole experiment, its page included."""
    template = Path("experiments") / experiment / "pipeline.yaml"
    if at_once > 1:
        refuse_other_shapes(list(load_yaml(template)["stages"]), template)
    page = REPORTS / "experiments" / f"{experiment}.md"
    if page.exists():
        say(f"{page}: will be replaced by the page of this run; git checkout {page.parent} brings it back")
    pipeline = template.with_name("dvc.yaml")
    head = "# A copy of pipeline.yaml, made by experiments.run. Change that file, not this one.\n"
    write_text(pipeline, head + template.read_text())
    if at_once > 1:
        _run_side_by_side(pipeline, at_once)
    # A run that fails does not stop the others.
    _repro("--keep-going", str(pipeline))


def _run_side_by_side(pipeline: Path, at_once: int) -> None:
    command = ["dvc", "stage", "list", "--name-only", str(pipeline)]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    names = [line.rpartition(":")[2] for line in listed]
    # All that the runs need: the pictures with their statistics, and checked parameters.
    _repro("rgb_pca", f"{pipeline}:check")
    running = []
    for share, (cores, environment) in zip(shares(names, at_once), places(at_once), strict=True):
        addresses = [f"{pipeline}:{name}" for name in share]
        if addresses:
            running.append(_start(addresses, cores, environment))
    if _any_failed(running):
        raise UserError(f"{pipeline}: a run failed, see above. The same command resumes with what is left.")


def _start(addresses: list[str], cores: list[int], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    def settle() -> None:
        end_abruptly_with_parent()
        os.sched_setaffinity(0, cores)

    # DVC holds its lock only briefly, but several processes can want it at the same time.
    command = ["dvc", "--wait-for-lock", "repro", "--single-item", "--keep-going", *addresses]
    return subprocess.Popen(command, env={**os.environ, **environment}, preexec_fn=settle)


def _repro(*arguments: str) -> None:
    command = ["dvc", "repro", *arguments]
    if _any_failed([subprocess.Popen(command)]):
        raise UserError(f"{' '.join(command)}: failed, see above. The same command resumes from there.")


def _any_failed(running: list[subprocess.Popen[bytes]]) -> bool:
    try:
        # Of a list, so that all are waited for.
        return any([process.wait() for process in running])
    except KeyboardInterrupt:
        # Ctrl-C also reaches the child processes, which first save their state.
        for process in running:
            process.wait()
        raise


if __name__ == "__main__":
    run(main)
