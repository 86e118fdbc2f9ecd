"""Processes that end with their parent."""

import contextlib
import errno
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path
from typing import Any

import psutil
import pytest

from alexnet.core.errors import UserError
from alexnet.core.machine import Machine
from alexnet.core.processes import executor, left_to_parent, local_pool, stop_requests

# What a stage does first; its parent is process 1, whose session is or is not its own.
ENTRY = """
import os, sys
os.getppid = lambda: 1
os.getsid = lambda process: {0: 7, 1: int(sys.argv[1])}[process]
from alexnet.core.processes import end_with_parent
end_with_parent()
print("goes on")
"""


@pytest.mark.parametrize(("session", "goes_on"), [(7, True), (1, False)])
def test_a_stage_may_be_the_child_of_a_containers_first_process(session: int, goes_on: bool) -> None:
    environment = {**os.environ, "DVC_STAGE": "train"}
    command = [sys.executable, "-c", ENTRY, str(session)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.stdout == "goes on\n") == goes_on
    assert goes_on or "the parent process has ended" in done.stderr


CHILD = """
import time
from alexnet.core.processes import end_with_parent
end_with_parent()
print(1, flush=True)
time.sleep(60)
"""
PARENT = """
import os, subprocess, sys
quiet = subprocess.DEVNULL
process = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, stderr=quiet)
process.stdout.readline()
print(process.pid, flush=True)
os._exit(0)
"""


def test_only_a_stage_that_was_started_by_hand_may_outlive_its_parent() -> None:
    """For one that DVC started see also tests/pipeline/test_kills.py."""
    environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    for others, goes_on in (({}, True), ({"TORCHELASTIC_RUN_ID": "none"}, False)):
        command = [sys.executable, "-c", PARENT, CHILD]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**environment, **others}
        )
        time.sleep(0.5)
        is_running = False
        with contextlib.suppress(psutil.NoSuchProcess):
            child = psutil.Process(int(done.stdout))
            is_running = child.status() != psutil.STATUS_ZOMBIE
            child.kill()
        assert is_running == goes_on


ENDLESS = """
import sys, time
from alexnet.core.stage import run

def main() -> None:
    print("begun", flush=True)
    time.sleep(60)

run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM])
def test_what_else_asks_a_stage_to_end_counts_as_sigterm(number: signal.Signals) -> None:
    pipe = subprocess.PIPE
    # `nohup` leaves SIGHUP ignored.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        process = subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=pipe, stderr=pipe, text=True)
    finally:
        signal.signal(number, before)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    assert process.communicate(timeout=30)[1] == "interrupted\n"
    assert process.returncode == 130


def test_a_pipe_never_takes_the_number_of_a_stream_that_was_closed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from alexnet.core.stage import run\n"
        "def main() -> None:\n"
        "    assert all(os.get_inheritable(number) for number in range(3))\n"
        f"    open({str(tmp_path / 'found')!r}, 'w').write(str(min(os.pipe())))\n"
        "run(main)\n"
    )
    subprocess.run(["sh", "-c", f"exec {sys.executable} {script} <&- >&- 2>&-"], check=True)
    assert int((tmp_path / "found").read_text()) > 2


WORKER = """
import os, sys, time
from alexnet.core.processes import end_abruptly_with_parent

def work(pipe):
    # The parent is gone before this process asks to end with it.
    while os.getppid() == parent:
        time.sleep(0.01)
    end_abruptly_with_parent()
    os.write(pipe, b"outlived")

import multiprocessing
parent = os.getpid()
multiprocessing.get_context("fork").Process(target=work, args=(int(sys.argv[1]),)).start()
os._exit(0)
"""


def test_a_worker_that_starts_when_its_parent_is_gone_ends() -> None:
    reading, writing = os.pipe()
    subprocess.run([sys.executable, "-c", WORKER, str(writing)], check=True, pass_fds=[writing])
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read() == b""


def test_an_interrupted_pool_does_not_wait_for_its_workers() -> None:
    waiting: list[Future[None]] = []

    def work() -> None:
        with executor(Machine(workers=1)) as pool:
            assert pool.submit(abs, -1).result() == 1
            waiting.append(pool.submit(time.sleep, 600))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert isinstance(waiting[0].exception(), BrokenExecutor)
    assert not multiprocessing.active_children()


POOL = """
import time
from concurrent.futures import as_completed
from alexnet.core.processes import local_pool
from alexnet.core.stage import run

def main() -> None:
    print("starting", flush=True)
    with local_pool(2) as pool:
        for future in as_completed([pool.submit(time.sleep, 0.01) for _ in range(6000)]):
            future.result()

if __name__ == "__main__":
    run(main)
"""


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3, 0.6, 3.0])
def test_an_interrupt_says_one_line_also_while_workers_start(tmp_path: Path, delay: float) -> None:
    script = tmp_path / "script.py"
    script.write_text(POOL)
    pipe = subprocess.PIPE
    # A shell's background may leave Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command = [sys.executable, str(script)]
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    assert process.stdout.readline() == "starting\n"
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "interrupted\n")


def blocked() -> set[signal.Signals]:
    return {signal.Signals(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])}


def test_a_signal_that_is_left_to_the_parent_reaches_it_alone_and_later() -> None:
    with local_pool(1) as pool:
        assert pool.submit(blocked).result() == {signal.SIGINT, signal.SIGHUP, signal.SIGUSR1}
    happened: list[str] = []
    before = signal.signal(signal.SIGINT, lambda *_: happened.append("signal"))
    try:
        with left_to_parent(signal.SIGINT):
            os.kill(os.getpid(), signal.SIGINT)
            happened.append("started")
    finally:
        signal.signal(signal.SIGINT, before)
    assert happened == ["started", "signal"]
    assert not blocked()


def test_a_worker_that_is_killed_is_told() -> None:
    with pytest.raises(UserError, match="ended from outside"), local_pool(1) as pool:
        pool.submit(signal.raise_signal, signal.SIGKILL).result()
    assert not multiprocessing.active_children()


def die_while_sending() -> None:
    """Leave half of a result in the pipe that all workers share, and its lock taken."""
    frame: Any = sys._getframe()
    while "result_queue" not in frame.f_locals:
        frame = frame.f_back
    results = frame.f_locals["result_queue"]
    results._wlock.acquire()
    os.write(results._writer.fileno(), struct.pack("!i", 1000) + b"half")
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_while_it_sends_is_told() -> None:
    with pytest.raises(UserError, match="ended from outside"), local_pool(2) as pool:
        pool.submit(die_while_sending).result(60)
    assert not multiprocessing.active_children()


def test_no_place_for_locks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("alexnet.core.processes.ProcessPoolExecutor", full)
    with pytest.raises(UserError, match=r"/dev/shm: no place for the locks.*No space left"), local_pool(1):
        pass


def test_only_a_second_ctrl_c_stops_at_once() -> None:
    with stop_requests() as stop_asked:
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        assert stop_asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
