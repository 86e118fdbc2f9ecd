"""Running a stage's work on one device, on several of this machine, or under torchrun."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import NoReturn

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from alexnet.core.errors import UserError
from alexnet.core.machine import Machine, refuse_unless_shareable
from alexnet.core.processes import end_abruptly_with_parent, stop_requests
from alexnet.parallel.device import choose_device
from alexnet.parallel.mesh import Mesh

# What a process returns that could not go on because another one left it.
LEFT_ALONE = 3
INTERRUPTED = 130
# Seconds that processes have to end by themselves once one has failed.
GRACE = 10.0
# How torch's backends call a lost or silent peer.
_LOST = ("closed by peer", "reset by peer", "timed out", "timeout", "broken pipe", "nccl")

Work = Callable[..., None]


def on_devices(work: Work, machine: Machine, columns: int) -> None:
    """Call ``work(mesh, device)`` on every device that `machine` names.

    On one device here and now; on several in a process each; under torchrun as one of its processes.

    Args:
        work: a function of a module, since other processes must find it.
        columns: of the network: how many devices a replica may be spread over.

    Raises:
        UserError: the devices cannot share such a network, or a process failed or was lost.
        KeyboardInterrupt: stopped from outside, in good order.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _under_torchrun(work, machine, columns)
        return
    count = device_count(machine, columns)
    if count == 1:
        work(Mesh(), choose_device(machine))
    else:
        _in_processes(count, work, machine, columns)


def device_count(machine: Machine, columns: int) -> int:
    """Return how many devices of this machine to use; ``auto``: all GPUs that fit, or one CPU process.

    Raises:
        UserError: more than there are, or a number that columns cannot share.
    """
    gpus = torch.cuda.device_count()
    if machine.devices == "auto":
        return 1 if gpus < 2 else gpus - gpus % columns
    refuse_unless_shareable(machine.devices, columns, "machine.yaml: devices")
    if gpus and machine.backend != "gloo" and machine.devices > gpus:
        raise UserError(
            f"machine.yaml: devices: found {machine.devices}; allowed: 1 to {gpus}, the GPUs of this machine"
            " (backend: gloo lets processes share one, for a trial)"
        )
    return machine.devices


def _in_processes(count: int, work: Work, machine: Machine, columns: int) -> None:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="alexnet-") as folder, stop_requests() as stop_asked:
        meeting = str(Path(folder) / "meeting")
        processes = [
            context.Process(target=_worker, args=(rank, count, meeting, work, machine, columns))
            for rank in range(count)
        ]
        try:
            for process in processes:
                process.start()
            _watch(processes, stop_asked)
        finally:
            late = [rank for rank, process in enumerate(processes) if process.is_alive()]
            for process in processes:
                if process.pid is not None:
                    process.kill()
                    process.join()
    _judge([process.exitcode or 0 for process in processes], late, machine)


def _watch(processes: list[SpawnProcess], stop_asked: Callable[[], bool]) -> None:
    """Wait for all to end, or for `GRACE` seconds once one has failed."""
    told, deadline = False, float("inf")
    while running := [process for process in processes if process.is_alive()]:
        if stop_asked() and not told:
            told = True
            for process in running:
                process.terminate()
        if any(process.exitcode not in (None, 0, INTERRUPTED) for process in processes):
            deadline = min(deadline, time.monotonic() + GRACE)
        if time.monotonic() > deadline:
            return
        wait([process.sentinel for process in running], 0.2)


def _judge(codes: list[int], late: list[int], machine: Machine) -> None:
    kept = "The last good state is kept; the same command goes on from it."
    for rank, code in enumerate(codes):
        if code < 0 and rank not in late:
            name = signal.Signals(-code).name
            raise UserError(f"process {rank} of {len(codes)} was ended by {name} (out of memory?). {kept}")
    if 1 in codes:
        # That process has said why.
        raise SystemExit(1)
    if LEFT_ALONE in codes:
        silent = f"process {', '.join(map(str, late))} of {len(codes)}" if late else "another process"
        raise UserError(
            f"{silent} did not answer for {machine.timeout_seconds:g} s (timeout_seconds of machine.yaml)."
            f" {kept}"
        )
    if INTERRUPTED in codes:
        raise KeyboardInterrupt


def _worker(
    rank: int,
    count: int,
    meeting: str,
    work: Work,
    machine: Machine,
    columns: int,
) -> None:
    end_abruptly_with_parent()
    # Ctrl-C reaches every process of a terminal; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    device = choose_device(machine, rank, count)
    store, _, _ = next(rendezvous(f"file://{meeting}", rank, count))
    try:
        with _joined(store, rank, count, count, columns, device, machine) as mesh:
            work(mesh, device)
    except KeyboardInterrupt:
        _leave(INTERRUPTED)
    except Exception as error:
        if _lost_another(error) or not _first_to_fail(store):
            _leave(LEFT_ALONE)
        if isinstance(error, UserError):
            print(f"error: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
        _leave(1)


def _leave(code: int) -> NoReturn:
    # gloo's threads abort a process that ends in the usual way without its peers.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _under_torchrun(work: Work, machine: Machine, columns: int) -> None:
    local, here = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    count = int(os.environ["WORLD_SIZE"])
    refuse_unless_shareable(count, columns, "torchrun: processes in all")
    columns = columns if count > 1 else 1
    # Ctrl-C reaches torchrun too, which passes it on as SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    device = choose_device(machine, local, here)
    store, rank, _ = next(rendezvous("env://"))
    try:
        with _joined(store, rank, count, here, columns, device, machine) as mesh:
            work(mesh, device)
    except Exception as error:
        lost = _lost_another(error)
        if not lost and not isinstance(error, UserError):
            raise
        if not _first_to_fail(store):
            raise SystemExit(LEFT_ALONE) from None
        if lost:
            raise UserError(
                f"process {rank} of {count} lost another one ({str(error).splitlines()[0][:120]})."
                " The last good state is kept; the same command goes on from it."
            ) from None
        raise


@contextmanager
def _joined(
    store: Store,
    rank: int,
    count: int,
    here: int,
    columns: int,
    device: torch.device,
    machine: Machine,
) -> Iterator[Mesh]:
    """Meet the other processes; the block's end is where they part."""
    timeout = timedelta(seconds=machine.timeout_seconds)
    backend = machine.backend
    if backend == "auto":
        backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=timeout)
    # Every process takes part in making every group.
    groups = [dist.new_group(list(range(column, count, columns)), timeout) for column in range(columns)]
    words = dist.new_group(timeout=timeout, backend="gloo")
    yield Mesh(rank, columns, count // columns, here, groups[rank % columns], words)
    dist.destroy_process_group()


def _lost_another(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(name in text for name in _LOST)


def _first_to_fail(store: Store) -> bool:
    """Whether this process is the first to say why all must end; the others then keep silent."""
    try:
        return bool(store.add("failed", 1) == 1)
    except RuntimeError:
        return True
