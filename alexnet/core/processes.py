"""Worker processes that end with their parent, here or on a cluster."""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess

from alexnet.core.errors import UserError
from alexnet.core.machine import Machine

_PR_SET_PDEATHSIG = 1
# glibc's names for mallopt (malloc.h), and the largest M_MMAP_THRESHOLD it takes on 64 bits.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_MMAP_THRESHOLD_MAX = 32 * 2**20


# The end of a terminal, and what Slurm can send before the time of a job is over.
ALSO_END = (signal.SIGHUP, signal.SIGUSR1)


def end_with_parent() -> None:
    """Have the kernel end this process when its parent dies, killed or not (Linux).

    DVC and torchrun leave a stage running when they are killed themselves; the next one would start a second.
    A stage that was started by hand may outlive its shell. What else asks a process to end counts as SIGTERM.
    """
    parent = os.getppid()
    signal.signal(signal.SIGTERM, _interrupt)
    for number in ALSO_END:
        # `nohup` has a process ignore the end of its terminal.
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda *_: signal.raise_signal(signal.SIGTERM))
    if not {"DVC_STAGE", "TORCHELASTIC_RUN_ID"} & os.environ.keys():
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # Process 1 takes over orphans; but in a container it may be the parent itself, of the same session.
    orphan = parent == 1 and os.getsid(0) != os.getsid(1)
    if orphan or os.getppid() != parent:
        raise SystemExit("the parent process has ended")


def end_abruptly_with_parent() -> None:
    """Have the kernel kill this process when its parent dies (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have died already, while this process was starting.
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:
        os._exit(1)


def keep_freed_memory(largest: int) -> None:
    """Have this process keep the memory of freed arrays of up to `largest` bytes, for the next ones.

    By default glibc returns it to the system and asks for the next array's memory page by page, which can
    take as long as the work on it. Twice `largest` are kept at most; without glibc nothing changes.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return
    if largest <= _MMAP_THRESHOLD_MAX:
        libc.mallopt(_M_MMAP_THRESHOLD, largest)
    else:
        libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, min(2 * largest, 2**31 - 1))


@contextlib.contextmanager
def stop_requests(*signals: signal.Signals) -> Iterator[Callable[[], bool]]:
    """Turn signals, Ctrl-C and SIGTERM by default, into a question asked where work can stop cleanly.

    Yields:
        A function that is True once a stop was asked for. A second Ctrl-C stops at once.
    """
    asked = False

    def ask(signal_number: int, frame: object) -> None:
        nonlocal asked
        # A second SIGTERM is no impatience: whoever stops a group of processes sends one, and then the end of
        # the parent brings another.
        if asked and signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    heard = signals or (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, ask) for number in heard}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def locks_can_be_made() -> Iterator[None]:
    """Turn the error of the operating system, when processes cannot be given locks, into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"/dev/shm: no place for the locks of several processes: {error.strerror or error}. Make it"
            " larger (in Docker: --shm-size), or set workers: 1 and devices: 1 in machine.yaml."
        ) from None


@contextlib.contextmanager
def local_pool(workers: int) -> Iterator[Executor]:
    """Yield an executor that runs functions on `workers` processes here; they end with this one.

    Raises:
        UserError: a worker was ended from outside, or there is no place for their locks.
    """
    with locks_can_be_made():
        # Forked processes would inherit the locks of OpenCV's threads.
        made = ProcessPoolExecutor(workers, mp_context=_Workers(), initializer=end_abruptly_with_parent)
    done = threading.Event()
    with made as pool:
        watcher = threading.Thread(target=_end_when_stuck, args=(pool, done), daemon=True)
        watcher.start()
        try:
            yield pool
        except BrokenExecutor:
            raise UserError(
                "a worker process was ended from outside, often for lack of memory. Run again, with fewer"
                " workers (machine.yaml) if it happens again."
            ) from None
        except BaseException:
            # The rest of their work is not needed, and the pool may wait without end for a worker to
            # which it was sending some when it was interrupted.
            for worker in multiprocessing.active_children():
                worker.kill()
            raise
        finally:
            done.set()
            # It may be closing what the pool closes next; a file must not be closed twice.
            watcher.join()


def _end_when_stuck(pool: ProcessPoolExecutor, done: threading.Event) -> None:
    """Break `pool` when a worker has been killed while it sent a result.

    The pool then waits without end for the rest of the message, and the other workers for their turn to send.
    """
    while not done.wait(0.5):
        sentinels = [worker.sentinel for worker in list((pool._processes or {}).values())]
        if sentinels and wait(sentinels, 0):
            # As a rule the pool sees for itself that a worker is gone.
            if done.wait(2) or pool._broken:
                return
            for worker in list((pool._processes or {}).values()):
                worker.kill()
            # Without a writer the pool's reader comes to an end.
            pool._result_queue._writer.close()  # type: ignore[attr-defined]
            return


@contextlib.contextmanager
def executor(machine: Machine) -> Iterator[Executor]:
    """Yield an executor that runs functions on `workers` processes here, or on the dask `scheduler`.

    Raises:
        UserError: dask is not installed, or its scheduler does not answer or is lost.
    """
    if machine.scheduler == "local":
        with local_pool(machine.worker_count) as pool:
            yield pool
        return
    try:
        from distributed import Client, KilledWorker
        from distributed.comm import CommClosedError
    except ImportError:
        raise UserError(
            f"machine.yaml: scheduler: found {machine.scheduler}, which needs dask;"
            " install it with: pip install distributed"
        ) from None
    try:
        client = Client(machine.scheduler, timeout=machine.timeout_seconds)
    except (OSError, ValueError, TypeError, ImportError, RuntimeError) as error:
        # Its parts for other kinds of addresses raise nearly anything.
        raise UserError(f"machine.yaml: scheduler: {machine.scheduler} does not answer: {error}") from None
    # It would print a traceback for each attempt to find a scheduler that is lost.
    for logger in ("distributed.client", "tornado.application"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    with client:
        try:
            client.wait_for_workers(1, timeout=machine.timeout_seconds)
            yield client.get_executor()
        except TimeoutError:
            raise UserError(
                f"machine.yaml: scheduler: {machine.scheduler} has no workers. Start some, in this folder."
            ) from None
        except (CancelledError, CommClosedError, KilledWorker):
            raise UserError(
                f"machine.yaml: scheduler: {machine.scheduler} or its workers were lost. What is finished is"
                " kept: run again when they are back."
            ) from None


@contextlib.contextmanager
def left_to_parent(*signals: signal.Signals) -> Iterator[None]:
    """Keep `signals`, which may reach a whole group of processes, from those that are started here.

    There they stay blocked, from the first instruction on. One that comes meanwhile reaches this process as
    soon as they have started.
    """
    came: list[int] = []
    # A thread beside the main one can have no handlers.
    is_main = threading.current_thread() is threading.main_thread()
    heard = signals if is_main else ()
    handlers = {number: signal.signal(number, lambda number, _: came.append(number)) for number in heard}
    # Were it started later, that would end the blocking.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for delayed in came:
        signal.raise_signal(delayed)


class _Worker(SpawnProcess):
    def start(self) -> None:
        # Ctrl-C reaches all processes of a terminal; the parent alone reacts.
        with left_to_parent(signal.SIGINT, *ALSO_END):
            super().start()


class _Workers(SpawnContext):
    Process = _Worker


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
