"""Counting top-k errors; the one definition that validation and evaluation share."""

from __future__ import annotations

import torch
from torch import Tensor


def top_k_wrong(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """Return bool (pictures,): True where the true class is not among the k best scores.

    A tie counts against the network: classes that score as high as the true one stand before it,
    so a network that gives every class the same score is always wrong.

    Args:
        scores: (pictures, classes), logits or probabilities.
        labels: int64 (pictures,).

    Raises:
        ValueError: a score is not a number.
    """
    if torch.isnan(scores).any():
        raise ValueError("scores hold NaN")
    truth = scores.gather(1, labels[:, None])
    others_ahead = (scores >= truth).sum(1) - 1
    return others_ahead >= k
