"""Pictures for a replica of two devices: each decodes half of them and gets the rest from the other."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from alexnet.core.machine import Machine
from alexnet.feed.loader import Loader, open_loader
from alexnet.feed.order import Epoch
from alexnet.feed.threads import known_of
from alexnet.model.input import Batch
from alexnet.parallel.mesh import Mesh
from alexnet.store.records import Records


def open_replica_loader(
    machine: Machine, records: Records, batch_size: int, device: torch.device, mesh: Mesh
) -> Loader:
    """Return a loader of the patches that this process's replica works on.

    Args:
        batch_size: of the whole batch, all replicas together.
    """
    own = open_loader(
        machine, records, batch_size, device, share=mesh.own_share, processes_here=mesh.on_this_machine
    )
    return own if mesh.columns == 1 else _ReplicaLoader(own, records, batch_size, device, mesh)


@dataclass(frozen=True, eq=False)
class _ReplicaLoader:
    own: Loader
    records: Records
    batch_size: int
    device: torch.device
    mesh: Mesh

    def batches(self, epoch: Epoch, first: int = 0) -> Iterator[Batch]:
        known = known_of(self.records, epoch, first, self.batch_size, self.mesh.replica_share, self.device)
        for own, batch in zip(self.own.batches(epoch, first), known, strict=True):
            yield batch._replace(pixels=self.mesh.join(own.pixels, len(batch.records), 0))
