"""The kernels for GPUs against torch and the norm's formula: on a GPU, or in Triton's interpreter."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import PAPER, difference, gradient_of
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from alexnet.core.params import read
from alexnet.model import convolution, kernels
from alexnet.model.initial import initialise
from alexnet.model.kernels import LARGEST, find_kernels, have_kernels
from alexnet.model.network import AlexNet
from alexnet.model.norm import CrossMapNorm
from alexnet.model.params import Model
from alexnet.model.pool import max_pool as pooled_by

pytest.importorskip("triton")

from alexnet.model import norm_gpu
from alexnet.model.norm_gpu import norm_across_maps
from alexnet.model.pool_gpu import max_pool

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# The largest difference of a number relative to the norm of all: rounding of the results, and little more.
# The interpreter cuts bits off where a GPU rounds.
NEAR = {torch.float32: 3e-7, torch.bfloat16: 6e-3}
DTYPES = pytest.mark.parametrize("dtype", NEAR)


def drawn(*shape: int, dtype: torch.dtype, seed: int = 3) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return values.to(DEVICE, dtype).contiguous(memory_format=torch.channels_last)


@DTYPES
# Columns and maps: as conv1 and conv2 have them, few, and fewer than a window; size; k, α, β.
@pytest.mark.parametrize(
    ("columns", "maps", "size", "constants"),
    [
        (2, 48, 5, (2.0, 1e-4, 0.75)),
        (1, LARGEST, 5, (2.0, 2e-5, 0.75)),
        (1, 7, 3, (1.0, 3e-4, 0.5)),
        (2, 3, 9, (1.5, 1e-4, 1.0)),
    ],
)
def test_the_norm_and_its_gradient_are_the_formulas(
    columns: int, maps: int, size: int, constants: tuple[float, float, float], dtype: torch.dtype
) -> None:
    # As large as pixels, so that the sum of squares weighs as much as k. 105 places do not fill all programs.
    a = 60 * drawn(3, columns * maps, 5, 7, dtype=dtype)
    gradient = drawn(*a.shape, dtype=dtype, seed=4)
    one, other = a.clone().requires_grad_(), a.double().requires_grad_()
    found = norm_across_maps(one, columns, size, *constants)
    expected = CrossMapNorm(columns, size, *constants)(other)
    found.backward(gradient)
    expected.backward(gradient.double())
    assert found.dtype == dtype
    assert difference(found, expected) < NEAR[dtype]
    assert difference(gradient_of(one), gradient_of(other)) < NEAR[dtype]


@DTYPES
# With and without an overhang, more maps than a program takes, and windows that do not overlap.
@pytest.mark.parametrize(
    ("maps", "height", "width", "side"), [(96, 13, 11, 3), (10, 8, 7, 3), (130, 6, 6, 3), (10, 8, 7, 2)]
)
def test_maxima_and_their_gradient_are_torchs(
    maps: int, height: int, width: int, side: int, dtype: torch.dtype
) -> None:
    # Half of them are equal, as after ReLU: the first of equals passes the gradient on.
    values = drawn(3, maps, height, width, dtype=dtype).relu()
    one, other = values.clone().requires_grad_(), values.clone().requires_grad_()
    (found, _), expected = max_pool(one, side), functional.max_pool2d(other, side, 2, ceil_mode=True)
    assert torch.equal(found, expected)
    gradient = drawn(*expected.shape, dtype=dtype, seed=4)
    found.backward(gradient)
    expected.backward(gradient)
    assert difference(gradient_of(one), gradient_of(other)) < NEAR[dtype]
    assert torch.equal(gradient_of(one) != 0, gradient_of(other) != 0)


def test_what_is_no_number_stays_one() -> None:
    values = drawn(1, 4, 5, 5, dtype=torch.float32)
    values[0, 2, 1, 1] = torch.nan
    found, _ = max_pool(values, 3)
    torch.testing.assert_close(found, functional.max_pool2d(values, 3, 2), equal_nan=True)


def test_torch_can_compile_and_differentiate_the_kernels() -> None:
    maps = drawn(2, 8, 5, 5, dtype=torch.float32).requires_grad_()
    torch.library.opcheck(norm_across_maps, (maps, 2, 5, 2.0, 1e-4, 0.75))
    torch.library.opcheck(max_pool, (maps, 3))


@pytest.mark.parametrize("works", [True, False])
def test_a_device_is_given_the_kernels_that_work_there(
    works: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*given: object) -> Tensor:
        raise RuntimeError("no compiler\nis found")

    monkeypatch.setattr(kernels, "_are_there", False)
    if not works:
        monkeypatch.setattr(norm_gpu, "norm_across_maps", broken)
    assert find_kernels(DEVICE) == works
    said = capsys.readouterr()
    assert ("Triton's kernels do not work here (no compiler is found)" in said.out + said.err) != works
    # On a device without values, so that what is computed there needs no GPU.
    norm, maps = CrossMapNorm(2, 5, 2.0, 1e-4, 0.75), torch.zeros(1, 8, 5, 5, device="meta")
    with Called() as called:
        pooled_by(norm(maps), 3)
    names = {"alexnet::norm_across_maps", "alexnet::max_pool"}
    assert called.names & names == (names if works else set())
    for other in (maps.double(), torch.zeros_like(maps, device="cpu")):
        assert not have_kernels(other)


def test_the_network_as_a_gpu_computes_it_has_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ["model.width=0.05", "model.initial_weights=he", "model.dropout.rate=0"]
    network = AlexNet(read([str(PAPER), *changes], Model), 10)
    initialise(network, 1)
    network.eval().to(DEVICE).set_memory_format(torch.channels_last)
    pictures = drawn(2, 3, 224, 224, dtype=torch.float32)

    def gradients(forward: Callable[[Tensor], Tensor]) -> Tensor:
        network.zero_grad()
        forward(pictures).square().sum().backward()
        return torch.cat([gradient_of(each).flatten() for each in network.parameters()])

    expected = gradients(network.from_inputs)
    for module in ("norm", "pool"):
        monkeypatch.setattr(f"alexnet.model.{module}.have_kernels", lambda maps: True)
    monkeypatch.setattr(convolution, "_on_cpu", lambda values: False)
    compiled = torch.compile(network.from_inputs, backend="aot_eager", fullgraph=True)
    for forward in (network.from_inputs, compiled):
        assert difference(gradients(forward), expected) < 1e-5


class Called(TorchDispatchMode):
    """The names of the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.name())
        return func(*args, **(kwargs or {}))
