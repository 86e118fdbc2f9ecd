"""Both response norms against the formula written out, value by value, in double precision."""

from collections.abc import Callable

import pytest
import torch
from tiny import gradient_of
from torch import Tensor

from alexnet.model import norm, norm_cpu
from alexnet.model.norm import CrossMapNorm, SpatialNorm

# k, α as it multiplies the sum, β: as printed, as run (α ÷ 5), and another power than the fast one.
CONSTANTS = [(2.0, 1e-4, 0.75), (2.0, 1e-4 / 5, 0.75), (1.0, 3e-4, 0.5), (1.5, 1e-4, 1.0)]
# Columns, maps a column: with room for the window, narrower than it, and no more than one map.
COLUMNS = [(1, 7), (2, 6), (2, 3), (1, 1)]
SPATIAL = [(2.0, 1e-4, 0.75), (1.0, 1e-3 / 25, 0.75), (1.0, 1e-4, 1.25)]


@pytest.fixture(autouse=True, params=["blocks", "whole"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to compute: block by block, here so small that there are many, and on whole tensors."""
    monkeypatch.setattr(norm, "_on_plain_cpu", lambda maps: request.param == "blocks")
    monkeypatch.setattr(norm_cpu, "BLOCK", 40)


def grey_levels(*shape: int, seed: int = 3) -> Tensor:
    """Values as large as pixels, so that the sum of squares weighs as much as k."""
    return 60 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def window(i: int, count: int, size: int) -> range:
    """The paper's j, from max(0, i − n/2) to min(N − 1, i + n/2)."""
    return range(max(0, i - size // 2), min(count - 1, i + size // 2) + 1)


def literal(
    a: Tensor, gradient: Tensor, windows: list[list[int]], constants: tuple[float, float, float]
) -> tuple[Tensor, Tensor]:
    """Return b and ∂L/∂a along the last dimension, whose places have sums over their `windows`."""
    k, alpha, beta = constants
    scales = torch.stack([k + alpha * (a[..., places] ** 2).sum(-1) for places in windows], -1)
    slopes = gradient / scales**beta
    for i, places in enumerate(windows):
        for j in places:
            # ∂b_i/∂a_j through the sum: −β a_i s^(−β−1) · 2 α a_j
            through = beta * a[..., i] * scales[..., i] ** (-beta - 1) * 2 * alpha * a[..., j]
            slopes[..., j] -= gradient[..., i] * through
    return a / scales**beta, slopes


def outcome(module: torch.nn.Module, maps: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    maps = maps.clone().requires_grad_()
    outputs = module(maps)
    outputs.backward(gradient)
    return outputs.detach(), gradient_of(maps)


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("constants", CONSTANTS)
@pytest.mark.parametrize(("columns", "maps"), COLUMNS)
@pytest.mark.parametrize("size", [9, 5, 3])
def test_across_maps_is_the_printed_formula(
    columns: int, maps: int, size: int, constants: tuple[float, float, float]
) -> None:
    a, gradient = grey_levels(2, columns * maps, 2, 3), grey_levels(2, columns * maps, 2, 3, seed=4)
    found = outcome(CrossMapNorm(columns, size, *constants), a, gradient)
    windows = [list(window(i, maps, size)) for i in range(maps)]
    # The maps of one column go last.
    apart = [each.unflatten(1, (columns, maps)).movedim(2, -1) for each in (a, gradient)]
    for values, expected in zip(found, literal(apart[0], apart[1], windows, constants), strict=True):
        assert_close(values, expected.movedim(-1, 2).flatten(1, 2))


@pytest.mark.parametrize("constants", SPATIAL)
@pytest.mark.parametrize(("height", "width", "size"), [(7, 6, 5), (3, 4, 5), (1, 1, 5), (4, 5, 3)])
def test_inside_a_map_is_the_formula_over_a_square(
    height: int, width: int, size: int, constants: tuple[float, float, float]
) -> None:
    a, gradient = grey_levels(2, 3, height, width), grey_levels(2, 3, height, width, seed=4)
    found = outcome(SpatialNorm(size, *constants), a, gradient)
    windows = [
        [v * width + u for v in window(y, height, size) for u in window(x, width, size)]
        for y in range(height)
        for x in range(width)
    ]
    expected = literal(a.flatten(2), gradient.flatten(2), windows, constants)
    for values, exact in zip(found, expected, strict=True):
        assert_close(values.flatten(2), exact)


@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_gradients_are_the_slopes_of_the_outputs(beta: float) -> None:
    across = (grey_levels(2, 8, 2, 2) / 60).requires_grad_()
    inside = (grey_levels(1, 2, 4, 5) / 60).requires_grad_()
    assert torch.autograd.gradcheck(CrossMapNorm(2, 5, 2.0, 0.3, beta), across)
    assert torch.autograd.gradcheck(SpatialNorm(3, 1.0, 0.3, beta), inside)


NORMS = [CrossMapNorm(2, 5, 2.0, 1e-4, 0.75), SpatialNorm(5, 1.0, 1e-3 / 25, 0.75)]


@pytest.mark.parametrize("module", NORMS, ids=["across", "inside"])
def test_the_order_in_memory_changes_nothing_and_is_kept(module: torch.nn.Module) -> None:
    a, gradient = grey_levels(3, 12, 5, 4), grey_levels(3, 12, 5, 4, seed=4)
    plain = outcome(module, a, gradient)
    for first, second in ((True, True), (True, False), (False, True)):
        given, above = (
            values.to(memory_format=torch.channels_last) if last else values
            for values, last in ((a, first), (gradient, second))
        )
        found = outcome(module, given, above)
        for values, expected in zip(found, plain, strict=True):
            assert_close(values, expected)
        assert found[0].is_contiguous(memory_format=torch.channels_last if first else torch.contiguous_format)


@pytest.mark.parametrize("module", NORMS, ids=["across", "inside"])
def test_half_the_bits_are_lost_in_the_numbers_not_in_the_arithmetic(module: torch.nn.Module) -> None:
    a = grey_levels(3, 12, 5, 4).bfloat16()
    gradient = grey_levels(3, 12, 5, 4, seed=4).bfloat16()
    found = outcome(module, a, gradient)
    for values, exact in zip(found, outcome(module, a.double(), gradient.double()), strict=True):
        assert values.dtype == torch.bfloat16
        # Eight bits of each result: what rounding it once costs.
        torch.testing.assert_close(values.double(), exact, rtol=2**-8, atol=1e-3)


# Compiling never takes blocks.
@pytest.mark.parametrize("_way", ["whole"], indirect=True)
@pytest.mark.parametrize("module", [CrossMapNorm(2, 5, 2.0, 1e-4, 0.75), SpatialNorm(5, 1.0, 1e-3, 0.75)])
def test_a_compiled_norm_has_the_same_gradient(module: torch.nn.Module) -> None:
    # In float32 there is nothing to convert, which torch 2.11 compiled to a gradient of zero.
    maps = torch.randn(2, 8, 9, 9, requires_grad=True)

    def gradient(forward: Callable[[Tensor], Tensor]) -> Tensor:
        (found,) = torch.autograd.grad(forward(maps).square().sum(), maps)
        return found

    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(gradient(compiled), gradient(module))
