"""Tables that say the class of each picture: ``SPLIT.csv`` as people write it, ``val_annotations.txt``."""

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

from alexnet.core.errors import UserError
from alexnet.ingest.sources.pictures import SUFFIXES

DELIMITERS = (",", ";", "\t")


def classes_by_table(
    text: str, table: str, split: str, names: Sequence[str], classes: Collection[str], boxed: bool = False
) -> list[str]:
    """Return the class of each of `names`, in their order.

    Cells are separated by commas, semicolons or tabs. The names stand in the column that holds most of them,
    with or without suffix and the split's folder; the classes in the first other column that holds only
    `classes`, else in the next one. Only the first row may be a heading.

    Args:
        table: what errors call the file.
        classes: those that have training pictures.
        boxed: a class is followed by a box in the same cell (Kaggle's).

    Raises:
        UserError: the text is no such table, or a picture has no row or two, or a row no picture.
    """
    rows = _rows(text, table)
    keys = {_key(name): name for name in names} | {_key(_stem(name)): name for name in names}
    place = _column_of_names(rows, keys, split)
    shown = f"its first row is {rows[0] if rows else 'missing'}"
    if place is None:
        raise UserError(f"{table}: no row for {split}/{names[0]} and {len(names) - 1} more; {shown}")
    column = _column_of_classes(rows, place, set(keys), split, classes, boxed)
    if column is None:
        raise UserError(f"{table}: no column with a class beside that of the names; {shown}")
    known: dict[str, str] = {}
    for number, row in enumerate(rows):
        if len(row) <= max(place, column) or not row[column].strip():
            continue
        name = _key(row[place], split)
        if name in known:
            raise UserError(f"{table}: two rows name {row[place]}; each picture may stand once")
        if name in keys:
            known[name] = _class(row[column], boxed)
        elif number > 0:
            left = sum(len(other) > place and _key(other[place], split) not in keys for other in rows[1:])
            raise UserError(f"{table}: names {row[place]}, which is not in {split}/ ({left} such rows)")
    return _in_order(known, table, split, names, shown)


def _in_order(known: dict[str, str], table: str, split: str, names: Sequence[str], shown: str) -> list[str]:
    found, used = [], set()
    for name in names:
        key = _key(name) if _key(name) in known else _key(_stem(name))
        if key not in known:
            raise UserError(f"{table}: no row for {split}/{name}; each picture needs its class; {shown}")
        if key in used:
            raise UserError(f"{table}: {key} stands for two pictures of {split}/, {name} and another")
        used.add(key)
        found.append(known[key])
    return found


def _rows(text: str, table: str) -> list[list[str]]:
    # Line ends of all systems become one.
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    first = lines.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(lines), delimiter=delimiter) if row]
    except csv.Error as error:
        raise UserError(
            f"{table}: cannot be read as a table: {error}; its first line is {first[:80]}"
        ) from None
    return [row for row in rows if len(row) >= 2]


def _column_of_names(rows: list[list[str]], keys: Collection[str], split: str) -> int | None:
    hits = Counter(number for row in rows for number, cell in enumerate(row[:9]) if _key(cell, split) in keys)
    return min(hits, key=lambda number: (-hits[number], number)) if hits else None


def _column_of_classes(
    rows: list[list[str]], place: int, keys: set[str], split: str, classes: Collection[str], boxed: bool
) -> int | None:
    told = [row for row in rows if len(row) > place and _key(row[place], split) in keys]
    others = [number for number in range(min(9, max(map(len, told)))) if number != place]
    for number in others:
        if all(len(row) > number and _class(row[number], boxed) in classes for row in told):
            return number
    after = [number for number in others if number > place]
    return next(iter(after or others), None)


def _class(cell: str, boxed: bool) -> str:
    return cell.split()[0] if boxed and cell.strip() else cell.strip()


def _key(cell: str, split: str = "") -> str:
    """Return what a name and a cell have in common: Unicode's composed form, without the split's folder."""
    name = unicodedata.normalize("NFC", cell.strip().replace("\\", "/").removeprefix("./"))
    return name.removeprefix(f"{split}/") if split else name


def _stem(name: str) -> str:
    # Of the suffixes of pictures alone, as a name may have dots.
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name
