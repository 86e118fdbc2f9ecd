"""The forms in which a GPU computes convolutions give what torch's own convolution gives."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from alexnet.model.convolution import Convolution

# Maps, kernels, side of a kernel, stride, padding, columns; and the height and width of the input.
CONV1 = ((3, 6, 11, 4, 0, 1), (227, 227))
CONV2 = ((4, 6, 5, 1, 2, 2), (27, 27))
CONV4 = ((6, 4, 3, 1, 1, 2), (13, 13))
# Kernels and inputs that are, and are not, multiples of the stride.
OTHERS = [((2, 4, 4, 2, 0, 1), (9, 12)), ((2, 4, 3, 2, 0, 1), (8, 5)), ((1, 2, 2, 3, 0, 1), (11, 9))]


@pytest.mark.parametrize(("shape", "sides"), [CONV1, CONV2, CONV4, *OTHERS])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_maps_and_gradients_are_those_of_the_plain_convolution(
    shape: tuple[int, int, int, int, int, int], sides: tuple[int, int], order: torch.memory_format
) -> None:
    maps, kernels, kernel, stride, padding, columns = shape
    layer = Convolution(maps, kernels, kernel, stride, padding, groups=columns).double()
    layer.weight.data = layer.weight.data.contiguous(memory_format=order)
    form = layer.column_by_column if columns > 1 else layer.by_squares
    given = torch.randn(3, maps, *sides, dtype=torch.float64).contiguous(memory_format=order)
    expected, found = results(layer, layer.forward, given), results(layer, form, given)
    for one, other in zip(expected, found, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def results(layer: Convolution, form: Callable[[Tensor], Tensor], given: Tensor) -> list[Tensor]:
    """Return the maps, and the gradients of the input, the weights and the biases."""
    layer.zero_grad()
    given = given.clone().requires_grad_()
    maps = form(given)
    maps.backward(torch.sin(torch.arange(maps.numel(), dtype=maps.dtype)).reshape(maps.shape))
    gradients = [each.grad for each in (given, layer.weight, layer.bias) if each is not None]
    return [maps, *(each for each in gradients if each is not None)]


def test_a_device_is_given_these_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    for name in ("column_by_column", "by_squares"):
        monkeypatch.setattr(Convolution, name, lambda self, given, name=name: taken.append(name))
    for maps, kernels, kernel, stride, padding, columns in (CONV1[0], CONV2[0]):
        layer = Convolution(maps, kernels, kernel, stride, padding, groups=columns)
        layer(torch.zeros(1, maps, 27, 27))
        layer.to("meta")(torch.zeros(1, maps, 27, 27, device="meta"))
    assert taken == ["by_squares", "column_by_column"]
