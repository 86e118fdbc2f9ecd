"""Which devices there are to compute on, which of them a process takes, and how a network is run there."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal, ParamSpec, TypeVar

import torch
from torch import Tensor

from alexnet.core.errors import UserError
from alexnet.core.machine import Machine, refuse_unless_shareable
from alexnet.core.processes import keep_freed_memory
from alexnet.core.terminal import say
from alexnet.model.kernels import find_kernels
from alexnet.parallel.recording import WARM, RecordedStep

# Operator by operator, by `torch.compile`, or by it with each step recorded as a CUDA graph.
Mode = Literal["eager", "compiled", "CUDA graphs"]
P = ParamSpec("P")
R = TypeVar("R")

# More than any array of a training step. Keeping them made a step of width 0.5 a quarter to a third faster.
LARGEST_OF_A_STEP = 2**30


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


def choose_device(machine: Machine, number: int = 0, of: int = 1) -> torch.device:
    """Return the device of process `number`, one of `of` processes on this machine.

    The processes take the GPUs in turn. Without GPUs, all compute on the CPU and share `workers` threads.
    """
    if torch.cuda.is_available():
        device = torch.device("cuda", number % torch.cuda.device_count())
        torch.cuda.set_device(device)
        # torch lets convolutions use tf32 unless told otherwise; `Precision` allows it where it is asked for.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        if machine.deterministic:
            # Without it, products of matrices may differ; torch asks for it.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # Torch warns of operations that have no deterministic form.
        torch.use_deterministic_algorithms(machine.deterministic, warn_only=True)
        find_kernels(device)
        return device
    torch.set_num_threads(max(1, machine.worker_count // of))
    keep_freed_memory(LARGEST_OF_A_STEP)
    return torch.device("cpu")


def memory_error(error: BaseException | None) -> BaseException | None:
    """Return what says that a GPU has too little memory: `error`, one that led to it, or None.

    CUDA, Triton and NCCL have their own for it; ending the recording of a CUDA graph hides it behind another.
    """
    while error is not None:
        text = str(error).lower()
        if isinstance(error, torch.OutOfMemoryError) or ("cuda" in text and "out of memory" in text):
            return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def memory_errors_told() -> Iterator[None]:
    """Raise a `UserError` that says what to do in place of an error for which a GPU lacks memory."""
    try:
        yield
    except RuntimeError as error:
        lacking = memory_error(error)
        if lacking is None:
            raise
        reason = str(lacking).splitlines()[0].partition(". GPU")[0].rstrip(".")
        raise UserError(
            f"{reason}. End other programs that use this GPU (nvidia-smi lists them); a training needs less"
            " with a smaller train.batch_size. Then run the same command again."
        ) from error


def chosen_mode(machine: Machine, device: torch.device, recordable: bool = False) -> Mode:
    """Return how to run a network in training: as `machine` says, by default compiled on a GPU.

    On the CPU compiling takes half a minute, and there is little left to gain. Where compiling does not
    work, the network is run operator by operator.

    Args:
        recordable: whether the steps can be recorded as CUDA graphs.
    """
    on_gpu = device.type == "cuda"
    if not (on_gpu if machine.compile == "auto" else machine.compile):
        return "eager"
    recording = on_gpu and recordable and machine.compile in ("auto", "cuda-graphs")
    modes: list[Mode] = ["CUDA graphs", "compiled"] if recording else ["compiled"]
    return next((mode for mode in modes if _works(mode, device)), "eager")


def prepared(function: Callable[P, R], mode: Mode, backend: str = "inductor") -> Callable[P, R]:
    """Return `function`, compiled if `mode` says so; it is compiled again for each size of a batch."""
    return function if mode == "eager" else torch.compile(function, backend=backend, dynamic=False)


def memory_format(machine: Machine) -> torch.memory_format:
    """Return the order of maps in memory; channels_last by default."""
    return torch.contiguous_format if machine.memory_format == "contiguous" else torch.channels_last


def _works(mode: Mode, device: torch.device) -> bool:
    # Compilers, headers and drivers can be missing in many ways, and torch finds out at the first
    # forward or, worse, at the first backward pass: small ones show it.
    try:
        values = torch.ones(8, device=device, requires_grad=True)
        forward = prepared(lambda given: (given.sin() * given).sum(), mode)

        def step() -> tuple[Tensor, ...]:
            values.grad = None
            forward(values).backward()
            return ()

        taken = partial(RecordedStep(step, device), None) if mode == "CUDA graphs" else step
        for _ in range(WARM + 1):
            taken()
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        what = "torch.compile does" if mode == "compiled" else f"{mode} do"
        say(f"{what} not work here ({reason}), so training is slower")
        return False
    return True
