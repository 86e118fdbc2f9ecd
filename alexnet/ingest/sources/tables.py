"""Tables that say the class of each picture: ``SPLIT.csv`` as people write it, ``val_annotations.txt``."""

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

from alexnet.core.errors import UserError
from alexnet.core.terminal import say
from alexnet.ingest.sources.pictures import SUFFIXES

DELIMITERS = (",", ";", "\t")
# What people write above the classes.
HEADINGS = {
    *("label", "labels", "class", "classes", "class_name", "classname", "class_id", "category", "categories"),
    *("wnid", "synset", "target", "species", "predictionstring"),
}


def has_columns(text: str, table: str) -> bool:
    """Whether a table has more in a row than a name; errors as of `classes_by_table`."""
    return bool(_rows(text, table))


def classes_by_table(
    text: str, table: str, split: str, names: Sequence[str], classes: Collection[str], boxed: bool = False
) -> list[str]:
    """Return the class of each of `names`, in their order.

    Cells are separated by commas, semicolons or tabs. The names stand in the column that holds most of them,
    with or without suffix and the split's folder. The classes stand in another column that holds only
    `classes`; of several, in that whose heading says so. If none does, they stand in one whose heading says
    so, or else in the next one. Only the first row may be a heading.

    Args:
        table: what errors call the file.
        classes: those that have training pictures.
        boxed: a class is followed by a box in the same cell (Kaggle's).

    Raises:
        UserError: the text is no such table, a picture has no row or two, a row has no picture, or several
            columns that differ may be that of the classes.
    """
    rows = _rows(text, table)
    keys = {_key(name): name for name in names} | {_key(_stem(name)): name for name in names}
    place = _column_of_names(rows, set(map(_key, names)), keys, split)
    shown = f"its first row is {rows[0] if rows else 'missing'}"
    if place is None:
        raise UserError(f"{table}: no row for {split}/{names[0]} and {len(names) - 1} more; {shown}")
    column = _column_of_classes(rows, place, set(keys), split, classes, boxed, table)
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


def _column_of_names(
    rows: list[list[str]], whole: Collection[str], keys: Collection[str], split: str
) -> int | None:
    cells = [(number, _key(cell, split)) for row in rows for number, cell in enumerate(row[:9])]
    hits = Counter(number for number, key in cells if key in keys)
    # The numbers of the rows may be names without their suffix.
    of_whole = Counter(number for number, key in cells if key in whole)
    return min(hits, key=lambda number: (-of_whole[number], -hits[number], number)) if hits else None


def _column_of_classes(
    rows: list[list[str]],
    place: int,
    keys: set[str],
    split: str,
    classes: Collection[str],
    boxed: bool,
    table: str,
) -> int | None:
    told = [row for row in rows if len(row) > place and _key(row[place], split) in keys]
    others = [number for number in range(min(9, max(map(len, told)))) if number != place]
    fitting = [
        number
        for number in others
        if all(len(row) > number and _class(row[number], boxed) in classes for row in told)
    ]
    heading = {number: cell.strip().lower() for number, cell in enumerate(rows[0])} if told != rows else {}
    if said := [number for number in fitting or others if heading.get(number) in HEADINGS]:
        return said[0]
    if len({tuple(_class(row[number], boxed) for row in told) for number in fitting}) > 1:
        columns = " and ".join(str(number + 1) for number in fitting)
        raise UserError(
            f"{table}: columns {columns} may all be that of the classes; allowed: one, or a heading that says"
            f" which, such as label. Its first row is {rows[0]}"
        )
    if fitting:
        return fitting[0]
    after = [number for number in others if number > place]
    chosen = next(iter(after or others), None)
    if len(after or others) > 1 and chosen is not None:
        say(f"index: {table}: column {chosen + 1} is taken for the classes; its first row is {rows[0]}")
    return chosen


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
