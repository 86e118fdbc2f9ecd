"""The kernels for GPUs against torch and the norm's formula: on a GPU, or in Triton's interpreter."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from alexnet.model.kernels import HAS_TRITON, have_kernels
from alexnet.model.norm import CrossMapNorm
from alexnet.model.pool import max_pool as pooled_by

if not HAS_TRITON:
    pytest.skip("Triton is not installed", allow_module_level=True)

from alexnet.model.norm_gpu import LARGEST, norm_across_maps
from alexnet.model.pool_gpu import max_pool

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# The largest difference of a number relative to the norm of all: rounding of the results, and little more.
# The interpreter cuts bits off where a GPU rounds.
NEAR = {torch.float32: 3e-7, torch.bfloat16: 6e-3}
DTYPES = pytest.mark.parametrize("dtype", NEAR)


def drawn(*shape: int, dtype: torch.dtype, seed: int = 3) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return values.to(DEVICE, dtype).contiguous(memory_format=torch.channels_last)


def difference(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


@DTYPES
# Columns and maps: as conv1 and conv2 have them, few, and fewer than a window; size; k, α, β.
@pytest.mark.parametrize(
    ("columns", "maps", "size", "constants"),
    [
        (2, 48, 5, (2.0, 1e-4, 0.75)),
        (2, LARGEST, 5, (2.0, 2e-5, 0.75)),
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
    assert one.grad is not None
    assert other.grad is not None
    assert difference(found, expected) < NEAR[dtype]
    assert difference(one.grad, other.grad) < NEAR[dtype]


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
    assert one.grad is not None
    assert other.grad is not None
    assert difference(one.grad, other.grad) < NEAR[dtype]
    assert torch.equal(one.grad != 0, other.grad != 0)


def test_what_is_no_number_stays_one() -> None:
    values = drawn(1, 4, 5, 5, dtype=torch.float32)
    values[0, 2, 1, 1] = torch.nan
    found, _ = max_pool(values, 3)
    torch.testing.assert_close(found, functional.max_pool2d(values, 3, 2), equal_nan=True)


def test_torch_can_compile_and_differentiate_the_kernels() -> None:
    maps = drawn(2, 8, 5, 5, dtype=torch.float32).requires_grad_()
    torch.library.opcheck(norm_across_maps, (maps, 2, 5, 2.0, 1e-4, 0.75))
    torch.library.opcheck(max_pool, (maps, 3))


def test_a_device_is_given_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def norm(maps: Tensor, *others: object) -> Tensor:
        taken.append("norm")
        return maps

    def pool(maps: Tensor, side: int) -> tuple[Tensor, Tensor]:
        taken.append("pool")
        return maps, maps

    monkeypatch.setattr("alexnet.model.norm.norm_across_maps", norm)
    monkeypatch.setattr("alexnet.model.pool_gpu.max_pool", pool)
    for device in ("cpu", "meta"):
        maps = torch.zeros(1, 8, 5, 5, device=device)
        CrossMapNorm(2, 5, 2.0, 1e-4, 0.75)(maps)
        pooled_by(maps, 3)
    assert taken == ["norm", "pool"]
    assert not have_kernels(torch.zeros(1, device="meta", dtype=torch.float64))
