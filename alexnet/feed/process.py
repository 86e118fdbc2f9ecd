"""The plain threads in a process of their own, beside which a GPU is not kept waiting.

In the process that trains, the threads and the training would wait for each other at Python's lock.
"""

import math
import multiprocessing
import os
import traceback
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.util import Finalize
from typing import Any

import torch
from torch import Tensor

from alexnet.core.errors import UserError
from alexnet.core.processes import signals_are_for_the_parent, start_worker
from alexnet.core.terminal import say
from alexnet.feed.order import Epoch, batches
from alexnet.feed.threads import PREFETCHED, ThreadLoader, known_of, one_ahead
from alexnet.model.input import Batch

# Batches that there is memory for: those that the device is fetching, and those that are being made.
FETCHING = 2
PLACES = FETCHING + PREFETCHED
# Seconds that the other process has to end by itself.
GRACE = 5.0


class ProcessLoader:
    """A `ThreadLoader` in another process, whose pixels arrive in memory that both processes share.

    A GPU fetches them from there by itself.

    Args:
        loader: which makes the batches, on the CPU.
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
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, loader, path, shape), daemon=True)
        with signals_are_for_the_parent():
            process.start()
        theirs.close()
        parts = process, self._pipe, memory, self._places, is_pinned
        # At exit, before multiprocessing waits for the process.
        Finalize(self, _end, parts, exitpriority=0)

    def batches(self, epoch: Epoch, first: int = 0) -> Iterator[Batch]:
        """Yield as `Loader.batches`, but one call's batches at a time.

        Raises:
            UserError: the other process was ended from outside.
        """
        return one_ahead(self._made(epoch, first), self.device)

    def _made(self, epoch: Epoch, first: int) -> Generator[Batch]:
        self._passes += 1
        own, fetching = self._passes, deque[torch.cuda.Event | None]()
        self._tell((own, epoch, first))
        shown = list(batches(epoch, first, self.loader.batch_size, self.loader.share))
        known = known_of(self.loader.records, epoch, shown, self.device)
        try:
            for number, batch in enumerate(known):
                if len(fetching) == FETCHING:
                    _wait_for(fetching.popleft())
                    self._tell(own)
                self._hear(own)
                pixels, event = self._fetched(self._places[number % PLACES, : len(batch.records)])
                fetching.append(event)
                yield batch._replace(pixels=pixels)
        finally:
            # Then the next call's batches may take the same memory.
            for event in fetching:
                _wait_for(event)

    def _fetched(self, pixels: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        """Return `pixels` on the device, and on a GPU an event after which their memory is free."""
        copied = torch.empty(pixels.shape, dtype=pixels.dtype, device=self.device)
        copied.copy_(pixels, non_blocking=True)
        on_gpu = self.device.type == "cuda"
        return copied, torch.cuda.current_stream(self.device).record_event() if on_gpu else None

    def _tell(self, message: Any) -> None:
        """Send which pass to begin, or the number of one of which a place is free again."""
        try:
            self._pipe.send(message)
        except OSError:
            raise _ended() from None

    def _hear(self, own: int) -> None:
        """Wait for a batch of this pass; what came of a pass that was left early is passed over."""
        try:
            while True:
                number, error = self._pipe.recv()
                if number == own:
                    break
        except (EOFError, OSError):
            raise _ended() from None
        if error is not None:
            raise error


def _ended() -> UserError:
    return UserError(
        "the process that loads the pictures was ended from outside, often for lack of memory. Run again,"
        " with fewer workers (machine.yaml) if it happens again."
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


def _end(process: SpawnProcess, pipe: Connection, memory: int, places: Tensor, is_pinned: bool) -> None:
    if is_pinned:
        torch.cuda.cudart().cudaHostUnregister(places.data_ptr())
    # One that waits for a message ends by itself.
    pipe.close()
    process.join(GRACE)
    process.kill()
    process.join()
    process.close()
    # Not before: a process that is still starting looks for it.
    os.close(memory)


class _AnotherPassError(Exception):
    """This pass was left early; the argument is the message that begins another."""


def _serve(pipe: Connection, loader: ThreadLoader, path: str, shape: tuple[int, ...]) -> None:
    """Make batches, pass after pass, until the pipe is closed."""
    start_worker()
    places = _mapped(path, shape)
    with suppress(EOFError, OSError):
        message = pipe.recv()
        while True:
            message = _make_pass(pipe, loader, places, *message)


def _make_pass(
    pipe: Connection, loader: ThreadLoader, places: Tensor, own: int, epoch: Epoch, first: int
) -> tuple[int, Epoch, int]:
    """Make the batches of a pass; return the message that begins the next one."""
    begun, freed = 0, 0

    def place(pictures: int) -> Tensor:
        nonlocal begun, freed
        while begun - freed == PLACES:
            message = pipe.recv()
            if isinstance(message, tuple):
                raise _AnotherPassError(message)
            freed += message == own
        begun += 1
        return places[(begun - 1) % PLACES, :pictures]

    try:
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
