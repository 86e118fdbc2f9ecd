"""Processes that train together: refused, failing, lost, silent, stopped; and under torchrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import Project, make_project, stages_run
from safetensors.torch import load_file

from alexnet.core.errors import UserError
from alexnet.core.machine import Machine
from alexnet.parallel.launch import device_count, on_devices
from alexnet.parallel.mesh import Mesh

TIMEOUT = 8


def place(devices: int = 2) -> Machine:
    return Machine(devices=devices, workers=1, timeout_seconds=TIMEOUT)


def fail_on_one(mesh: Mesh, device: torch.device) -> None:
    if mesh.rank == 1:
        raise UserError("this process found a fault")
    mesh.wait_for_all()


def fail_on_all(mesh: Mesh, device: torch.device) -> None:
    mesh.wait_for_all()
    raise UserError("everyone found this fault")


def send_to_itself(mesh: Mesh, device: torch.device, number: int) -> None:
    mesh.wait_for_all()
    if mesh.rank == 1:
        os.kill(os.getpid(), number)
    mesh.wait_for_all()


def be_given_other_things(mesh: Mesh, device: torch.device) -> None:
    mesh.refuse_differences(parameters="this" if mesh.rank == 0 else "that")


def run_to_the_end(mesh: Mesh, device: torch.device, folder: Path) -> None:
    mesh.wait_for_all()
    (folder / str(mesh.rank)).touch()


def test_every_process_comes_to_its_end(tmp_path: Path) -> None:
    on_devices(run_to_the_end, (tmp_path,), place(), 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


@pytest.mark.parametrize(("work", "said"), [(fail_on_one, "this process"), (fail_on_all, "everyone")])
def test_one_process_alone_says_what_went_wrong(work, said: str, capfd: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit) as ended:
        on_devices(work, (), place(), 2)
    assert ended.value.code == 1
    errors = capfd.readouterr().err
    assert errors.count("found") == 1
    assert said in errors
    assert "Traceback" not in errors


def test_processes_given_different_things_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        on_devices(be_given_other_things, (), place(), 2)
    assert "process 1 has other parameters than process 0 (that, this)" in capfd.readouterr().err


def test_a_lost_process_ends_all_within_a_minute(capfd: pytest.CaptureFixture[str]) -> None:
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"process 1 of 2 was ended by SIGKILL.*goes on from it"):
        on_devices(send_to_itself, (signal.SIGKILL,), place(), 2)
    assert time.monotonic() - begun < 60
    assert "Traceback" not in capfd.readouterr().err


def test_a_silent_process_ends_all_within_the_timeout_and_a_minute(
    capfd: pytest.CaptureFixture[str],
) -> None:
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"process 1 of 2 did not answer for 8 s"):
        on_devices(send_to_itself, (signal.SIGSTOP,), place(), 2)
    assert time.monotonic() - begun < TIMEOUT + 60
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(("devices", "columns"), [(3, 2), (5, 2)])
def test_columns_want_pairs(devices: int, columns: int) -> None:
    with pytest.raises(
        UserError, match=rf"machine.yaml: devices: found {devices}; allowed: 1 or an even number"
    ):
        device_count(place(devices), columns)


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(UserError, match=r"devices: found 4; allowed: 1 to 3, the GPUs of this machine"):
        device_count(place(4), 2)
    assert device_count(Machine(devices="auto"), 2) == 2
    assert device_count(Machine(devices="auto"), 1) == 3


# --- the stage ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project that has all that the train stage needs."""
    project = make_project(tmp_path_factory.mktemp("launch") / "project")
    project.set("train.epochs", 2)
    project.set("loader", "torch", "machine.yaml")
    project.set("timeout_seconds", 60, "machine.yaml")
    project.repro("rgb_pca")
    return project


def trained(project: Project, *command: str) -> dict[str, torch.Tensor]:
    """Train from the start by `command` and return the weights."""
    project.run("rm", "-rf", ".state", "models")
    project.run(*command)
    return load_file(project.folder / "models/alexnet.safetensors")


def agree(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.allclose(value, other[name], rtol=1e-4, atol=1e-6) for name, value in one.items()
    )


STAGE = (sys.executable, "-m", "stages.train")


def test_two_devices_train_by_the_same_command(ready: Project) -> None:
    alone = trained(ready, *STAGE)
    ready.set("devices", 2, "machine.yaml")
    ready.run("rm", "-rf", ".state", "models")
    output = ready.repro("train")
    assert "epoch 2/2: loss" in output
    assert output.count("epoch 1/2: loss") == 1
    assert agree(alone, load_file(ready.folder / "models/alexnet.safetensors"))
    assert '"2 \\u00d7 cpu (2 columns' in (ready.folder / "reports/training/run.json").read_text()


def test_two_processes_count_the_same_errors_as_one(ready: Project) -> None:
    ready.set("devices", 1, "machine.yaml")
    trained(ready, *STAGE)
    counted = []
    # Twelve pictures in batches of four: the shares are one batch and two.
    for devices in (1, 2):
        ready.set("devices", devices, "machine.yaml")
        ready.run(sys.executable, "-m", "stages.evaluate")
        counted.append((ready.folder / "reports/metrics.json").read_text())
    assert counted[0] == counted[1]


def test_two_machines_train_under_torchrun(ready: Project) -> None:
    ready.set("devices", 1, "machine.yaml")
    alone = trained(ready, *STAGE)
    ready.run("rm", "-rf", ".state", "models")
    agents = [torchrun(ready.folder, rank) for rank in (0, 1)]
    for agent in agents:
        output, _ = agent.communicate(timeout=200)
        assert agent.returncode == 0, output
    assert agree(alone, load_file(ready.folder / "models/alexnet.safetensors"))
    ready.run("dvc", "commit", "-f", "train")
    assert "train" not in stages_run(ready.repro("train"))


def test_machines_with_other_parameters_are_refused_by_one_line(ready: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    ready.run("cp", "-r", str(ready.folder), str(other))
    Project(other).set("train.learning_rate", 0.5)
    agents = [torchrun(folder, rank) for rank, folder in enumerate((ready.folder, other))]
    outputs = [agent.communicate(timeout=200)[0] for agent in agents]
    assert all(agent.returncode != 0 for agent in agents)
    assert sum(output.count("error: process") for output in outputs) == 1
    assert "has other parameters" in "".join(outputs)


def torchrun(folder: Path, node: int) -> subprocess.Popen[str]:
    """Start one of two agents on this machine, with two processes each."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=2"]
    command += [f"--node-rank={node}", "--master-addr=127.0.0.1", "--master-port=29617"]
    return subprocess.Popen(
        [*command, "-m", "stages.train"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_ctrl_c_stops_both_devices_in_good_order(ready: Project) -> None:
    ready.set("devices", 2, "machine.yaml")
    ready.set("train.epochs", 10_000)
    ready.run("rm", "-rf", ".state", "models")
    running = subprocess.Popen(
        STAGE,
        cwd=ready.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith("epoch 2/"):
            # As a terminal does: to the whole group.
            os.killpg(running.pid, signal.SIGINT)
            break
    output, _ = running.communicate(timeout=120)
    assert running.returncode == 130
    assert output.count("stopped in epoch") == 1
    assert "Traceback" not in output


def test_a_loss_that_is_no_number_is_told_by_one_line(ready: Project) -> None:
    ready.set("devices", 2, "machine.yaml")
    ready.set("train.epochs", 9)
    ready.set("train.learning_rate", 1e12)
    ready.run("rm", "-rf", ".state", "models")
    ended = ready.run(*STAGE, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("error: ") == 1
    assert "error: the loss is" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (ready.folder / "models").exists()
