"""Running a stage's work on one device, on several of this machine, or under torchrun.

torch's own launcher, torch.distributed.elastic, was tried with torch 2.13 and does not keep what is promised
here. It reports only one failed process, the first that it looks at: in four of six trials it named the
survivor and not the killed process, and it never names a silent one. It passes Ctrl-C on as SIGINT and kills
after 30 seconds whatever has not ended.
"""

import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from alexnet.core.errors import UserError
from alexnet.core.machine import Machine, refuse_unless_shareable
from alexnet.core.processes import (
    ALSO_END,
    end_abruptly_with_parent,
    left_to_parent,
    locks_can_be_made,
    stop_requests,
)
from alexnet.parallel.device import choose_device, device_count, memory_errors_told
from alexnet.parallel.mesh import LostError, Mesh, exchange

FAILED, INTERRUPTED = 1, 130
# Seconds that processes have to end by themselves once one has failed.
GRACE = 10.0
RETRY = "Run the same command again; a training resumes from its last saved state."

Work = Callable[[Mesh, torch.device], None]


@dataclass(frozen=True)
class Member:
    """One of several processes: which of all it is, and which of those on this machine.

    Attributes:
        meeting: a file, by which all meet; None where torchrun started them.
    """

    rank: int
    count: int
    local_rank: int
    on_this_machine: int
    meeting: str | None = None


def on_devices(work: Work, machine: Machine, columns: int) -> None:
    """Call ``work(mesh, device)`` on every device that `machine` names.

    On one device here and now; on several in a process each; under torchrun as one of its processes.

    Args:
        work: can be pickled, since other processes call it: a function of a module, or a partial of one.
        columns: of the network: how many devices a replica may be spread over.

    Raises:
        UserError: the devices cannot share such a network, or a process raised one, was lost, or needs more
            memory than its GPU has.
        SystemExit: a process failed by a bug, and has printed its traceback.
        KeyboardInterrupt: stopped from outside, in good order.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        rank, size, local_rank, on_this_machine = (int(os.environ[name]) for name in names)
        member = Member(rank, size, local_rank, on_this_machine)
        refuse_unless_shareable(member.count, columns, "torchrun: processes in all")
        _take_part(member, work, machine, columns)
        return
    count = device_count(machine, columns)
    if count == 1:
        # Until then, an earlier training of this process holds memory of the GPU.
        gc.collect()
        with memory_errors_told():
            work(Mesh(), choose_device(machine))
    else:
        _in_processes(count, work, machine, columns)


def _in_processes(count: int, work: Work, machine: Machine, columns: int) -> None:
    context = multiprocessing.get_context("spawn")
    with locks_can_be_made():
        errors: SimpleQueue[UserError] = context.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="alexnet-") as folder, stop_requests() as stop_asked:
        members = [Member(rank, count, rank, count, f"{folder}/meeting") for rank in range(count)]
        processes = [
            context.Process(target=_in_process, args=(errors, member, work, machine, columns))
            for member in members
        ]
        try:
            with left_to_parent(signal.SIGINT, *ALSO_END):
                for process in processes:
                    process.start()
            _watch(processes, stop_asked)
        finally:
            late = [rank for rank, process in enumerate(processes) if process.is_alive()]
            for process in processes:
                if process.pid is not None:
                    process.kill()
                    process.join()
        codes = [process.exitcode or 0 for process in processes]
        if stop_asked():
            # A process that was still starting up.
            codes = [INTERRUPTED if code == -signal.SIGTERM else code for code in codes]
    _judge(codes, late, None if errors.empty() else errors.get(), machine)


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


def _judge(codes: list[int], late: list[int], error: UserError | None, machine: Machine) -> None:
    """Raise what the processes' ends mean: their exit `codes`, and what the first to fail has said."""
    for rank, code in enumerate(codes):
        if code < 0 and rank not in late:
            name = signal.Signals(-code).name
            raise UserError(f"process {rank} of {len(codes)} was ended by {name} (out of memory?). {RETRY}")
    if late and isinstance(error, LostError):
        raise UserError(
            f"process {', '.join(map(str, late))} of {len(codes)} did not answer for"
            f" {machine.timeout_seconds:g} s (timeout_seconds of machine.yaml). {RETRY}"
        )
    if error:
        raise error
    if FAILED in codes:
        raise SystemExit(FAILED)
    if INTERRUPTED in codes:
        raise KeyboardInterrupt


def _in_process(
    errors: SimpleQueue[UserError], member: Member, work: Work, machine: Machine, columns: int
) -> None:
    """Take part in a process of its own, and report to the one that started it."""
    end_abruptly_with_parent()
    code = FAILED
    try:
        _take_part(member, work, machine, columns)
        code = 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    except UserError as error:
        errors.put(error)
    except SystemExit:
        pass
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    # gloo's threads abort a process that ends in the usual way without its peers.
    os._exit(code)


@memory_errors_told()
def _take_part(member: Member, work: Work, machine: Machine, columns: int) -> None:
    """Do `work` together with the other processes; the first to fail says why, and the others are silent."""
    # Who started the processes decides what Ctrl-C means, and sends SIGTERM; torchrun passes Ctrl-C on.
    if member.meeting is None:
        signal.signal(signal.SIGINT, lambda *_: signal.raise_signal(signal.SIGTERM))
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    device = choose_device(machine, member.local_rank, member.on_this_machine)
    store: Store
    try:
        if member.meeting is None:
            store, _, _ = next(rendezvous("env://"))
        else:
            # Not by a URL, in which a folder could have no odd characters.
            store = dist.FileStore(member.meeting, member.count)  # type: ignore[attr-defined]
    except RuntimeError as error:
        place = f"{os.environ.get('MASTER_ADDR', '')}:{os.environ.get('MASTER_PORT', '')}"
        raise UserError(
            f"the processes cannot meet at {place}: {str(error).splitlines()[0]}. Name another port: torchrun"
            " --master-port"
        ) from None
    try:
        work(_mesh_of(store, member, columns if member.count > 1 else 1, device, machine), device)
        dist.destroy_process_group()
    except Exception as error:
        if not _first_to_fail(store):
            raise SystemExit(FAILED) from None
        if isinstance(error, LostError):
            whose = f"process {member.rank} of {member.count}"
            raise LostError(f"{whose} lost another one ({error}). {RETRY}") from None
        raise


def _mesh_of(store: Store, member: Member, columns: int, device: torch.device, machine: Machine) -> Mesh:
    """Meet the other processes."""
    timeout = timedelta(seconds=machine.timeout_seconds)
    backend = machine.backend
    if backend == "auto":
        backend = "nccl" if device.type == "cuda" else "gloo"
    if backend == "nccl" and not (device.type == "cuda" and dist.is_nccl_available()):
        raise UserError(
            "machine.yaml: backend: found nccl, which needs a GPU and a torch with NCCL; allowed here:"
            " auto | gloo"
        )
    rank, count = member.rank, member.count
    with exchange():
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=timeout)
        # Every process takes part in making every group.
        groups = [dist.new_group(list(range(column, count, columns)), timeout) for column in range(columns)]
        words = dist.new_group(timeout=timeout, backend="gloo")
        if backend == "nccl":
            # It begins with the first exchange, in which all have to take part; columns exchange in pairs.
            dist.all_reduce(torch.zeros(1, device=device))
    return Mesh(rank, columns, count // columns, member.on_this_machine, groups[rank % columns], words)


def _first_to_fail(store: Store) -> bool:
    try:
        return bool(store.add("failed", 1) == 1)
    except RuntimeError:
        return True
