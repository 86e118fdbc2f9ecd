"""The measurements on a GPU, rehearsed; and that neither a step that fails nor a stop loses the others."""

import importlib.metadata
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import ROOT
from tiny import PAPER, section, told
from torch._C._autograd import DeviceType
from toy_steps import dependent, fickle, note, troubled

from alexnet.core.errors import UserError
from alexnet.model.network import layers
from alexnet.model.params import Model
from alexnet.training.log import git_commit
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.bench import TOY, Bench, store_of
from benchmarks.gpu.plan import plan
from benchmarks.gpu.steps import CODE, Step, Worker, measure, taken
from benchmarks.gpu.training_step import flops_of_picture, spent_in

# Dependencies that are not in the command of docs/devices.md that installs what is needed.
ABSENT = ("dvc", "markdown_it", "matplotlib", "upath", "torchvision")
DEVICE: tuple[str, dict[str, Any]] = ("none", {})


REHEARSE = [sys.executable, "-m", "benchmarks.gpu", "--rehearse", "--results"]
PIPES: dict[str, Any] = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


def rehearse(results: Path, absent: Path) -> dict[str, Any]:
    """Run the rehearsal where the modules in the folder `absent` cannot be imported; return its steps."""
    path = os.pathsep.join([str(absent), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([*REHEARSE, str(results)], env={**os.environ, "PYTHONPATH": path}, **PIPES)
    assert done.returncode == 0, done.stdout + done.stderr
    steps: dict[str, Any] = json.loads((results / "rehearsal.json").read_text())["steps"]
    for name in steps:
        assert f"| {name} | " in done.stdout
    return steps


def test_the_rehearsal_takes_every_step_and_the_next_only_what_is_missing(tmp_path: Path) -> None:
    for name in ABSENT:
        (tmp_path / f"{name}.py").write_text("raise ImportError(__name__)\n")
    first = rehearse(tmp_path / "results", tmp_path)
    planned = plan(Bench(TOY, tmp_path, tmp_path))
    assert list(first) == [step.name for step in planned]
    for name, entry in first.items():
        assert entry["seconds"] >= 0
        assert entry["versions"]["torch"] == importlib.metadata.version("torch")
        assert "benchmarks" in entry["command"]
        if name == "two processes: nccl":
            assert entry["missing"] == "NCCL needs two GPUs"
            continue
        values = [value for value in entry["figures"].values() if not isinstance(value, str)]
        assert values, name
        assert all(math.isfinite(value) for value in values), (name, values)
    again = rehearse(tmp_path / "results", tmp_path)
    kept = [step.name for step in planned if not step.again and "figures" in first[step.name]]
    assert len(kept) == len(planned) - 2
    assert [first[name] for name in kept] == [again[name] for name in kept]


def test_the_arithmetic_of_a_step_is_that_of_the_papers_layers() -> None:
    convolutions = (
        55 * 55 * 96 * 11 * 11 * 3,
        27 * 27 * 256 * 5 * 5 * 48,
        13 * 13 * 384 * 3 * 3 * 256,
        13 * 13 * 384 * 3 * 3 * 192,
        13 * 13 * 256 * 3 * 3 * 192,
    )
    full = 9216 * 4096 + 4096 * 4096 + 4096 * 1000
    expected = 2 * (3 * (sum(convolutions) + full) - convolutions[0])
    assert flops_of_picture(layers(section(Model), 1000)) == expected


def test_a_step_that_fails_ends_no_other_and_what_is_done_is_not_done_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.json"
    for only in ((), ("is sound",), ("needs memory", "sound")):
        measure(partial(troubled, tmp_path), tmp_path, results, *DEVICE, only)
        steps = json.loads(results.read_text())["steps"]
        assert {name: entry.get("missing") for name, entry in steps.items()} == {
            "has a reason": "nothing to measure",
            "needs memory": "out of memory",
            "fails": "RuntimeError: this is wrong",
            "dies": "its process ended with status 3",
            "hangs": "not done within 2 s",
            "is sound": None,
        }
        assert "| fails | none: RuntimeError: this is wrong |" in capfd.readouterr().out
    assert [(tmp_path / name).read_text() for name in ("memory", "sound")] == [".", "."]
    measure(partial(troubled, tmp_path), tmp_path, results, *DEVICE, ("is sound",), again=True)
    assert [(tmp_path / name).read_text() for name in ("memory", "sound")] == [".", ".."]


def test_steps_can_be_chosen_and_results_of_another_device_are_refused(tmp_path: Path) -> None:
    results, steps = tmp_path / "results.json", partial(troubled, tmp_path)
    measure(steps, tmp_path, results, *DEVICE, ("sound",))
    assert list(json.loads(results.read_text())["steps"]) == ["is sound"]
    with told(r"results.json: found results of .*Move it away"):
        measure(steps, tmp_path, results, "another", {})
    with told(r"--steps: found 'nothing'; no step has it in its name. Try has a reason"):
        measure(steps, tmp_path, results, *DEVICE, ("sound", "nothing"))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"steps": {"loop": {}}}', '{"steps": {"loop": {"figur'])
def test_damaged_results_are_named_and_kept(content: str, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    results.write_text(content)
    with told(r"results.json: damaged; take it from Git again, or move it away"):
        measure(partial(troubled, tmp_path), tmp_path, results, *DEVICE)
    assert results.read_text() == content


def test_what_depends_on_other_figures_is_taken_after_them_and_when_asked(tmp_path: Path) -> None:
    counts, results = [], tmp_path / "results.json"
    for only, again in (((), False), (("part",), False), (("part",), True), (("sum",), False)):
        measure(partial(dependent, tmp_path), tmp_path, results, *DEVICE, only, again)
        counts.append([len((tmp_path / name).read_text()) for name in ("part", "sum")])
    assert counts == [[1, 1], [1, 1], [2, 2], [2, 3]]


def test_figures_are_kept_where_measuring_again_gives_none(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results, steps = tmp_path / "results.json", partial(fickle, tmp_path)
    measure(steps, tmp_path, results, *DEVICE)
    before = results.read_text()
    measure(steps, tmp_path, results, "none", {"driver": "another"}, again=True)
    assert results.read_text() == before
    assert "none: nothing to measure any more" in capfd.readouterr().out


def test_a_step_in_the_other_process_does_not_hear_ctrl_c(tmp_path: Path) -> None:
    worker, sound = Worker(partial(troubled, tmp_path), tmp_path), troubled(tmp_path)[-1]
    process = worker.take(sound)["figures"]["process"]
    os.kill(process, signal.SIGINT)
    assert worker.take(sound)["figures"]["process"] == process
    worker.end()


def test_a_commit_is_not_changed_by_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, results = tmp_path / "benchmarks" / "steps.py", tmp_path / "benchmarks" / "results" / "GPU.json"
    for path in (code, results):
        path.parent.mkdir(exist_ok=True)
        path.write_text("1")
    for command in ("init -q", "add .", "-c user.name=A -c user.email=a@b.c commit -qm first"):
        subprocess.run(["git", *command.split()], check=True)
    results.write_text("2")
    assert not str(git_commit(CODE)).endswith("+")
    code.write_text("2")
    assert str(git_commit(CODE)).endswith("+")
    subprocess.run(["git", "checkout", "-q", "."], check=True)
    assert not str(git_commit(CODE)).endswith("+")
    (code.parent / "another.py").write_text("1")
    assert str(git_commit(CODE)).endswith("+")


def test_a_repository_of_something_else_has_no_commit_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / "essay.txt", tmp_path / "alexnet" / "code.py"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("1")
    for command in ("init -q", "add essay.txt", "-c user.name=A -c user.email=a@b.c commit -qm essay"):
        subprocess.run(["git", *command.split()], check=True)
    assert git_commit() is None


@pytest.mark.parametrize(
    ("error", "is_memory", "is_sound"),
    [
        (MemoryError(), True, True),
        (RuntimeError("Triton Error [CUDA]: out of memory"), True, False),
        (RuntimeError("CUDA driver error: out of memory"), True, False),
        (UserError("process 1 of 2 was ended (out of memory?)"), False, False),
    ],
)
def test_too_little_memory_is_told_from_other_errors(
    error: Exception, is_memory: bool, is_sound: bool, tmp_path: Path
) -> None:
    entry, goes_on = taken(Step("fails", 60, partial(note, tmp_path / "fails", error)))
    assert (entry["missing"] == "out of memory") == is_memory
    assert goes_on == is_sound


def test_every_folder_and_recipe_has_a_store_of_its_own(tmp_path: Path) -> None:
    bench = Bench(TOY, tmp_path, tmp_path)
    stores = {
        store_of(bench, tmp_path / folder / "train", [str(PAPER), f"preprocess.encoding={encoding}"])
        for folder in ("a", "b")
        for encoding in ("raw", "jpeg")
    }
    assert len(stores) == 4


def test_ctrl_c_ends_in_one_line_after_the_table_of_what_is_done(tmp_path: Path) -> None:
    # What was started in the background ignores Ctrl-C, and so do these tests and what they start.
    command = ["env", "--default-signal=INT", *REHEARSE, str(tmp_path)]
    with subprocess.Popen(command, start_new_session=True, **PIPES) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("exact: gradients, paper: ")
        time.sleep(0.5)
        # As a terminal does: to all processes.
        os.killpg(process.pid, signal.SIGINT)
        out, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "| exact: gradients, paper | " in out
    # A step that does not end in time is killed; then Python's resource tracker warns after this line.
    assert "interrupted" in said.splitlines()
    assert "Traceback" not in said
    assert list(json.loads((tmp_path / "rehearsal.json").read_text())["steps"]) == ["exact: gradients, paper"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "error: torch .* finds no GPU; .* python -m benchmarks.gpu --rehearse"),
        ({"rehearse": True, "again": True}, "error: --rehearse: generates its pictures"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    options: Any, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(**options)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(message, line)


def test_the_time_of_a_kernel_is_counted_once() -> None:
    def event(key: str, milliseconds: float, device: DeviceType, region: bool = False) -> SimpleNamespace:
        times = {"self_device_time_total": 1000 * milliseconds, "self_cpu_time_total": 500.0}
        return SimpleNamespace(key=key, device_type=device, is_user_annotation=region, **times)

    alike = "k" * 70
    events = [
        event(alike + "a", 2.0, DeviceType.CUDA),
        event(alike + "b", 4.0, DeviceType.CUDA),
        event("aten::convolution", 6.0, DeviceType.CPU),
        event("Torch-Compiled Region", 6.0, DeviceType.CUDA, region=True),
    ]
    assert spent_in(events, 2, on_gpu=True) == {alike: 3.0}
    assert sum(spent_in(events, 2, on_gpu=False).values()) == 1.0
