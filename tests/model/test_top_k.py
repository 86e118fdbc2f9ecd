"""Counting errors, against a literal ranking in plain Python."""

import numpy as np
import pytest
import torch
from reference import literal_credit, literally_wrong

from alexnet.model.top_k import top_k_error, top_k_wrong


@pytest.mark.parametrize("classes", [2, 5, 6, 40])
@pytest.mark.parametrize("k", [1, 5])
def test_top_k_is_the_place_in_the_ranking(classes: int, k: int) -> None:
    draw = np.random.default_rng(classes)
    # Whole numbers, so that there are many ties.
    scores = draw.integers(0, 6, (300, classes)).astype(np.float64)
    scores[:40, 0] = 7
    labels = draw.integers(0, classes, 300)
    labels[:20] = 0
    expected = literally_wrong(scores, labels, k)
    found = top_k_wrong(torch.from_numpy(scores), torch.from_numpy(labels), k)
    assert found.tolist() == expected
    assert any(expected) == (classes > k)
    assert not all(expected)


@pytest.mark.parametrize("share_ties", [False, True])
def test_scores_that_are_no_numbers_are_refused_or_count_against_the_network(share_ties: bool) -> None:
    scores, labels = torch.tensor([[2.0, 1.0, 0.0]]).repeat(3, 1), torch.zeros(3, dtype=torch.int64)
    scores[1, 2] = scores[2, 0] = torch.nan
    assert top_k_wrong(scores, labels, 1).tolist() == [False, True, True]
    with pytest.raises(ValueError, match="NaN"):
        top_k_error(scores, labels, 1, share_ties)


@pytest.mark.parametrize("k", [1, 5])
def test_shared_ties_give_the_mean_over_all_orders_of_the_equals(k: int) -> None:
    draw = np.random.default_rng(8)
    scores = draw.integers(0, 4, (200, 9)).astype(np.float64)
    labels = draw.integers(0, 9, 200)
    found = top_k_error(torch.from_numpy(scores), torch.from_numpy(labels), k, share_ties=True)
    expected = [1 - literal_credit(row, label, k) for row, label in zip(scores.tolist(), labels, strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-15)
    assert len({round(share, 6) for share in expected}) > 4
