"""How many pictures there are, and which were left out: ``data.json`` and ``skipped.csv``."""

from pathlib import Path

import pandas as pd

from alexnet.core.reading import Count, Positive, Written, read_rows


class SplitCounts(Written):
    """The pictures of a split that were stored, and those that could not be read."""

    pictures: Count
    skipped: Count


class Counts(Written):
    """The content of ``data.json``; the SHA-256 is that of ``skipped.csv``."""

    layout: str
    classes: Positive
    splits: dict[str, SplitCounts]
    skipped_sha256: str = ""


class Skipped(Written):
    """A picture that was left out: a row of ``skipped.csv``."""

    split: str
    name: str
    reason: str


def read_skipped(path: Path) -> pd.DataFrame:
    """Return the rows of ``skipped.csv``.

    Raises:
        UserError: the file is missing or damaged.
    """
    columns = list(Skipped.model_fields)
    return pd.DataFrame([row.model_dump() for row in read_rows(path, Skipped, columns)], columns=columns)
