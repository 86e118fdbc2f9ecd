"""The evaluate stage: the whole split, once each, by the right classes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alexnet.core.errors import UserError
from alexnet.evaluation.evaluate import check_classes, check_whole
from alexnet.ingest.selection import require_split
from alexnet.store.index import Index
from alexnet.store.records import Records

PLACE = Path("data/records")


def index_of(pictures: list[tuple[str, str, int]]) -> Index:
    table = pd.DataFrame(pictures, columns=["split", "name", "label"])
    classes = pd.DataFrame({"wnid": ["n1", "n2"], "words": ["cat", "dog"]})
    return Index(table, classes)


def records_of(names: list[str], labels: list[int]) -> Records:
    nothing = np.zeros(len(names), np.int64)
    return Records(np.array(labels), np.array(names, object), "jpeg", [], nothing, nothing, nothing)


def skipped(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"split": "val", "name": [*names]}, dtype=object)


INDEX = index_of([("train", "t", 0), ("val", "a", 0), ("val", "b", 1), ("val", "c", 1)])


def test_every_picture_but_the_skipped_must_be_there() -> None:
    check_whole(records_of(["c", "a", "b"], [1, 0, 1]), INDEX, "val", skipped(), PLACE)
    check_whole(records_of(["c", "a"], [1, 0]), INDEX, "val", skipped("b"), PLACE)
    for names, labels, message in (
        ("ca", [1, 0], "val b: in the index, but neither stored nor skipped"),
        ("abca", [0, 1, 1, 0], "val a: stored twice"),
        ("abct", [0, 1, 1, 0], "val t: stored, but not in the index"),
        ("abc", [0, 0, 1], "val b: labelled 0, in the index 1"),
    ):
        with pytest.raises(UserError, match=message):
            check_whole(records_of([*names], labels), INDEX, "val", skipped(), PLACE)


def test_a_split_is_labelled_or_not() -> None:
    half = index_of([("test", "a", -1), ("test", "b", 1)])
    with pytest.raises(UserError, match="1 pictures of test have no label"):
        check_whole(records_of(["a", "b"], [-1, 1]), half, "test", skipped(), PLACE)


def test_a_split_without_pictures_is_told_before_any_work() -> None:
    require_split(INDEX, "val", PLACE)
    with pytest.raises(UserError, match=r"evaluate\.split: found test; allowed: train \| val, of which"):
        require_split(INDEX, "test", PLACE)


def test_weights_of_other_classes_are_refused() -> None:
    check_classes([("n1", "cat"), ("n2", "dog")], INDEX.classes, PLACE)
    for found, message in (
        ([("n1", "cat")], r"trained for 1 classes \(n1\); the pictures have 2 \(n1, n2\)"),
        ([("n2", "dog"), ("n1", "cat")], r"2 classes \(n2, n1\)"),
    ):
        with pytest.raises(UserError, match=message):
            check_classes(found, INDEX.classes, PLACE)
