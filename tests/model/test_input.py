"""The input rule against loops over pixels in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.model.input import InputRule, Patches

# Top, left, mirrored: both ends of the 33 offsets, and what tells top from left.
PLACES = [(0, 32, False), (5, 30, True), (32, 0, True)]


def pictures() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (len(PLACES), 256, 256, 3), np.uint8)


def cut(whole: NDArray[np.uint8]) -> Patches:
    """Cut and mirror as the paper says: a patch of the picture, or its reflection."""
    patches = []
    for picture, (top, left, mirrored) in zip(whole, PLACES, strict=True):
        patch = picture[top : top + 224, left : left + 224]
        patches.append(patch[:, ::-1] if mirrored else patch)
    tops, lefts, mirrors = zip(*PLACES, strict=True)
    return Patches(
        torch.from_numpy(np.stack(patches)), torch.tensor(tops), torch.tensor(lefts), torch.tensor(mirrors)
    )


def rule_of(mean: str, divisor: float = 1.0) -> InputRule:
    rule = InputRule(mean, divisor).double()
    values = np.random.default_rng(2).uniform(90, 150, (3, 256, 256))
    rule.mean_image.copy_(torch.from_numpy(values))
    return rule


def literal(rule: InputRule, patches: Patches, shift: Tensor | None, divisor: float) -> NDArray[np.float64]:
    means, pixels = rule.mean_image.tolist(), patches.pixels.tolist()
    shifts = [[0.0] * 3] * len(PLACES) if shift is None else shift.tolist()
    result = np.empty((len(PLACES), 3, 224, 224))
    for number, (top, left, mirrored) in enumerate(PLACES):
        for y in range(224):
            for x in range(224):
                # Where in the whole picture this pixel of the patch comes from.
                column = left + 223 - x if mirrored else left + x
                for channel in range(3):
                    value = pixels[number][y][x][channel]
                    if rule.mean == "patch":
                        value -= means[channel][top + y][column]
                    elif rule.mean == "centre":
                        value -= means[channel][16 + y][16 + x]
                    result[number, channel, y, x] = (value + shifts[number][channel]) / divisor
    return result


@pytest.mark.parametrize("mean", ["patch", "centre", "none"])
def test_the_mean_is_subtracted_pixel_by_pixel(mean: str) -> None:
    rule, patches = rule_of(mean), cut(pictures())
    found = rule(patches)
    assert found.dtype == torch.float64
    assert found.is_contiguous()
    np.testing.assert_allclose(found.numpy(), literal(rule, patches, None, 1.0), rtol=1e-12, atol=1e-12)


def test_shift_then_both_divisors() -> None:
    rule, patches = rule_of("patch", 60.0), cut(pictures())
    shift = torch.tensor([[5.0, -3.0, 0.5], [0.0, 1.0, 2.0], [-7.0, 4.0, 9.0]])
    found = rule(patches, shift, 1.1)
    expected = literal(rule, patches, shift, 60.0 * 1.1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_a_picture_that_is_the_mean_leaves_nothing() -> None:
    whole = np.repeat(pictures()[:1], len(PLACES), 0)
    rule = InputRule("patch", 1.0)
    rule.mean_image.copy_(torch.from_numpy(whole[0]).permute(2, 0, 1))
    assert not rule(cut(whole)).any()
    # The source's rule takes the centre of the mean wherever the patch lay, so something stays.
    other = InputRule("centre", 1.0)
    other.mean_image.copy_(rule.mean_image)
    assert other(cut(whole)).flatten(1).any(1).all()


def test_the_divisors_multiply_and_float32_is_kept() -> None:
    patches = cut(pictures())
    plain = InputRule("none", 1.0)(patches)
    assert plain.dtype == torch.float32
    assert torch.equal(plain, patches.pixels.permute(0, 3, 1, 2).float())
    torch.testing.assert_close(InputRule("none", 4.0)(patches, None, 2.0), plain / 8)


def test_the_mean_image_travels_with_the_weights() -> None:
    assert set(rule_of("patch").state_dict()) == {"mean_image"}
