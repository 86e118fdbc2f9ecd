"""Dropout as printed (paper, section 4.2), with masks that depend on neither device nor process.

A mask is a function of the picture's key (made of the seed, the step and the position in the whole
batch, see `picture_keys`), the layer and the neuron.
"""

import hashlib

import torch
from torch import Tensor, nn

# splitmix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"), whose
# constants are written as signed numbers since torch multiplies int64 modulo 2^64.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


def picture_keys(seed: int, step: int, first: int, count: int, device: torch.device) -> Tensor:
    """Return the dropout keys, int64 of shape (count,), of one step's pictures.

    Args:
        seed: the training's seed.
        step: the number of the update, counted from the start of the training.
        first: position of the first of these `count` pictures in the whole batch.
    """
    return keys_of_steps(seed, range(step, step + 1), first, count, device)[0]


def keys_of_steps(seed: int, steps: range, first: int, count: int, device: torch.device) -> Tensor:
    """Return the keys of several steps, int64 of shape (steps, count), faster than one by one."""
    names = [hashlib.sha256(f"dropout {seed} {step}".encode()).digest() for step in steps]
    bases = torch.tensor([int.from_bytes(name[:8], "little", signed=True) for name in names]).to(device)
    positions = torch.arange(first, first + count, dtype=torch.int64, device=device)
    return _mix(positions * _GOLDEN + bases[:, None])


class Dropout(nn.Module):
    """Zero each neuron with probability `rate` in training.

    ``as-printed``: the mask alone in training, outputs × (1 − rate) at test (paper, section 4.2).
    ``inverted``: outputs ÷ (1 − rate) in training, nothing at test (as `torch.nn.Dropout`).

    Args:
        layer: a number, different for each layer, so that their masks differ.
        neurons: the number of neurons of the layer.
    """

    places: Tensor

    def __init__(self, rate: float, form: str, layer: int, neurons: int) -> None:
        super().__init__()
        self.rate, self.form = rate, form
        # Layers lie 2^32 apart, further than any layer has neurons. Kept as a buffer since
        # torch.compile would fold the products into numbers beyond 64 bits.
        neuron = torch.arange(neurons, dtype=torch.int64)
        self.register_buffer("places", (neuron + (layer << 32)) * _GOLDEN, persistent=False)

    def forward(self, neurons: Tensor, keys: Tensor | None) -> Tensor:
        """Drop from `neurons` of shape (batch, n) by `keys` of shape (batch,), None at test.

        Raises:
            ValueError: no keys in training, where the mask needs them.
        """
        keep = 1.0 - self.rate
        if not self.training:
            return neurons * keep if self.form == "as-printed" else neurons
        if keys is None:
            raise ValueError("dropout in training needs the pictures' keys; see picture_keys()")
        kept = neurons * self.mask(keys).to(neurons.dtype)
        return kept if self.form == "as-printed" else kept / keep

    def mask(self, keys: Tensor) -> Tensor:
        """Return the mask, bool of shape (batch, neurons): True where a neuron stays."""
        draw = _mix(keys[:, None] + self.places[None, :])
        # The top 31 bits, as an integer: a comparison with the same result on every device.
        return ((draw >> 33) & 0x7FFFFFFF) >= int(self.rate * 2**31)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, form={self.form}"


def _mix(state: Tensor) -> Tensor:
    state = (state ^ _shifted(state, 30)) * _MIX_1
    state = (state ^ _shifted(state, 27)) * _MIX_2
    return state ^ _shifted(state, 31)


def _shifted(state: Tensor, bits: int) -> Tensor:
    # torch shifts int64 arithmetically; the generator wants zeros from the left.
    return (state >> bits) & ((1 << (64 - bits)) - 1)
