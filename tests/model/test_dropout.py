"""Dropout as printed, and masks that depend on seed, step, position, layer and neuron alone."""

import hashlib

import pytest
import torch
from tiny import CPU, gradient_of
from torch import Tensor

from alexnet.model.dropout import Dropout, picture_keys

NEURONS = 2000
GOLDEN = 0x9E3779B97F4A7C15
FORMS = pytest.mark.parametrize("form", ["as-printed", "inverted"])


def keys_of(seed: int = 1, step: int = 0, first: int = 0, count: int = 8) -> Tensor:
    return picture_keys(seed, step, first, count, CPU)


def mask_of(
    keys: Tensor, rate: float = 0.5, layer: int = 6, neurons: int = NEURONS, first: int = 0
) -> Tensor:
    """Return the mask of some of a layer's neurons, as a column has them."""
    dropout = Dropout(rate, "as-printed", layer, first + neurons)
    dropout.places = dropout.places[first:]
    return dropout.mask(keys)


def splitmix64(state: int) -> int:
    """The next output of the generator whose state was `state` − GOLDEN, in whole numbers."""
    word = 2**64 - 1
    state &= word
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & word
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & word
    return state ^ (state >> 31)


def test_the_reference_is_splitmix64() -> None:
    # The published first outputs for the seed 1234567.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [splitmix64(1234567 + n * GOLDEN) for n in (1, 2, 3, 4)] == published


@pytest.mark.parametrize("rate", [0.5, 0.3])
def test_masks_are_splitmix64_bit_by_bit(rate: float) -> None:
    seed, step, first, layer, first_neuron = 7, 123_456, 96, 7, 2048
    mask = mask_of(keys_of(seed, step, first, 5), rate, layer, 64, first_neuron)
    name = hashlib.sha256(f"dropout {seed} {step}".encode()).digest()
    base = int.from_bytes(name[:8], "little")
    for picture in range(5):
        key = splitmix64(base + (first + picture) * GOLDEN)
        for neuron in range(64):
            draw = splitmix64(key + ((layer << 32) + first_neuron + neuron) * GOLDEN)
            assert bool(mask[picture, neuron]) == ((draw >> 33) >= int(rate * 2**31))


@FORMS
@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5])
def test_masks_in_training_and_what_scales_when(form: str, rate: float) -> None:
    dropout, values = Dropout(rate, form, 6, NEURONS), torch.randn(8, NEURONS)
    mask = mask_of(keys_of(), rate)
    in_training = dropout.train()(values, keys_of())
    # As printed: the outputs shrink at test; inverted: they grow in training.
    grown, shrunk = (1, 1 - rate) if form == "as-printed" else (1 / (1 - rate), 1)
    torch.testing.assert_close(in_training[mask], values[mask] * grown)
    assert not in_training[~mask].any()
    assert mask.all() == (rate == 0)
    for keys in (None, keys_of()):
        torch.testing.assert_close(dropout.eval()(values, keys), values * shrunk)


def test_gradients_pass_where_neurons_stay() -> None:
    values = torch.randn(8, NEURONS, requires_grad=True)
    Dropout(0.5, "as-printed", 6, NEURONS)(values, keys_of()).sum().backward()
    assert torch.equal(gradient_of(values), mask_of(keys_of()).float())


def test_training_without_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="picture_keys"):
        Dropout(0.5, "as-printed", 6, 4).train()(torch.ones(1, 4), None)
