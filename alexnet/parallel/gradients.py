"""Sums of gradients over the replicas that share a batch."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from alexnet.parallel.mesh import Mesh, exchange

# A sum costs a message to every other process, however small it is.
BUCKET_BYTES = 4 * 2**20


class _Bucket(NamedTuple):
    """Gradients that are summed as one tensor, `together`."""

    gradients: list[Tensor]
    together: Tensor
    request: dist.Work


class GradientSums:
    """Sums the gradients of `parameters` over replicas while the backward pass goes on.

    A small gradient waits until others have joined it in a bucket; a large one is summed at once, in place.

    Args:
        bucket_bytes: from which size on gradients are summed; 0: each by itself.
    """

    def __init__(self, parameters: Iterable[Tensor], mesh: Mesh, bucket_bytes: int = BUCKET_BYTES) -> None:
        self.mesh, self.bucket_bytes = mesh, bucket_bytes
        self.small: list[Tensor] = []
        self.under_way: list[_Bucket] = []
        if mesh.replicas > 1:
            for parameter in parameters:
                parameter.register_post_accumulate_grad_hook(self._add)

    @exchange()
    def wait(self) -> None:
        """Return when all gradients are sums; to be called after every backward pass.

        Raises:
            LostError: another process has ended, or did not answer in time.
        """
        if self.small:
            self._start(self.small)
            self.small = []
        for bucket in self.under_way:
            bucket.request.wait()
            if len(bucket.gradients) > 1:
                parts = bucket.together.split([each.numel() for each in bucket.gradients])
                torch._foreach_copy_([_in_one_line(each) for each in bucket.gradients], parts)
        self.under_way.clear()

    @exchange()
    def _add(self, parameter: Tensor) -> None:
        # All replicas make their gradients in the same order.
        gradient = parameter.grad
        assert gradient is not None
        if gradient.nbytes >= self.bucket_bytes:
            self._start([gradient])
            return
        self.small.append(gradient)
        if sum(each.nbytes for each in self.small) >= self.bucket_bytes:
            self._start(self.small)
            self.small = []

    def _start(self, gradients: list[Tensor]) -> None:
        alone = len(gradients) == 1
        together = gradients[0] if alone else torch.cat([_in_one_line(each) for each in gradients])
        self.under_way.append(_Bucket(gradients, together, self.mesh.start_sum(together)))


def _in_one_line(gradient: Tensor) -> Tensor:
    """Return a view of all numbers as they lie in memory.

    Their order is that of the parameter, whose strides torch gives every gradient: equal in all replicas.
    """
    return gradient.as_strided((gradient.numel(),), (1,))
