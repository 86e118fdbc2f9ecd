"""The devices that train one network together, which communicate through a `Mesh` alone.

A replica is the whole network: on one device, or with a column on each of two. Replicas work on
different parts of a batch.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from alexnet.core.errors import UserError
from alexnet.feed.order import Share
from alexnet.parallel.device import memory_error

T = TypeVar("T")


class LostError(UserError):
    """Another process has ended, or did not answer in time."""


@contextmanager
def exchange() -> Iterator[None]:
    """Turn an error of an exchange with other processes into a `LostError`."""
    try:
        yield
    # gloo raises a plain one for a lost or silent process, and nccl a class derived from it.
    except RuntimeError as error:
        if memory_error(error):
            raise
        raise LostError(str(error).splitlines()[0][:120]) from None


@dataclass(frozen=True)
class Mesh:
    """This process's place among the processes that train one network; alone by default.

    Attributes:
        rank: number of this process, counted over all machines.
        columns: the number of devices of a replica, 1 or 2.
        replicas: into how many parts a batch is divided.
        on_this_machine: the number of these processes that share this machine's cores.
    """

    rank: int = 0
    columns: int = 1
    replicas: int = 1
    on_this_machine: int = 1
    _replica_group: dist.ProcessGroup | None = None
    _control_group: dist.ProcessGroup | None = None

    @property
    def size(self) -> int:
        return self.columns * self.replicas

    @property
    def column(self) -> int:
        """Which column this process holds, 0 or 1; 0 where it holds both."""
        return self.rank % self.columns

    @property
    def replica(self) -> int:
        return self.rank // self.columns

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and prints messages."""
        return self.rank == 0

    @property
    def column_share(self) -> Share:
        """The part of each layer's kernels that this process holds; of an odd number, column 2 has more."""
        return Share(self.column, self.column + 1, self.columns)

    @property
    def own_share(self) -> Share:
        """The part of every batch that this process decodes."""
        return Share(self.rank, self.rank + 1, self.size)

    @property
    def replica_share(self) -> Share:
        """The part of every batch that this process's replica works on."""
        first = self.replica * self.columns
        return Share(first, first + self.columns, self.size)

    @exchange()
    def swap(self, mine: Tensor, theirs: tuple[int, ...]) -> Tensor:
        """Send `mine` to the process with the other column; return its tensor of shape `theirs`."""
        peer = self.rank ^ 1
        place = torch.device("cpu") if dist.get_backend() == "gloo" else mine.device
        sent = mine.detach().to(place).contiguous()
        received = torch.empty(theirs, dtype=mine.dtype, device=place)
        # Empty messages are not sent: both sides know the sizes.
        work = [dist.P2POp(dist.isend, sent, peer)] if sent.numel() else []
        work += [dist.P2POp(dist.irecv, received, peer)] if received.numel() else []
        for request in dist.batch_isend_irecv(work) if work else []:
            request.wait()
        return received.to(mine.device)

    def join(self, mine: Tensor, size: int, dimension: int) -> Tensor:
        """Return both columns' tensors side by side, column 1's first, `size` together in this dimension."""
        shape = list(mine.shape)
        shape[dimension] = size - shape[dimension]
        theirs = self.swap(mine, tuple(shape))
        return torch.cat([mine, theirs] if self.column == 0 else [theirs, mine], dimension)

    def start_sum(self, tensor: Tensor) -> dist.Work:
        """Start to sum `tensor` over replicas, in place; what is returned waits for the end."""
        request: dist.Work = dist.all_reduce(tensor, group=self._replica_group, async_op=True)
        return request

    def sum_over_replicas(self, values: list[float]) -> list[float]:
        """Return the sums of `values` over all replicas, equal on every process."""
        return values if self.replicas == 1 else self._sum(values, self.column == 0)

    def sum_over_columns(self, values: list[float]) -> list[float]:
        """Return the sums of `values` over a replica's columns, equal on every process."""
        return values if self.columns == 1 else self._sum(values, self.replica == 0)

    @exchange()
    def _sum(self, values: list[float], counted: bool) -> list[float]:
        sums = torch.tensor(values if counted else [0.0] * len(values), dtype=torch.float64)
        dist.all_reduce(sums, group=self._control_group)
        return [float(value) for value in sums]

    def any(self, *asked: bool) -> list[bool]:
        """Return for each question whether any process answers yes; equal on every process."""
        return [bool(answer) for answer in self.largest(*asked)]

    @exchange()
    def largest(self, *values: int) -> list[int]:
        """Return the largest of all processes' values, for each of `values`; equal on every process."""
        if self.size == 1:
            return list(values)
        found = torch.tensor(values, dtype=torch.int32)
        dist.all_reduce(found, dist.ReduceOp.MAX, group=self._control_group)
        return [int(value) for value in found]

    def wait_for_all(self) -> None:
        self.any(False)

    @exchange()
    def from_leader(self, value: T) -> T:
        """Return the leader's `value` (anything that pickles) on every process."""
        if self.size == 1:
            return value
        values: list[Any] = [value]
        dist.broadcast_object_list(values, 0, group=self._control_group)
        received: T = values[0]
        return received

    @exchange()
    def to_leader(self, value: T) -> list[T] | None:
        """Return every process's `value` (anything that pickles) on the leader, by rank; None elsewhere."""
        if self.size == 1:
            return [value]
        values: list[Any] | None = [None] * self.size if self.leads else None
        dist.gather_object(value, values, 0, group=self._control_group)
        return values

    @exchange()
    def refuse_differences(self, **facts: Any) -> None:
        """Check that every process was given the same `facts`.

        Raises:
            UserError: one differs from the leader's.
        """
        if self.size == 1:
            return
        everyones: list[Any] = [None] * self.size
        dist.all_gather_object(everyones, facts, group=self._control_group)
        for rank, found in enumerate(everyones):
            for name, value in found.items():
                if value != everyones[0][name]:
                    raise UserError(
                        f"processes 0 and {rank} differ in {name.replace('_', ' ')} ({everyones[0][name]},"
                        f" {value}); all must start from the same commit, params.yaml, records and"
                        " memory_format (machine.yaml)"
                    )


class Questions:
    """Questions to all processes after every step; where steps are short, only about every `seconds`.

    To ask takes an exchange among the processes, for which short steps would have to wait.

    Args:
        most: steps from one exchange to the next.
    """

    def __init__(self, mesh: Mesh, seconds: float, most: int) -> None:
        self.mesh, self.seconds, self.most = mesh, seconds, most
        self.pause, self.steps, self.since = 1, 0, time.monotonic()
        self.yes: list[bool] = []

    def ask(self, *asked: bool) -> list[bool]:
        """Return whether any process has said yes since the last exchange; equal on every process.

        Every process calls this after every step. Between two exchanges the answers are no.
        """
        if self.mesh.size == 1:
            return list(asked)
        self.yes = [now or before for now, before in zip(asked, self.yes or asked, strict=True)]
        self.steps += 1
        if self.steps < self.pause:
            return [False for _ in asked]
        elapsed = max(time.monotonic() - self.since, 1e-9)
        # The leader's clock decides for all.
        pause = min(self.most, max(1, int(self.seconds * self.steps / elapsed))) if self.mesh.leads else 0
        *answers, self.pause = self.mesh.largest(*self.yes, pause)
        self.steps, self.since, self.yes = 0, time.monotonic(), []
        return [bool(answer) for answer in answers]
