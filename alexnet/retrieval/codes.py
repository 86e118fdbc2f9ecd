"""Short binary codes from an auto-encoder, as the paper's last section on results suggests.

The form is that of Krizhevsky and Hinton 2011, "Using Very Deep Autoencoders for Content-Based Image
Retrieval": an encoder to a few binary units and a decoder back, trained on the squared error. Here the
input is fc7's activations, and the binary units pass their gradient straight through.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from alexnet.core.draws import generator
from alexnet.retrieval.params import Retrieve
from alexnet.retrieval.search import pack

HIDDEN = 512
LEARNING_RATE = 1e-3
ROWS_AT_ONCE = 8192


class AutoEncoder(nn.Module):
    """Features to `bits` signs and back.

    Attributes:
        mean, scale: of the features it was trained on; they are taken off first.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, dimensions: int, bits: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(dimensions, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, bits))
        self.decoder = nn.Sequential(nn.Linear(bits, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, dimensions))
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """Return the mean squared error of the features that come back, in units of their deviation."""
        inputs = (features - self.mean) / self.scale
        soft = torch.tanh(self.encoder(inputs))
        # Forward the signs, backward as if they were not there.
        code = soft + (soft.sign() - soft).detach()
        return functional.mse_loss(self.decoder(code), inputs)

    def codes(self, features: NDArray[np.float32]) -> NDArray[np.uint64]:
        """Return the packed codes of features (n, d)."""
        device = self.mean.device
        return signs(features, lambda rows: self.encoder((rows.to(device) - self.mean) / self.scale))


@torch.no_grad()
def signs(features: NDArray[np.float32], outputs: Callable[[Tensor], Tensor]) -> NDArray[np.uint64]:
    """Return, packed, which `outputs` of the rows of `features` (n, d) are positive."""
    starts = range(0, len(features), ROWS_AT_ONCE)
    blocks = (torch.from_numpy(np.array(features[start : start + ROWS_AT_ONCE])) for start in starts)
    return np.concatenate([pack((outputs(block) > 0).cpu().numpy()) for block in blocks])


def train_encoder(features: NDArray[np.float32], settings: Retrieve, device: torch.device) -> AutoEncoder:
    """Return an auto-encoder trained on `features` (n, d); equal seeds give equal ones on the CPU."""
    draw = generator(settings.seed, "auto-encoder")
    encoder = AutoEncoder(features.shape[1], settings.code_bits)
    _initialise(encoder, draw)
    sample = torch.from_numpy(np.array(features[np.sort(draw.permutation(len(features))[:ROWS_AT_ONCE])]))
    encoder.mean.copy_(sample.mean(0))
    encoder.scale.copy_((sample - encoder.mean).square().mean().sqrt().clamp(min=1e-12))
    encoder.to(device)
    optimiser = torch.optim.Adam(encoder.parameters(), LEARNING_RATE)
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / settings.steps)
        rows = np.sort(draw.integers(0, len(features), settings.batch_size))
        loss = encoder(torch.from_numpy(np.array(features[rows])).to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return encoder


@torch.no_grad()
def _initialise(encoder: AutoEncoder, draw: np.random.Generator) -> None:
    for module in encoder.modules():
        if isinstance(module, nn.Linear):
            shape = tuple(module.weight.shape)
            weights = draw.standard_normal(shape, dtype=np.float32) / np.sqrt(shape[1])
            module.weight.copy_(torch.from_numpy(weights.astype(np.float32)))
            module.bias.zero_()
