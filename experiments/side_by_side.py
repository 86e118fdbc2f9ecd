"""Run an experiment several stages at a time: `dvc repro` alone runs one after another.

    python -m experiments.side_by_side experiments/ablations/dvc.yaml

The runs of the experiment are dealt out to several `dvc repro --single-item`, each with its own GPU of this
machine, and its own cores where `workers` is auto. What comes before them (the pictures, the check) and after
them (the page) runs alone. A second call resumes where the first was stopped. It is for pipelines whose runs
do not need each other: ablations and ensemble.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer

from alexnet.core.errors import UserError
from alexnet.core.processes import end_abruptly_with_parent
from alexnet.core.stage import run

# All that the runs need: the pictures with their statistics, and checked parameters.
PICTURES = "rgb_pca"
CHECK = "check"
# What a pipeline consists of whose runs can be dealt out.
STAGES = (CHECK, "train", "evaluate", "page")


def shares(stages: list[str], count: int) -> list[list[str]]:
    """Deal the runs out to `count` processes.

    Args:
        stages: names as DVC has them; ``train@1-full`` and ``evaluate@1-full`` are of one run.

    Returns:
        The stages of each process in the given order; those of a run stay together. Without ``@``: in none.
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
    """Refuse a pipeline with stages between or beside the runs: they would not be made in time.

    Raises:
        UserError: names the pipeline and its stages.
    """
    kinds = list(dict.fromkeys(stage.partition("@")[0] for stage in stages))
    if set(kinds) != set(STAGES):
        raise UserError(
            f"{pipeline}: found the stages {', '.join(kinds)}; allowed: {', '.join(STAGES)}, as ablations and"
            f" ensemble have them. Run dvc repro --keep-going {pipeline}, one stage after another."
        )


def main(
    pipeline: Annotated[Path, typer.Argument(help="the experiment's dvc.yaml")],
    at_once: Annotated[int, typer.Option(help="number of runs at a time", min=1)] = 2,
) -> None:
    """Run a whole experiment, several runs at a time."""
    if not pipeline.is_file():
        raise UserError(f"{pipeline}: no such file; name an experiment's dvc.yaml")
    listed = subprocess.run(
        ["dvc", "stage", "list", "--name-only", str(pipeline)], check=True, capture_output=True, text=True
    )
    names = [line.rpartition(":")[2] for line in listed.stdout.split()]
    refuse_other_shapes(names, pipeline)
    _refuse_failure(subprocess.run(["dvc", "repro", PICTURES, f"{pipeline}:{CHECK}"]))
    running = []
    for share, (cores, environment) in zip(shares(names, at_once), places(at_once), strict=True):
        addresses = [f"{pipeline}:{name}" for name in share]
        if addresses:
            running.append(_start(addresses, cores, environment))
    try:
        codes = [process.wait() for process in running]
    except KeyboardInterrupt:
        # Ctrl-C reached them too: they save their state first.
        for process in running:
            process.wait()
        raise
    if any(codes):
        raise UserError(f"{pipeline}: a run failed, see above. The same command resumes with what is left.")
    _refuse_failure(subprocess.run(["dvc", "repro", str(pipeline)]))


def _start(addresses: list[str], cores: list[int], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    def settle() -> None:
        end_abruptly_with_parent()
        os.sched_setaffinity(0, cores)

    # DVC's own lock is held for moments, but long enough to meet.
    command = ["dvc", "--wait-for-lock", "repro", "--single-item", "--keep-going", *addresses]
    return subprocess.Popen(command, env={**os.environ, **environment}, preexec_fn=settle)


def _refuse_failure(done: subprocess.CompletedProcess[bytes]) -> None:
    if done.returncode:
        raise UserError(f"{' '.join(done.args)}: failed, see above. The same command resumes from there.")


if __name__ == "__main__":
    run(main)
