"""Batches of pictures in a planned order, loaded by DALI or by plain threads.

All loaders are given, batch by batch, which records to decode and what to cut; they draw nothing
themselves. They return the same batches, and can begin at any picture of an epoch.
"""

import importlib.util
from collections.abc import Iterator
from typing import Protocol

import torch

from alexnet.core.errors import UserError
from alexnet.core.machine import Machine
from alexnet.core.sizes import PATCH
from alexnet.feed.order import WHOLE, Epoch, Share
from alexnet.feed.process import ProcessLoader
from alexnet.feed.threads import ThreadLoader
from alexnet.model.input import Batch
from alexnet.store.records import Records

# The most threads for raw records, which are only cut. More threads of one process would wait for each other
# at Python's lock; more processes have not been measured.
FOR_RAW = 4


class Loader(Protocol):
    """What training and evaluation ask of a loader."""

    def batches(self, epoch: Epoch, first: int = 0) -> Iterator[Batch]:
        """Yield the share of each batch of `epoch` from picture `first` on; the last batch may be smaller."""


def chosen_loader(kind: str, encoding: str) -> str:
    """Return ``dali`` or ``torch``: what `machine.loader` means for records of this `encoding`.

    ``auto`` is DALI where it is installed: on a GPU it decodes there; on a CPU the plain threads are
    somewhat faster (python -m benchmarks.load). Raw records need no decoder.

    Raises:
        UserError: DALI is asked for and not installed.
    """
    if encoding == "raw":
        return "torch"
    # The second search raises an error where nothing of NVIDIA's is installed.
    there = importlib.util.find_spec("nvidia") and importlib.util.find_spec("nvidia.dali")
    if kind == "dali" and not there:
        raise UserError("machine.yaml: loader: found dali, which is not installed; allowed here: auto, torch")
    return "dali" if there and kind != "torch" else "torch"


def open_loader(
    machine: Machine,
    records: Records,
    batch_size: int,
    device: torch.device,
    side: int = PATCH,
    share: Share = WHOLE,
    processes_here: int = 1,
) -> Loader:
    """Return a loader of `records`.

    Args:
        machine: which loader, how many threads, and how much of the decoding a GPU's JPEG engine gets.
        batch_size: pictures of a whole batch, all shares together.
        device: where the pixels are wanted. On a GPU, DALI decodes there, and the threads of the CPU run in
            processes of their own.
        side: 224 for patches, 256 for whole pictures.
        share: the part of every batch to load, where several processes share the work.
        processes_here: how many processes share this machine's threads.
    """
    threads = max(1, machine.worker_count // processes_here)
    if records.encoding == "raw":
        threads = min(threads, FOR_RAW)
    if chosen_loader(machine.loader, records.encoding) == "dali":
        from alexnet.feed.dali import DaliLoader

        return DaliLoader(records, batch_size, device, threads, side, share, machine.hardware_decoder_load)
    if device.type == "cuda":
        on_cpu = ThreadLoader(records, batch_size, torch.device("cpu"), threads, side, share)
        return ProcessLoader(on_cpu, device)
    return ThreadLoader(records, batch_size, device, threads, side, share)
