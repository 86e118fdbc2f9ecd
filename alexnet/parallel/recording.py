"""Training steps that a GPU repeats without Python, recorded as a CUDA graph."""

import gc
from collections.abc import Callable, Hashable
from functools import cached_property, partial

import torch
from torch import Tensor

# So many steps are taken before one is recorded: they compile, choose kernels and allocate.
WARM = 3

# Takes tensors, or None in their place.
Step = Callable[..., tuple[Tensor, ...]]


class RecordedStep:
    """A step that is recorded from its beginning to its end, and then replayed with other numbers.

    A GPU computes a step faster than Python starts its operations one by one. Here Python copies the inputs
    and starts the graph.

    Args:
        step: nothing in it waits for the GPU. What it reads, apart from what it is given, stays in its place.
        device: where it computes. Only a GPU records; a CPU takes each step as it is.
    """

    def __init__(self, step: Step, device: torch.device) -> None:
        self._step, self._device = step, device
        self._can_record = device.type == "cuda"
        self._kind: Hashable = None
        self._forget()

    @cached_property
    def _stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self._device)

    def _forget(self) -> None:
        self._taken = 0
        self._replay: Callable[[], None] | None = None
        self._places: list[Tensor | None] = []
        self._results: tuple[Tensor, ...] = ()

    def __call__(self, settings: Hashable, *given: Tensor | None) -> tuple[Tensor, ...]:
        """Take the step with what is `given`; return its results, which the next call may overwrite.

        Args:
            settings: what the step depends on apart from tensors. With others it is recorded anew.
        """
        if not self._can_record:
            return self._step(*given)
        kind = settings, *[None if each is None else each.shape for each in given]
        if kind != self._kind:
            self._forget()
            self._kind = kind
        if self._taken < WARM:
            self._taken += 1
            return self._take(given)
        if self._replay is None:
            self._places = [None if each is None else each.clone() for each in given]
            self._replay, self._results = self._record(partial(self._step, *self._places))
        for place, each in zip(self._places, given, strict=True):
            if place is not None and each is not None:
                place.copy_(each)
        self._replay()
        return self._results

    def _take(self, given: tuple[Tensor | None, ...]) -> tuple[Tensor, ...]:
        # On the stream that records: autograd keeps the stream on which it has first seen a parameter.
        computing = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(computing)
        with torch.cuda.stream(self._stream):
            results = self._step(*given)
        computing.wait_stream(self._stream)
        return results

    def _record(self, step: Step) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
        graph = torch.cuda.CUDAGraph()
        # What belongs to an earlier training must not be freed while this one records.
        gc.collect()
        # Other threads, such as DALI's, may make calls that are forbidden in the thread that records.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            results = step()
        return graph.replay, results
