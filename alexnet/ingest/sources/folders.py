"""A folder per class, or pictures beside each other with a CSV of their classes; also inside a zip.

Kaggle's copy of ILSVRC-2012 is of this kind. Below the folder that holds ``train``:

- ``SPLIT/CLASS/NAME``, or ``SPLIT/NAME`` and a file ``SPLIT.csv`` (Kaggle: ``LOC_val_solution.csv``)
  whose rows begin with a name, with or without its suffix, and a class (Kaggle's: and a box);
  ``test/NAME`` without a file is a test split without labels, as Kaggle's is;
- optionally ``words.txt`` (Kaggle: ``LOC_synset_mapping.txt``) with a line per class: name, words.
"""

from __future__ import annotations

import csv
import io
import os
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Protocol

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.ingest.sources.archives import scan_zip
from alexnet.ingest.sources.listing import (
    COLUMNS,
    PICTURE_SUFFIXES,
    NO_CLASS,
    Listing,
    Scan,
    as_text,
    parse_words,
    refuse_duplicates,
    with_words,
)

KAGGLE_PICTURES = "ILSVRC/Data/CLS-LOC"
SPLITS = ("train", "val", "test")
KAGGLE_SOLUTION = "LOC_val_solution.csv"
LABELS = {split: (f"{split}.csv",) for split in SPLITS} | {"val": ("val.csv", KAGGLE_SOLUTION)}
WORDS = ("words.txt", "LOC_synset_mapping.txt")
_FOUND = ["folder", "name", "path", "packing", "offset", "size"]


class Tree(Protocol):
    """Files in folders, wherever they lie."""

    where: Path

    def has(self, folder: str) -> bool:
        """Whether there is such a folder."""

    def folders(self, folder: str) -> list[str]:
        """List the folders in `folder`."""

    def pictures(self, folder: str) -> pd.DataFrame:
        """List the pictures in `folder` and below it.

        Returns:
            A row a picture: folder (empty, or the way from `folder`), name, path, packing, offset, size.
        """

    def text(self, name: str) -> str | None:
        """Return the text of a file, or None when it is not there.

        Raises:
            UserError: it cannot be read, or is not in UTF-8.
        """


def plain_tree(root: Path) -> Tree:
    return _Folder(root)


def zip_in(root: Path) -> Path | None:
    """Return the one zip in `root`, if there is just one."""
    zips = sorted(root.glob("*.zip"))
    return zips[0] if len(zips) == 1 else None


def zip_tree(path: Path, scan: Scan) -> Tree:
    return _Zip(path, scan(path, scan_zip))


def pictures_folder(tree: Tree, layout: str) -> str | None:
    """Return the folder of `tree` that holds ``train`` in `layout`, or None."""
    if layout == "kaggle":
        return KAGGLE_PICTURES if tree.has(f"{KAGGLE_PICTURES}/train") else None
    tops = tree.tops() if isinstance(tree, _Zip) else []
    return next((top for top in ("", *tops) if tree.has(_below(top, "train"))), None)


def list_folders(tree: Tree, layout: str) -> Listing:
    """List the pictures of `tree`, whose `layout` is ``folders`` or ``kaggle``.

    Raises:
        UserError: a split is missing, a picture has no class or lies deeper than in its class's folder,
            or a class has no training pictures or a folder of it no pictures.
    """
    top = pictures_folder(tree, layout)
    if top is None:
        inside = f"{KAGGLE_PICTURES}/train" if layout == "kaggle" else "train"
        raise UserError(
            f"data_root {tree.where}: no {inside}/ folder; needed are train/ and val/ (or test/), a folder"
            " per class in each"
        )
    kaggle = layout == "kaggle"
    parts = []
    for split in SPLITS:
        if tree.has(_below(top, split)):
            parts.append(_one_split(tree, top, split))
    pictures = pd.concat(parts, ignore_index=True)
    if kaggle:
        # As in the official tars, so that the same pictures make the same store.
        pictures["name"] = pictures["name"].str.rpartition("/")[2]
        for _, names in pictures.groupby("split")["name"]:
            refuse_duplicates(tree.where, names)
    wnids = sorted(pictures["wnid"][pictures["split"] == "train"].unique())
    if not wnids:
        raise UserError(
            f"data_root {tree.where}: no pictures in train/ (looked for {', '.join(PICTURE_SUFFIXES)})"
        )
    words = _words(tree, top, wnids)
    absent = sorted(set(words) - set(wnids)) if kaggle else []
    if absent:
        raise UserError(
            f"data_root {tree.where}: LOC_synset_mapping.txt names {absent[0]}, but there is no training"
            f" picture of it ({len(absent)} such classes)"
        )
    for split, found in pictures.groupby("split")["wnid"]:
        strangers = sorted(set(found.unique()) - {*wnids, NO_CLASS})
        if strangers:
            raise UserError(
                f"data_root {tree.where}: {split}/{strangers[0]} has no training pictures in train/"
            )
    return Listing(layout, with_words(wnids, words), pictures)


def _one_split(tree: Tree, top: str, split: str) -> pd.DataFrame:
    found = tree.pictures(_below(top, split))
    deep = found[found["folder"].str.contains("/")]
    if len(deep):
        raise UserError(
            f"data_root {tree.where}: {split}/{deep['folder'].iloc[0]}/{deep['name'].iloc[0]} lies too deep"
            f" ({len(deep)} such pictures); allowed: {split}/CLASS/NAME. Move them up, or remove them."
        )
    flat = found["folder"] == ""
    if flat.any() and not flat.all():
        raise UserError(
            f"data_root {tree.where}: {split}/ holds pictures ({found['name'][flat].iloc[0]}) and folders"
            f" of pictures ({found['folder'][~flat].iloc[0]}); allowed: one of the two"
        )
    folders = {name for name in tree.folders(_below(top, split)) if not name.startswith(".")}
    bare = sorted(folders - set(found["folder"]))
    if bare and not flat.any():
        raise UserError(
            f"data_root {tree.where}: no pictures in {split}/{bare[0]}/ (looked for"
            f" {', '.join(PICTURE_SUFFIXES)}; {len(bare)} such folders). Convert its pictures, or remove it."
        )
    if len(found) and flat.all():
        found = found.assign(wnid=_by_table(tree, top, split, found["name"]))
    else:
        found = found.assign(wnid=found["folder"], name=found["folder"] + "/" + found["name"])
    return found.assign(split=split, form="file")[COLUMNS]


def _by_table(tree: Tree, top: str, split: str, names: pd.Series) -> list[str]:
    """Return the class of each of `names` by the split's CSV; without one a test picture's is unknown."""
    places = [place for file in LABELS[split] for place in dict.fromkeys((_below(top, file), file))]
    content, place = next(
        ((text, place) for place in places if (text := tree.text(place)) is not None), (None, "")
    )
    if content is None and split == "test":
        return [NO_CLASS] * len(names)
    if content is None:
        raise UserError(
            f"data_root {tree.where}: {split}/ holds {len(names)} pictures and no folder per class;"
            f" needed is {' or '.join(LABELS[split])} with a name and a class in each row"
        )
    table = f"{tree.where}/{place}"
    rows = [row[:2] for row in csv.reader(io.StringIO(content)) if len(row) >= 2 and row[1].strip()]
    # Kaggle writes a box behind the class, in the same field; elsewhere a class may have spaces.
    boxed = PurePosixPath(place).name == KAGGLE_SOLUTION
    known = {name: text.split()[0] if boxed else text.strip() for name, text in rows}
    if len(known) < len(rows):
        counts = pd.Series([name for name, _ in rows]).value_counts()
        raise UserError(f"{table}: two rows name {counts.index[0]}; each picture may stand once")
    classes, used = [], set()
    for name in names:
        key = name if name in known else name.rpartition(".")[0]
        if key not in known:
            raise UserError(f"{table}: no row for {split}/{name}; each picture needs its class")
        if key in used:
            raise UserError(f"{table}: {key} stands for two pictures of {split}/, {name} and another")
        used.add(key)
        classes.append(known[key])
    # The first row may be a heading.
    left = [name for name, _ in rows[1:] if name not in used]
    if left:
        raise UserError(f"{table}: names {left[0]}, which is not in {split}/ ({len(left)} such rows)")
    return classes


def _words(tree: Tree, top: str, wnids: list[str]) -> dict[str, str]:
    for name in WORDS:
        for place in dict.fromkeys((_below(top, name), name)):
            text = tree.text(place)
            if text is not None:
                return parse_words(text, wnids)
    return {}


def _below(folder: str, name: str) -> str:
    return "/".join(part for part in (folder, name) if part)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(PICTURE_SUFFIXES)


class _Folder:
    """A `Tree` on disk."""

    def __init__(self, root: Path) -> None:
        self.where = root

    def has(self, folder: str) -> bool:
        return (self.where / folder).is_dir()

    def folders(self, folder: str) -> list[str]:
        with os.scandir(self.where / folder) as entries:
            return [entry.name for entry in entries if entry.is_dir()]

    def pictures(self, folder: str) -> pd.DataFrame:
        return pd.DataFrame(self._pictures(folder, ""), columns=_FOUND)

    def _pictures(self, folder: str, inside: str) -> list[tuple[str, str, str, str, int, int]]:
        place = _below(folder, inside)
        with os.scandir(self.where / place) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        rows: list[tuple[str, str, str, str, int, int]] = []
        for entry in found:
            # Links in a class's folder are followed once, as they can lead in circles.
            is_folder = entry.is_dir(follow_symlinks="/" not in inside)
            # What is named as a picture but is a folder gets a row, so that preprocess names it as skipped.
            if is_folder and (below := self._pictures(folder, _below(inside, entry.name))):
                rows += below
            elif _is_picture(entry.name):
                rows.append((inside, entry.name, f"{place}/{entry.name}", "none", 0, _size(entry)))
        return rows

    def text(self, name: str) -> str | None:
        path = self.where / name
        return as_text(path.read_bytes(), path) if path.is_file() else None


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size if entry.is_file() else 0
    except OSError:
        return 0


class _Zip:
    """A `Tree` in a zip, whose members are `found` by `scan_zip`."""

    def __init__(self, path: Path, found: pd.DataFrame) -> None:
        self.where = path
        self._found = found

    def tops(self) -> list[str]:
        return sorted(self._found["name"].str.partition("/")[0].unique())

    def has(self, folder: str) -> bool:
        return bool(self._found["name"].str.startswith(f"{folder}/").any())

    def folders(self, folder: str) -> list[str]:
        names = self._found["name"][self._found["name"].str.startswith(f"{folder}/")]
        parts = names.str.removeprefix(f"{folder}/").str.partition("/")
        return list(parts[0][parts[1] == "/"].unique())

    def pictures(self, folder: str) -> pd.DataFrame:
        below = self._found[self._found["name"].str.startswith(f"{folder}/")]
        below = below[below["name"].str.lower().str.endswith(PICTURE_SUFFIXES)]
        names = below["name"].str.removeprefix(f"{folder}/")
        refuse_duplicates(self.where, names)
        parts = names.str.rpartition("/")
        rows = below.assign(folder=parts[0], name=parts[2], path=self.where.name, packing="zip")
        return rows[_FOUND].reset_index(drop=True)

    def text(self, name: str) -> str | None:
        if name not in self._found["name"].array:
            return None
        try:
            with zipfile.ZipFile(self.where) as packed:
                content = packed.read(str(PurePosixPath(name)))
        except (zipfile.BadZipFile, zlib.error, OSError) as error:
            raise UserError(f"{self.where}: {name} cannot be read ({error}). Download it again.") from None
        return as_text(content, f"{self.where}/{name}")
