"""The plain threads in processes of their own, beside which a GPU is not kept waiting.

In the process that trains, the threads and the training would wait for each other at Python's lock, and
so would many threads of one process.
"""

import math
import multiprocessing
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from typing import Any

import torch
from torch import Tensor

from alexnet.core.errors import UserError
from alexnet.core.processes import ALSO_END, end_abruptly_with_parent, left_to_parent
from alexnet.core.terminal import say
from alexnet.feed.order import Epoch, Share, batches
from alexnet.feed.threads import PREFETCHED, ThreadLoader, known_of, one_ahead
from alexnet.model.input import Batch

# Batches that there is memory for: those that the device is fetching, and those that are being made.
FETCHING = 2
PLACES = FETCHING + PREFETCHED
# There is a process for every four threads, up to eight processes.
THREADS, PROCESSES = 4, 8
# Seconds that all other processes have to end by themselves.
GRACE = 5.0


class ProcessLoader:
    """A `ThreadLoader` in other processes, whose pixels arrive in memory that all of them share.

    Each of them makes a part of every batch. A GPU fetches the pixels by itself.

    Args:
        loader: which makes the batches, on the CPU; the processes share its threads.
        device: where the pixels are wanted.
    """

    def __init__(self, loader: ThreadLoader, device: torch.device) -> None:
        self.loader, self.device, self._passes = loader, device, 0
        # Not of /dev/shm, which is small in containers.
        memory = os.memfd_create("pictures")
        first, last, of = loader.share
        largest_share = math.ceil(loader.batch_size * (last - first) / of)
        shape = (PLACES, largest_share, loader.side, loader.side, 3)
        os.truncate(memory, math.prod(shape))
        path = f"/proc/{os.getpid()}/fd/{memory}"
        self._places = _mapped(path, shape)
        is_pinned = device.type == "cuda" and _pin(self._places)
        self._fetching: deque[torch.cuda.Event | None] = deque()
        started: list[tuple[SpawnProcess, Connection]] = []
        # It also runs if a process cannot be started; at exit, before multiprocessing waits for them.
        Finalize(self, _end, (started, memory, self._places, is_pinned), exitpriority=0)
        count = min(PROCESSES, math.ceil(loader.threads / THREADS))
        for number in range(count):
            started.append(_started(loader, number, count, path, shape))
        self._pipes = [pipe for _, pipe in started]

    def batches(self, epoch: Epoch, first: int = 0) -> Iterator[Batch]:
        """Yield as `Loader.batches`, but one call's batches at a time.

        Raises:
            UserError: one of the other processes was ended from outside.
            RuntimeError: a later call has begun.
        """
        return one_ahead(self._made(epoch, first), self.device)

    def _made(self, epoch: Epoch, first: int) -> Generator[Batch]:
        self._passes += 1
        own, loader = self._passes, self.loader
        # They do not need the noise, which would be a third of the message.
        self._tell((own, replace(epoch, noise=epoch.noise[:0]), first))
        known = known_of(loader.records, epoch, first, loader.batch_size, loader.share, self.device)
        # Only then does no process still fill places, and no copy still read them, for an earlier pass.
        self._hear(own)
        self._wait_for_copies()
        for _ in range(PLACES):
            self._tell(own)
        try:
            for number, batch in enumerate(known):
                if own != self._passes:
                    raise RuntimeError("a later pass of this loader has begun")
                if len(self._fetching) == FETCHING:
                    _wait_for(self._fetching.popleft())
                    self._tell(own)
                self._hear(own)
                pixels, event = self._fetched(self._places[number % PLACES, : len(batch.records)])
                self._fetching.append(event)
                yield batch._replace(pixels=pixels)
        finally:
            if own == self._passes:
                self._wait_for_copies()

    def _wait_for_copies(self) -> None:
        while self._fetching:
            _wait_for(self._fetching.popleft())

    def _fetched(self, pixels: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        """Return `pixels` on the device, and on a GPU an event after which their memory is free."""
        copied = torch.empty(pixels.shape, dtype=pixels.dtype, device=self.device)
        copied.copy_(pixels, non_blocking=True)
        on_gpu = self.device.type == "cuda"
        return copied, torch.cuda.current_stream(self.device).record_event() if on_gpu else None

    def _tell(self, message: Any) -> None:
        """Send which pass to begin, or the number of a pass, for which there is one more free place."""
        packed = ForkingPickler.dumps(message)
        try:
            for pipe in self._pipes:
                pipe.send_bytes(packed)
        except OSError:
            raise _ended() from None

    def _hear(self, own: int) -> None:
        """Wait until all have begun this pass, or made one more batch of it; pass over what is of others."""
        for pipe in self._pipes:
            try:
                while (message := pipe.recv())[0] != own:
                    pass
            except (EOFError, OSError):
                raise _ended() from None
            if message[1] is not None:
                raise message[1]


def _started(
    loader: ThreadLoader, number: int, of: int, path: str, shape: tuple[int, ...]
) -> tuple[SpawnProcess, Connection]:
    """Start process `number` of those that make the batches of `loader`; return it and its pipe."""
    context = multiprocessing.get_context("spawn")
    first, last = Share(number, number + 1, of).bounds(loader.threads)
    part = replace(loader, threads=last - first, share=loader.share.part(number, of))
    pipe, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, part, loader.share, path, shape), daemon=True)
    # They end with this process or by its word, so that it can save its state first.
    with left_to_parent(signal.SIGINT, signal.SIGTERM, *ALSO_END):
        process.start()
    theirs.close()
    return process, pipe


def _ended() -> UserError:
    return UserError(
        "a process that loads pictures was ended from outside, often for lack of memory. Run again, with"
        " fewer workers (machine.yaml) if it happens again."
    )


def _wait_for(event: torch.cuda.Event | None) -> None:
    if event is not None:
        event.synchronize()


def _mapped(path: str, shape: tuple[int, ...]) -> Tensor:
    return torch.from_file(path, shared=True, size=math.prod(shape), dtype=torch.uint8).view(shape)


def _pin(places: Tensor) -> bool:
    error = int(torch.cuda.cudart().cudaHostRegister(places.data_ptr(), places.nbytes, 0))
    if error:
        say(f"the memory of the pictures cannot be pinned (CUDA error {error}), so loading is slower")
        # CUDA keeps the error, and would raise it in whatever comes next.
        with suppress(RuntimeError):
            torch.ones(1, device="cuda")
    return error == 0


def _end(
    started: list[tuple[SpawnProcess, Connection]], memory: int, places: Tensor, is_pinned: bool
) -> None:
    if is_pinned:
        torch.cuda.cudart().cudaHostUnregister(places.data_ptr())
    # Those that wait for a message end by themselves.
    for _, pipe in started:
        pipe.close()
    until = time.monotonic() + GRACE
    for process, _ in started:
        process.join(max(0.0, until - time.monotonic()))
        process.kill()
        process.join()
        process.close()
    # Not before: a process that is still starting looks for it.
    os.close(memory)


class _AnotherPassError(Exception):
    """This pass was left early; the argument is the message that begins another."""


def _serve(
    pipe: Connection, loader: ThreadLoader, together: Share, path: str, shape: tuple[int, ...]
) -> None:
    """Make parts of batches, pass after pass, until the pipe is closed; `together` is what all make."""
    end_abruptly_with_parent()
    places = _mapped(path, shape)
    with suppress(EOFError, OSError):
        message = pipe.recv()
        while True:
            message = _make_pass(pipe, loader, together, places, *message)


def _make_pass(
    pipe: Connection,
    loader: ThreadLoader,
    together: Share,
    places: Tensor,
    own: int,
    epoch: Epoch,
    first: int,
) -> tuple[int, Epoch, int]:
    """Make this process's part of the batches of a pass; return the message that begins the next one."""
    begun, free = 0, 0
    sizes = [len(batch) for batch in batches(epoch, first, loader.batch_size)]

    def place(pictures: int) -> Tensor:
        nonlocal begun, free
        while not free:
            message = pipe.recv()
            if isinstance(message, tuple):
                raise _AnotherPassError(message)
            free += message == own
        start = loader.share.bounds(sizes[begun])[0] - together.bounds(sizes[begun])[0]
        begun, free = begun + 1, free - 1
        return places[(begun - 1) % PLACES, start : start + pictures]

    try:
        pipe.send((own, None))
        for _ in loader.filled(epoch, first, place):
            pipe.send((own, None))
    except _AnotherPassError as another:
        return another.args[0]
    except EOFError:
        raise
    except Exception as error:
        error.add_note(traceback.format_exc())
        pipe.send((own, error))
    while not isinstance(message := pipe.recv(), tuple):
        pass
    return message
