"""Sums of gradients over the replicas that share a batch."""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor

from alexnet.parallel.mesh import Mesh, exchange

# A sum costs a message to every other process, however small it is.
BUCKET_BYTES = 4 * 2**20


class GradientSums:
    """Sums the gradients of `parameters` over replicas while the backward pass goes on.

    Small gradients wait for others, and a bucket of them is summed together; a large one is summed by itself,
    in place. A compiled backward pass hands over all gradients at its end, so there the sums begin after it.

    Args:
        parameters: of which every backward pass makes all gradients.
        bucket_bytes: from which size on gradients are summed; 0: each by itself.
    """

    def __init__(self, parameters: Iterable[Tensor], mesh: Mesh, bucket_bytes: int = BUCKET_BYTES) -> None:
        self.mesh = mesh
        self.buckets = _buckets(list(parameters), bucket_bytes) if mesh.replicas > 1 else []
        self._bucket_of = {
            parameter: number for number, bucket in enumerate(self.buckets) for parameter in bucket
        }
        for parameter in self._bucket_of:
            parameter.register_post_accumulate_grad_hook(self._add)
        self._begin()

    def _begin(self) -> None:
        self._missing = [len(bucket) for bucket in self.buckets]
        self._under_way: list[tuple[dist.Work, Tensor]] = []

    @exchange()
    def wait(self) -> None:
        """Return when all gradients are sums; to be called after every backward pass.

        Raises:
            LostError: another process has ended, or did not answer in time.
        """
        for bucket, (request, together) in zip(self.buckets, self._under_way, strict=True):
            request.wait()
            if len(bucket) > 1:
                gradients = [_in_one_line(parameter) for parameter in bucket]
                torch._foreach_copy_(gradients, together.split([len(each) for each in gradients]))
        self._begin()

    @exchange()
    def _add(self, parameter: Tensor) -> None:
        self._missing[self._bucket_of[parameter]] -= 1
        # In the same order in all replicas, whatever the order in which each makes its gradients.
        while len(self._under_way) < len(self.buckets) and not self._missing[len(self._under_way)]:
            bucket = self.buckets[len(self._under_way)]
            together = bucket[0].grad
            if len(bucket) > 1:
                together = torch.cat([_in_one_line(each) for each in bucket])
            assert together is not None
            self._under_way.append((self.mesh.start_sum(together), together))


def _buckets(parameters: list[Tensor], size: int) -> list[list[Tensor]]:
    """Return `parameters` in the order in which their buckets are full, if backward begins with the last."""
    buckets: list[list[Tensor]] = []
    small: list[Tensor] = []
    for parameter in reversed(parameters):
        if parameter.nbytes >= size:
            buckets.append([parameter])
            continue
        small.append(parameter)
        if sum(each.nbytes for each in small) >= size:
            buckets.append(small)
            small = []
    return [*buckets, small] if small else buckets


def _in_one_line(parameter: Tensor) -> Tensor:
    """Return a view of all numbers of a gradient as they lie in memory."""
    gradient = parameter.grad
    assert gradient is not None
    # The order is that of the parameter, whose strides torch gives its gradient: equal in all replicas.
    return gradient.as_strided((gradient.numel(),), (1,))
