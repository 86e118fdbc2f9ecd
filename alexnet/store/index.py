"""The index: one row per picture, with where its bytes lie and which class it shows.

Columns of ``index.parquet``, rows sorted by split and name:

=======  ======  ==========================================================================
split    string  ``train``, ``val`` or ``test``
label    int32   rank of the class in ``classes.csv``, from 0; -1 in a test split without labels
name     string  the picture's name, unique in its split
path     string  the file that holds it, relative to data_root
packing  string  ``none``; ``zip``: a zip's member, stored or deflated; ``gzip``: all of the
                 file is one gzip stream; ``parquet``: a row of a table
form     string  ``file``: the bytes of a picture file; ``planes``: red, green and blue, each
                 32×32 bytes (CIFAR-10)
offset   int64   where its bytes begin: in the file; in the unpacked file with ``gzip``; with
                 ``zip`` it is the place of the member's own header, just before them; with
                 ``parquet`` the number of the row
size     int64   the number of its bytes, as they lie there; 0 with ``parquet``
=======  ======  ==========================================================================

``classes.csv`` has label, wnid, words and perhaps ilsvrc_id; ``source.json`` the layout; ``left_out.parquet``
the files of the source that are no pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from alexnet.core.files import (
    checksums_of,
    parse_checked_json,
    read_csv,
    read_parquet,
    refuse_damaged,
    write_checked_json,
    write_table,
)
from alexnet.store.made import read_made

TABLE = "index.parquet"
CLASSES = "classes.csv"
SOURCE = "source.json"
# The label of a picture whose class the source does not give.
UNKNOWN = -1
SPLITS = ("train", "val", "test")
# Files of the source that are no pictures, and why.
NO_PICTURES, LEFT_OUT = "left_out.parquet", ["name", "reason"]
COLUMNS = ["split", "label", "name", "path", "packing", "form", "offset", "size"]


@dataclass(frozen=True)
class Index:
    """Pictures and classes of a data set (see the module for their columns), and the layout they lie in.

    `left_out` has name and reason of each file of the source that is no picture.
    """

    pictures: pd.DataFrame
    classes: pd.DataFrame
    layout: str = ""
    left_out: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=LEFT_OUT))


def write_index(folder: Path, index: Index) -> None:
    """Write `index` into `folder`, equal bytes for equal content."""
    write_table(folder / TABLE, index.pictures)
    write_table(folder / NO_PICTURES, index.left_out.astype(str))
    write_table(folder / CLASSES, index.classes.rename_axis("label").reset_index())
    about = {"layout": index.layout, "sha256": checksums_of(folder, [CLASSES])}
    write_checked_json(folder / SOURCE, about)


def read_index(folder: Path) -> Index:
    """Read what `write_index` wrote.

    Raises:
        UserError: it is not there, or damaged.
    """
    pictures = read_made(folder / TABLE, "index", lambda path: read_parquet(path)[COLUMNS])
    left_out = read_made(folder / NO_PICTURES, "index", lambda path: read_parquet(path)[LEFT_OUT])
    layout = read_made(folder / SOURCE, "index", lambda _: str(_about(folder)["layout"]))
    return Index(pictures, read_classes(folder), layout, left_out)


def read_classes(folder: Path) -> pd.DataFrame:
    """Return wnid and words of every class, in label order.

    Raises:
        UserError: they are not there, or damaged.
    """

    about = _about(folder)

    def read(path: Path) -> pd.DataFrame:
        refuse_damaged(folder, about.get("sha256", {}))
        return read_csv(path, index_col="label", keep_default_na=False, dtype={"wnid": str, "words": str})

    return read_made(folder / CLASSES, "index", read)


def _about(folder: Path) -> dict[str, Any]:
    return read_made(folder / SOURCE, "index", lambda path: dict(parse_checked_json(path.read_bytes())))


def differences(pictures: pd.DataFrame, stored: pd.DataFrame, left_out: pd.DataFrame) -> Iterator[str]:
    """Yield a line for each way in which the store does not hold each of an index's `pictures` once.

    Args:
        stored: split, name and label of each record.
        left_out: split and name of the pictures that could not be read.
    """
    key = ["split", "name"]
    for row in stored[stored.duplicated(key)].itertuples(index=False):
        yield f"{row.split} {row.name}: stored twice"
    expected = pictures[[*key, "label"]].merge(left_out[key].assign(left_out=True), on=key, how="left")
    both = expected.merge(
        stored[[*key, "label"]], on=key, how="outer", suffixes=("", "_stored"), indicator=True
    )
    gone = (both["_merge"] == "left_only") & both["left_out"].isna()
    for row in both[gone].itertuples():
        yield f"{row.split} {row.name}: in the index, but neither stored nor skipped"
    for row in both[both["_merge"] == "right_only"].itertuples():
        yield f"{row.split} {row.name}: stored, but not in the index"
    there = both[both["_merge"] == "both"]
    for row in there[there["label"] != there["label_stored"]].itertuples():
        yield f"{row.split} {row.name}: labelled {row.label_stored:.0f}, in the index {row.label:.0f}"
