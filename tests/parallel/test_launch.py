"""Processes that train together: refused, failing, lost, silent, stopped; and under torchrun."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import Project, stages_run
from safetensors.torch import load_file
from torch import nn

from alexnet.core.errors import DivergedError, UserError
from alexnet.core.machine import Machine
from alexnet.parallel import launch
from alexnet.parallel.device import choose_device, device_count
from alexnet.parallel.gradients import GradientSums
from alexnet.parallel.launch import Work, on_devices
from alexnet.parallel.mesh import LostError, Mesh, exchange

TIMEOUT = 6


def place(devices: int = 2) -> Machine:
    return Machine(devices=devices, workers=1, timeout_seconds=TIMEOUT)


def diverge_on_one(mesh: Mesh, device: torch.device) -> None:
    if mesh.rank == 1:
        raise DivergedError("the loss is nan")
    mesh.wait_for_all()


def be_given_other_things(mesh: Mesh, device: torch.device) -> None:
    mesh.refuse_differences(parameters="this" if mesh.rank == 0 else "that")


def have_a_bug(mesh: Mesh, device: torch.device) -> None:
    if mesh.rank == 1:
        raise RuntimeError("sizes do not match")
    mesh.wait_for_all()


def need_too_much_memory(mesh: Mesh, device: torch.device) -> None:
    if mesh.rank == mesh.size - 1:
        with exchange():
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1.00 GiB."
            )
    mesh.wait_for_all()


def send_to_itself(mesh: Mesh, device: torch.device, number: int) -> None:
    mesh.wait_for_all()
    if mesh.rank == 1:
        os.kill(os.getpid(), number)
    if number == signal.SIGKILL:
        lose_the_other_in_every_exchange(mesh)
    mesh.wait_for_all()


def lose_the_other_in_every_exchange(mesh: Mesh) -> None:
    layer = nn.Linear(2, 2)
    gradients = GradientSums(layer.parameters(), mesh)

    def learn() -> None:
        layer(torch.ones(1, 2)).sum().backward()
        gradients.wait()

    for exchanged in (
        partial(mesh.swap, torch.ones(1), (1,)),
        learn,
        partial(mesh.sum_over_replicas, [1.0]),
        partial(mesh.from_leader, 1),
        partial(mesh.to_leader, 1),
        partial(mesh.refuse_differences, parameters="this"),
    ):
        with pytest.raises(LostError):
            exchanged()


def run_to_the_end(mesh: Mesh, device: torch.device, folder: Path, seconds: float = 0) -> None:
    mesh.wait_for_all()
    (folder / str(mesh.rank)).write_text(str(os.getpid()))
    time.sleep(seconds)


def processes_in(folder: Path) -> list[int]:
    """Return the numbers of the processes that `run_to_the_end`, by rank; 0: not written yet."""
    return [int(path.read_text() or 0) for path in sorted(folder.iterdir())]


def test_one_device_needs_no_other_process(tmp_path: Path) -> None:
    on_devices(partial(run_to_the_end, folder=tmp_path), place(1), 2)
    assert processes_in(tmp_path) == [os.getpid()]


@pytest.mark.parametrize(
    ("work", "error", "found"),
    [
        (diverge_on_one, DivergedError, "^the loss is nan$"),
        (be_given_other_things, UserError, r"^processes 0 and 1 differ in parameters \(this, that\)"),
    ],
)
def test_a_users_mistake_is_told_once(
    work: Work, error: type[UserError], found: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(error, match=found):
        on_devices(work, place(), 2)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("devices", [1, 2])
def test_too_little_memory_of_a_gpu_is_told_in_one_line(devices: int) -> None:
    told = r"^CUDA out of memory\. Tried to allocate 2\.00 GiB\. End other .*smaller train\.batch_size\."
    with pytest.raises(UserError, match=told):
        on_devices(need_too_much_memory, place(devices), 2)


def test_a_gpu_that_is_full_from_the_beginning_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(machine: Machine, *place: int) -> torch.device:
        try:
            raise torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported.")
        finally:
            # So does torch when it ends the recording of a CUDA graph.
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    monkeypatch.setattr(launch, "choose_device", full)
    with pytest.raises(UserError, match=r"^CUDA error: out of memory\. End other programs"):
        on_devices(need_too_much_memory, place(1), 2)


def test_a_bug_keeps_one_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        on_devices(have_a_bug, place(), 2)
    assert ended.value.code == 1
    errors = capfd.readouterr().err
    assert errors.count("Traceback") == 1
    assert "RuntimeError: sizes do not match" in errors


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (signal.SIGKILL, r"^process 1 of 2 was ended by SIGKILL \(out of memory\?\)\. .*resumes from it"),
        (signal.SIGSTOP, rf"^process 1 of 2 did not answer for {TIMEOUT} s .*resumes from it"),
    ],
)
def test_a_lost_or_silent_process_ends_all(
    number: int, told: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # One column, so that there are two replicas, whose gradients are summed.
    monkeypatch.setattr(launch, "GRACE", 1.0)
    with pytest.raises(UserError, match=told):
        on_devices(partial(send_to_itself, number=number), place(), 1)
    assert capfd.readouterr().err == ""
    assert multiprocessing.active_children() == []


def test_ctrl_c_ends_work_that_does_not_ask_for_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        on_devices(partial(run_to_the_end, folder=tmp_path, seconds=600), place(), 2)
    assert "Traceback" not in capfd.readouterr().err


def test_all_end_with_their_parent(tmp_path: Path) -> None:
    work = partial(run_to_the_end, folder=tmp_path, seconds=600)
    parent = multiprocessing.get_context("spawn").Process(target=on_devices, args=(work, place(), 2))
    parent.start()
    while len(started := processes_in(tmp_path)) < 2 or 0 in started:
        time.sleep(0.05)
    parent.kill()
    parent.join()
    while any(Path(f"/proc/{process}").exists() for process in started):
        time.sleep(0.05)


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_gpu_computes_deterministically_where_asked(
    deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    asked: list[bool] = []
    # Noted first, so that it is put back.
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda mode, warn_only: asked.append(mode))
    assert choose_device(Machine(deterministic=deterministic)) == torch.device("cuda", 0)
    assert asked == [deterministic]
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if deterministic else None)


def test_devices_that_are_not_there_or_no_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"machine.yaml: devices: found 3; allowed: 1 or an even number"):
        device_count(place(3), 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(UserError, match=r"devices: found 4; allowed: 1 to 3, the GPUs of this machine"):
        device_count(place(4), 2)
    assert device_count(Machine(devices="auto"), 2) == 2
    assert device_count(Machine(devices="auto"), 1) == 3


def test_nccl_without_gpus_is_refused_by_its_key(tmp_path: Path) -> None:
    asked = place(2).model_copy(update={"backend": "nccl"})
    with pytest.raises(UserError, match=r"machine.yaml: backend: found nccl.* allowed here: auto \| gloo$"):
        on_devices(partial(run_to_the_end, folder=tmp_path), asked, 2)


# --- the stages -----------------------------------------------------------------------------------

TRAIN = (sys.executable, "-m", "stages.train")
WEIGHTS = "models/alexnet.safetensors"
ALONE = "alone.safetensors"


@pytest.fixture(scope="module")
def ready(project: Project) -> Project:
    """A tiny project that has all that the train stage needs, and what one device made of it."""
    project.set("train.epochs", 2)
    project.set("loader", "torch", "machine.yaml")
    project.set("timeout_seconds", 60, "machine.yaml")
    # A training goes on from the state of a shorter one.
    project.run("rm", "-rf", ".state/train", "models")
    project.run(*TRAIN)
    project.run("mv", WEIGHTS, ALONE)
    project.set("devices", 2, "machine.yaml")
    return project


@pytest.fixture
def untrained(ready: Project) -> Project:
    ready.run("rm", "-rf", ".state", "models")
    return ready


def agrees_with_one_device(project: Project) -> bool:
    one, other = (load_file(project.folder / path) for path in (ALONE, WEIGHTS))
    return one.keys() == other.keys() and all(
        torch.allclose(value, other[name], rtol=1e-4, atol=1e-6) for name, value in one.items()
    )


def test_two_devices_train_by_the_same_command(untrained: Project) -> None:
    output = untrained.repro("train")
    assert output.count("epoch 1/2: loss") == output.count("epoch 2/2: loss") == 1
    assert agrees_with_one_device(untrained)
    assert '"2 \\u00d7 cpu (2 columns' in (untrained.folder / "reports/training/run.json").read_text()


def test_two_processes_count_the_same_errors_as_one(ready: Project) -> None:
    counted = []
    # Twelve pictures in batches of four: the shares are one batch and two.
    for devices in (1, 2):
        ready.set("devices", devices, "machine.yaml")
        ready.run(sys.executable, "-m", "stages.evaluate", "--weights", ALONE)
        counted.append((ready.folder / "reports/metrics.json").read_text())
    assert counted[0] == counted[1]


def torchrun(project: Project, node: int, processes: int) -> subprocess.Popen[str]:
    """Start one of two agents on this machine, with `processes` training processes each."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--nproc-per-node={processes}"]
    command += [f"--node-rank={node}", "--master-addr=127.0.0.1", "--master-port=29617"]
    return project.start(*command, "-m", "stages.train", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_two_machines_train_under_torchrun(untrained: Project) -> None:
    agents = [torchrun(untrained, rank, 2) for rank in (0, 1)]
    for agent in agents:
        output, _ = agent.communicate(timeout=200)
        assert agent.returncode == 0, output
    assert agrees_with_one_device(untrained)
    untrained.run("dvc", "commit", "-f", "train")
    assert "train" not in stages_run(untrained.repro("train"))


def test_machines_with_other_parameters_are_refused_by_one_line(untrained: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    untrained.run("cp", "-r", str(untrained.folder), str(other.folder))
    other.set("train.learning_rate", 0.5)
    agents = [torchrun(project, rank, 1) for rank, project in enumerate((untrained, other))]
    outputs = [agent.communicate(timeout=200)[0] for agent in agents]
    assert all(agent.returncode != 0 for agent in agents)
    assert sum(output.count("error: process") for output in outputs) == 1
    assert "differ in parameters" in "".join(outputs)


UNDER_TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "stages.train"]


@pytest.mark.parametrize("under_torchrun", [False, True])
def test_ctrl_c_stops_both_devices_in_good_order(untrained: Project, under_torchrun: bool) -> None:
    untrained.set("devices", 2, "machine.yaml")
    untrained.set("train.epochs", 10_000)
    command = [sys.executable, *UNDER_TORCHRUN] if under_torchrun else TRAIN
    running = untrained.start(
        *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith("epoch 2/"):
            # As a terminal does: to the whole group.
            os.killpg(running.pid, signal.SIGINT)
            break
    output, _ = running.communicate(timeout=120)
    assert output.count("stopped in epoch") == 1
    if not under_torchrun:
        # torchrun tells of its own end with a traceback.
        assert running.returncode == 130
        assert "Traceback" not in output
