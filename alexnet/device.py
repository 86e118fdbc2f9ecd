"""Which device a process computes on."""

from __future__ import annotations

import ctypes
import shutil

import torch

from alexnet.params.machine import Machine


def choose_device(machine: Machine, number: int = 0, of: int = 1) -> torch.device:
    """Return the device of process `number` of the `of` on this machine.

    GPUs in turn where there are any, the CPU otherwise, where the processes share `workers` threads.
    """
    if torch.cuda.is_available():
        device = torch.device("cuda", number % torch.cuda.device_count())
        torch.cuda.set_device(device)
        return device
    torch.set_num_threads(max(1, machine.worker_count // of))
    _keep_freed_memory()
    return torch.device("cpu")


def should_compile(machine: Machine, device: torch.device) -> bool:
    """Return whether to use `torch.compile`: as told, or on a GPU where a compiler is there.

    On the CPU compiling takes half a minute and gives about a fifth, too little for short runs.
    """
    wanted = device.type == "cuda" if machine.compile == "auto" else bool(machine.compile)
    if wanted and shutil.which("c++") is None and shutil.which("g++") is None:
        print("no C++ compiler found (install g++): training goes on uncompiled, slower", flush=True)
        return False
    return wanted


def _keep_freed_memory() -> None:
    # glibc gives large buffers back to the kernel at every step and faults them in again at the
    # next; keeping them made a training step of width 0.5 a quarter to a third faster.
    trim_threshold, mmap_max = -1, -4
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
