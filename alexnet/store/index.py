"""The index: one row a picture, with where its bytes lie and which class it shows.

Columns of ``index.parquet``, rows sorted by split and name:

=======  ======  ==========================================================================
split    string  ``train``, ``val`` or ``test``
label    int32   rank of the class in ``classes.csv``, from 0; -1 in a test split without labels
name     string  the picture's name, unique in its split
path     string  the file that holds it, relative to data_root
packing  string  ``none``; ``zip``: a zip's member, stored or deflated; ``gzip``: all of the
                 file is one gzip stream
form     string  ``file``: the bytes of a picture file; ``planes``: red, green and blue, each
                 32×32 bytes (CIFAR-10)
offset   int64   where its bytes begin: in the file; in the unpacked file with ``gzip``; with
                 ``zip`` it is the place of the member's own header, just before them
size     int64   how many they are, as they lie there
=======  ======  ==========================================================================

``classes.csv`` has label, wnid, words and perhaps ilsvrc_id; ``source.json`` the layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.core.files import replacing, write_json

TABLE = "index.parquet"
CLASSES = "classes.csv"
SOURCE = "source.json"
# The label of a picture whose class the source does not tell.
UNKNOWN = -1
COLUMNS = ["split", "label", "name", "path", "packing", "form", "offset", "size"]


@dataclass(frozen=True)
class Index:
    """Pictures and classes of a data set; see the module for the columns."""

    pictures: pd.DataFrame
    classes: pd.DataFrame


def write_index(folder: Path, index: Index, layout: str) -> None:
    """Write the index into `folder`, equal bytes for equal content."""
    with replacing(folder / TABLE) as temporary:
        index.pictures.to_parquet(temporary, index=False)
    with replacing(folder / CLASSES) as temporary:
        index.classes.to_csv(temporary, index_label="label")
    write_json(folder / SOURCE, {"layout": layout})


def read_index(folder: Path) -> Index:
    """Read the index that `write` made.

    Raises:
        UserError: it is not there.
    """
    return Index(_read_table(folder / TABLE), read_classes(folder))


def read_classes(folder: Path) -> pd.DataFrame:
    """Return wnid and words of every class, in label order."""
    path = folder / CLASSES
    if not path.exists():
        raise UserError(f"{path}: missing; run the index stage first (dvc repro index)")
    return pd.read_csv(path, index_col="label", keep_default_na=False, dtype={"wnid": str, "words": str})


def _read_table(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise UserError(f"{path}: missing; run the index stage first (dvc repro index)")
    with path.open("rb") as file:
        return pd.read_parquet(file)
