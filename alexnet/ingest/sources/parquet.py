"""Parquet files of pictures and labels, the form in which Hugging Face keeps data sets.

A row has a picture, a struct of ``bytes`` and ``path``, and a ``label``, whose names stand in the metadata.
The split is in the name of the file or of its folder: ``data/train-00000-of-00294.parquet``.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from alexnet.core.errors import UserError
from alexnet.ingest.raw_files import open_whole
from alexnet.ingest.sources.archives import AGAIN
from alexnet.ingest.sources.labels import with_wnids
from alexnet.ingest.sources.listing import (
    COLUMNS,
    MEMBERS,
    Listing,
    Scan,
    as_pictures,
    files_of_splits,
    say_what_is_missing,
    told_apart,
)
from alexnet.ingest.stored import column_of_pictures

LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "cls", "target")


def parquet_files(root: Path) -> dict[Path, str]:
    """Return the parquet files below `root` that hold pictures of a split, and the split of each."""
    found = files_of_splits(root, "*.parquet")
    return {path: split for path, split in found.items() if _holds_pictures(path)}


def _holds_pictures(path: Path) -> bool:
    try:
        column_of_pictures(_schema(path))
    except LookupError:
        return False
    except (pyarrow.ArrowException, OSError, ValueError):
        # Listing it will say what is wrong.
        return True
    return True


def _schema(path: Path) -> pyarrow.Schema:
    with open_whole(path) as raw:
        return pyarrow.parquet.read_schema(raw)


def list_parquet(root: Path, scan: Scan) -> Listing:
    """List the pictures of the parquet files below `root`; each is a row of one."""
    files = parquet_files(root)
    if not files:
        raise UserError(f"data_root {root}: no parquet files of train, validation or test with pictures")
    say_what_is_missing(root, files)
    parts = []
    for path, split in files.items():
        found = scan(path, read_parquet_labels)
        relative = str(path.relative_to(root))
        parts.append(as_pictures(found, split, relative, found["container"], "parquet"))
    pictures = pd.concat(parts, ignore_index=True)
    pictures, classes = with_wnids(root, pictures, _one_list_of_names(list(files)))
    rows = pictures["path"] + "/" + pictures["offset"].map("{:06d}".format)
    return Listing("parquet", classes, told_apart(pictures, rows)[COLUMNS])


def read_parquet_labels(path: Path) -> pd.DataFrame:
    """List a file as `scan_tar` does; the container is the label, the offset the number of the row."""
    try:
        with open_whole(path) as raw, pyarrow.parquet.ParquetFile(raw) as file:
            schema = file.schema_arrow
            label = _column_of_labels(schema)
            if label is None:
                raise UserError(f"{path}: no column of labels; found {', '.join(schema.names)}")
            picture = column_of_pictures(schema)
            kind = schema.field(picture).type
            has_path = pyarrow.types.is_struct(kind) and kind.get_field_index("path") >= 0
            columns = [label, *([f"{picture}.path"] if has_path else [])]
            table = file.read(columns=columns)
    except (pyarrow.ArrowException, OSError, ValueError, LookupError) as error:
        raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]}). {AGAIN}") from None
    labels = ["" if cell is None else str(cell) for cell in table[label].to_pylist()]
    cells = table[picture].to_pylist() if has_path else [None] * len(labels)
    names = [
        Path((cell or {}).get("path") or f"{path.stem}/{row:06d}").as_posix()
        for row, cell in enumerate(cells)
    ]
    rows = [(text, name, row, 0) for row, (text, name) in enumerate(zip(labels, names, strict=True))]
    return pd.DataFrame(rows, columns=MEMBERS)


def _column_of_labels(schema: pyarrow.Schema) -> str | None:
    return next((name for name in LABEL_COLUMNS if name in schema.names), None)


def _one_list_of_names(paths: list[Path]) -> list[str]:
    """Return the names of the classes, which every file that has some must list alike.

    Raises:
        UserError: the lists of two files differ, so that a number means two classes.
    """
    named = [(path, names) for path in paths if (names := _class_names(path))]
    for path, names in named[1:]:
        first, expected = named[0]
        if names != expected:
            raise UserError(
                f"{path}: found other names of classes than in {first}"
                f" ({_where_they_differ(names, expected)});"
                " allowed: one list, in one order. Write both with the same ClassLabel."
            )
    return named[0][1] if named else []


def _where_they_differ(names: list[str], expected: list[str]) -> str:
    for number, (name, other) in enumerate(zip(names, expected, strict=False)):
        if name != other:
            return f"{number} is {name}, not {other}"
    return f"{len(names)}, not {len(expected)}"


def _class_names(path: Path) -> list[str]:
    """Return the names of the labels in a file's metadata, as Hugging Face's library writes them."""
    schema = _schema(path)
    about = schema.metadata or {}
    try:
        features: dict[str, Any] = json.loads(about.get(b"huggingface", b"{}"))["info"]["features"]
        # Other columns may have names of their own, such as a colour.
        feature = features[str(_column_of_labels(schema))]
        if feature.get("_type") == "ClassLabel":
            return [str(name) for name in feature["names"]]
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    return []
