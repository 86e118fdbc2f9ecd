"""Counting top-k errors: `top_k_wrong` while training, `top_k_error` by `evaluate.ties`."""

import torch
from torch import Tensor


def top_k_wrong(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """Return bool (pictures,): True where the true class is not among the k best scores.

    A tie counts against the network: classes that score as high as the true one stand before it,
    so a network that gives every class the same score is always wrong. So does a score that is not a
    number. Nothing is read back, so that a GPU is not waited for.

    Args:
        scores: (pictures, classes), logits or probabilities.
        labels: int64 (pictures,).
    """
    return (~(scores < _truth(scores, labels))).sum(1) > k


def top_k_error(scores: Tensor, labels: Tensor, k: int, share_ties: bool) -> Tensor:
    """Return each picture's share of an error, float64 (pictures,), from 0 to 1.

    Args:
        share_ties: False counts as `top_k_wrong` does. True counts as the 2012 source does: of n
            classes that share a score, s of which still fit among the k best, each is right by
            min(1, s / n).

    Raises:
        ValueError: a score is not a number.
    """
    if torch.isnan(scores).any():
        raise ValueError("scores hold NaN")
    if not share_ties:
        return top_k_wrong(scores, labels, k).double()
    truth = _truth(scores, labels)
    better, equal = (scores > truth).sum(1), (scores == truth).sum(1)
    return 1 - ((k - better).double() / equal).clamp(0, 1)


def _truth(scores: Tensor, labels: Tensor) -> Tensor:
    return scores.gather(1, labels[:, None])
