"""Exact search and search by code against brute force in float64 and in Python."""

import numpy as np
import pytest
from numpy.typing import NDArray

from alexnet.retrieval import search
from alexnet.retrieval.search import by_code, nearest, pack, recall


def brute_force(features: NDArray[np.float32], query: NDArray[np.float32], count: int) -> list[int]:
    apart = [
        (float(np.linalg.norm(row.astype(np.float64) - query)), number) for number, row in enumerate(features)
    ]
    return [number for _, number in sorted(apart)[:count]]


def some_features(count: int, dimensions: int = 24) -> NDArray[np.float32]:
    draw = np.random.default_rng(7)
    # As fc7's are: many zeros, none negative, and far from the origin together.
    values = np.maximum(draw.standard_normal((count, dimensions)), 0) + 20
    return values.astype(np.float32)


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
def test_the_nearest_are_those_of_brute_force_in_any_block(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = some_features(301)
    monkeypatch.setattr(search, "BLOCK_BYTES", rows * features.shape[1] * 4)
    queries = some_features(5)[:, ::-1].copy()
    found = nearest(features, queries, 6)
    for query, records, distances in zip(queries, *found, strict=True):
        assert records.tolist() == brute_force(features, query, 6)
        expected = np.linalg.norm(features[records].astype(np.float64) - query, axis=1)
        np.testing.assert_allclose(distances, expected, rtol=1e-12)


def test_a_picture_is_nearest_to_itself_and_twins_stand_in_order() -> None:
    features = some_features(50)
    features[[30, 12, 41]] = features[3]
    found = nearest(features, features[[3]], 5)
    assert found.records[0, :4].tolist() == [3, 12, 30, 41]
    assert found.distances[0, :4].tolist() == [0, 0, 0, 0]


def test_more_queries_than_are_looked_at_together() -> None:
    features = some_features(40)
    queries = np.tile(features, (30, 1))
    found = nearest(features, queries, 1)
    assert found.records[:, 0].tolist() == list(range(40)) * 30


def test_fewer_pictures_than_asked_for() -> None:
    features = some_features(3)
    assert sorted(nearest(features, features[[0]], 6).records[0].tolist()) == [0, 1, 2]


def test_features_that_lie_close_together_are_told_apart() -> None:
    draw = np.random.default_rng(1)
    features = (0.5 + 0.0001 * draw.standard_normal((500, 64))).astype(np.float32)
    apart = ((features[:, None].astype(np.float64) - features[None, :20]) ** 2).sum(2)
    assert nearest(features, features[:20], 6).records.tolist() == np.argsort(apart, 0)[:6].T.tolist()


def test_features_at_nearly_the_same_distance_stand_in_order() -> None:
    # Apart by less than products in float32 can tell: more candidates than asked for must be compared.
    steps = np.random.default_rng(1).standard_normal((30, 512))
    features = (10 + steps / np.linalg.norm(steps, axis=1, keepdims=True)).astype(np.float32)
    query = np.full((1, 512), 10, np.float32)
    assert nearest(features, query, 4).records[0].tolist() == brute_force(features, query[0], 4)


@pytest.mark.parametrize("bits", [8, 24, 64, 72, 128])
def test_codes_are_ranked_by_differing_bits_then_by_number(bits: int) -> None:
    draw = np.random.default_rng(bits)
    codes, queries = draw.random((90, bits)) > 0.5, draw.random((4, bits)) > 0.5
    found = by_code(pack(codes), pack(queries), 10)
    for query, records in zip(queries, found, strict=True):
        differing = [(int((code != query).sum()), number) for number, code in enumerate(codes)]
        assert records.tolist() == [number for _, number in sorted(differing)[:10]]


def test_recall_by_hand() -> None:
    exact = np.array([[1, 2], [3, 4]])
    assert recall(exact, np.array([[2, 9, 1], [8, 7, 4]])) == 0.75
    assert recall(exact, np.array([[5], [6]])) == 0
