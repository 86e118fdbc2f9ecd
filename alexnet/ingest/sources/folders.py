"""A folder per class, or pictures beside each other with a table of their classes; also inside a zip.

Kaggle's copy of ILSVRC-2012, torchvision's folders and Tiny ImageNet are of this kind. Below the folder that
holds ``train`` (or the classes):

- ``SPLIT/CLASS/NAME``, or ``CLASS/NAME`` where there is no split, or the pictures of each class in one
  folder more, such as ``train/n01443537/images``;
- or ``SPLIT/NAME`` (also ``SPLIT/images/NAME``) and a table of names and classes: ``SPLIT.csv``, Kaggle's
  ``LOC_val_solution.csv``, Tiny ImageNet's ``val/val_annotations.txt``, or the validation labels of the
  official development kit; ``test/NAME`` without a table is a test split without labels, as Kaggle's is;
- optionally ``words.txt`` (Kaggle: ``LOC_synset_mapping.txt``) with a line per class: name, words.
"""

import contextlib
import itertools
import unicodedata
from pathlib import Path

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.core.terminal import say
from alexnet.ingest.sources.ilsvrc import ILSVRC_2012, Devkit
from alexnet.ingest.sources.listing import (
    COLUMNS,
    NO_CLASS,
    SPLIT_FOLDERS,
    SPLIT_NAMES,
    WORDS,
    Listing,
    Scan,
    names_in,
    parse_words,
    refuse_duplicates,
    with_words,
)
from alexnet.ingest.sources.pictures import NOT_UTF8, SUFFIXES, is_junk, is_utf8
from alexnet.ingest.sources.tables import classes_by_table, has_columns
from alexnet.ingest.sources.trees import Folder, Tree, Zip, below
from alexnet.store.index import LEFT_OUT, SPLITS

KAGGLE_PICTURES = "ILSVRC/Data/CLS-LOC"
KAGGLE_SOLUTION = "LOC_val_solution.csv"
LABELS: dict[str, tuple[str, ...]] = {split: (f"{split}.csv",) for split in SPLITS}
LABELS["val"] = ("val.csv", KAGGLE_SOLUTION, "val/val_annotations.txt")


# What to list, the folder in it that holds the splits, and the folder of each split in that one.
Place = tuple[Tree, str, dict[str, str]]


def find_splits(root: Path, scan: Scan, layout: str, in_zip: bool) -> Place | None:
    """Return where a ``train`` folder lies in `root`, or in the one zip in it; None if nowhere."""
    for tree in _trees(root, scan, in_zip):
        for top in [KAGGLE_PICTURES] if layout == "kaggle" else tree.tops():
            if tree.has(below(top, "train")):
                found = {
                    split: [name for name in names if tree.has(below(top, name))]
                    for split, names in SPLIT_FOLDERS.items()
                }
                return tree, top, {split: names[0] for split, names in found.items() if names}
    return None


def find_classes(root: Path, scan: Scan, in_zip: bool) -> Place | None:
    """Return where folders of pictures, and none of a split, lie in `root`, or in the one zip in it.

    All are of ``train``, whose folder is then the one that holds them.
    """
    for tree in _trees(root, scan, in_zip):
        for top in tree.tops():
            names = tree.folders(top)
            if SPLIT_NAMES.keys().isdisjoint(name.lower() for name in names):
                of_pictures = (name for name in names if (tree.files(below(top, name))["reason"] == "").any())
                if len(list(itertools.islice(of_pictures, 2))) == 2:
                    return tree, top, {"train": ""}
    return None


def _trees(root: Path, scan: Scan, in_zip: bool) -> list[Tree]:
    if not in_zip:
        return [Folder(root)]
    zips = [path for path in root.glob("*.zip") if not is_junk(path.name)]
    return [Zip(zips[0], scan)] if len(zips) == 1 else []


def list_folders(root: Path, scan: Scan, layout: str) -> Listing:
    """List the pictures below `root` in `layout`, ``folders`` or ``kaggle``."""
    kaggle = layout == "kaggle"
    places = (
        find_splits(root, scan, layout, in_zip) or (None if kaggle else find_classes(root, scan, in_zip))
        for in_zip in (False, True)
    )
    found = next((place for place in places if place), None)
    if found is None:
        inside = f"{KAGGLE_PICTURES}/train" if kaggle else "train"
        or_classes = "" if kaggle else ", or at least two folders of classes and none of a split"
        raise UserError(
            f"data_root {root}: no {inside}/ folder; found {names_in(root)}; needed are train/ and val/ (or"
            f" test/), a folder per class in each{or_classes}"
        )
    tree, top, folders = found
    pictures, left_out = _all_splits(tree, top, folders)
    if kaggle:
        # As in the official tars, so that the same pictures make the same store.
        pictures["name"] = pictures["name"].str.rpartition("/")[2]
        for _, names in pictures.groupby("split")["name"]:
            refuse_duplicates(tree.where, names)
    wnids = sorted(pictures["wnid"][pictures["split"] == "train"].unique())
    classes = with_words(wnids, _words(tree, top, wnids, kaggle))
    _refuse_strangers(tree, pictures, wnids)
    unused = sorted(set(tree.folders(top)) - set(folders.values()))
    if unused and folders["train"] and not kaggle:
        say(f"index: other folders there, not used: {', '.join(unused)}")
    return Listing(layout, classes, pictures, left_out)


def _all_splits(tree: Tree, top: str, folders: dict[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pictures of all splits, the training split first, and the files that are none."""
    parts: list[pd.DataFrame] = []
    others = []
    for split, folder in folders.items():
        found = tree.files(below(top, folder))
        if folder == "":
            # What lies beside the classes is no part of them, as what lies beside train/ is not.
            found = found[(found["folder"] != "") | (found["reason"] == "")]
        is_picture = found["reason"] == ""
        inside = found["folder"].where(found["folder"] == "", found["folder"] + "/") + found["name"]
        names = f"{folder}/" * bool(folder) + inside
        tables = names.isin([place for places in LABELS.values() for place in places])
        others.append(found.assign(name=names)[LEFT_OUT][~is_picture & ~tables])
        wnids = set(parts[0]["wnid"]) if parts else set()
        parts.append(_one_split(tree, top, split, folder, found[is_picture], wnids))
    return pd.concat(parts, ignore_index=True), pd.concat(others, ignore_index=True)


def _one_split(
    tree: Tree, top: str, split: str, folder: str, found: pd.DataFrame, wnids: set[str]
) -> pd.DataFrame:
    """Return rows of a `Listing` for the pictures `found` in a split's folder; `wnids` are those of train."""
    place = _first_place(tree, top, LABELS[split])
    inner = set(found["folder"])
    # Pictures beside each other, also in a folder of their own that is no class.
    own_folder = len(inner) == 1 and not _classes(inner) & wnids and (place is not None or split == "test")
    flat = inner == {""} or own_folder
    if not flat and "" in inner:
        one, other = found[found["folder"] == ""].iloc[0], found[found["folder"] != ""].iloc[0]
        raise UserError(
            f"data_root {tree.where}: {folder or top or '.'}/ holds pictures ({one['name']}) and folders"
            f" of pictures ({other['folder']}); allowed: one of the two"
        )
    bare = sorted(set(tree.folders(below(top, folder))) - _classes(inner))
    if bare and not flat and not is_utf8(bare[0]):
        raise UserError(f"data_root {tree.where}: {below(folder, bare[0])}/: {NOT_UTF8}. Rename this folder.")
    if bare and not flat:
        raise UserError(
            f"data_root {tree.where}: no pictures in {below(folder, bare[0])}/ (looked for"
            f" {', '.join(SUFFIXES)}; {len(bare)} such folders). Convert its pictures, or remove it."
        )
    if found.empty:
        raise UserError(
            f"data_root {tree.where}: no pictures in {folder or top or '.'}/ (looked for"
            f" {', '.join(SUFFIXES)}, and at how other files begin). Fill it, or remove it."
        )
    if flat:
        found = found.assign(wnid=_by_table(tree, split, folder, found["name"], wnids, place))
    else:
        _refuse_ambiguous(tree, folder, found)
        wnid = found["folder"].str.partition("/")[0]
        found = found.assign(wnid=wnid, name=wnid + "/" + found["name"])
        refuse_duplicates(tree.where, found["name"])
    return found.assign(split=split, form="file")[COLUMNS]


def _classes(folders: set[str]) -> set[str]:
    return {folder.partition("/")[0] for folder in folders}


def _refuse_ambiguous(tree: Tree, folder: str, found: pd.DataFrame) -> None:
    """Refuse folders in the folder of a class, unless it has but one: they could be the classes."""
    wnids = found["folder"].str.partition("/")[0]
    several = found["folder"].groupby(wnids).transform("nunique") > 1
    deep = found[found["folder"].str.contains("/") & several]
    if len(deep):
        first = deep.iloc[0]
        wnid = first["folder"].partition("/")[0]
        raise UserError(
            f"data_root {tree.where}: {below(folder, first['folder'])}/{first['name']} lies too deep"
            f" ({len(deep)} such pictures), as others of {below(folder, wnid)}/ lie elsewhere in it; allowed:"
            f" {below(folder, 'CLASS')}/NAME, or one folder in each class. Move them up, or remove them."
        )


def _refuse_strangers(tree: Tree, pictures: pd.DataFrame, wnids: list[str]) -> None:
    strangers = pictures[~pictures["wnid"].isin([*wnids, NO_CLASS])].sort_values(["split", "wnid"])
    if len(strangers):
        split, wnid = strangers[["split", "wnid"]].iloc[0]
        composed = {unicodedata.normalize("NFC", name): name for name in wnids}
        alike = composed.get(unicodedata.normalize("NFC", wnid))
        why = f"; {alike} in train/ looks the same, but is written with other characters" if alike else ""
        raise UserError(f"data_root {tree.where}: {split}/{wnid} has no training pictures in train/{why}")


def _words(tree: Tree, top: str, wnids: list[str], kaggle: bool) -> dict[str, str]:
    place = _first_place(tree, top, WORDS)
    if place is None:
        # Only labels are needed from it; where there are none to translate, a broken kit does no harm.
        with contextlib.suppress(UserError):
            devkit = Devkit.find(tree.beside, ILSVRC_2012)
            return dict(zip(devkit.synsets["wnid"], devkit.synsets["words"], strict=True)) if devkit else {}
    words = parse_words(tree.text(place) if place else "", wnids)
    absent = sorted(set(words) - set(wnids)) if kaggle else []
    if absent:
        raise UserError(
            f"data_root {tree.where}: LOC_synset_mapping.txt names {absent[0]}, but there is no training"
            f" picture of it ({len(absent)} such classes)"
        )
    return words


def _by_table(
    tree: Tree, split: str, folder: str, names: pd.Series, wnids: set[str], place: str | None
) -> list[str]:
    """Return the class of each of `names` by the table in `place`; of a test picture it may be unknown."""
    if place is not None:
        text, table, boxed = tree.text(place), f"{tree.where}/{place}", place.endswith(KAGGLE_SOLUTION)
        if split != "test" or has_columns(text, table):
            return classes_by_table(text, table, folder, list(names), wnids, boxed)
    if split == "test":
        return [NO_CLASS] * len(names)
    devkit = Devkit.find(tree.beside, ILSVRC_2012) if split == "val" else None
    if devkit:
        inside = devkit.path / ILSVRC_2012.truth("val")
        ids = devkit.ids(inside, devkit.truths["val"])
        return devkit.classes_of(tree.where / folder, names, "ILSVRC2012_val_", ids, inside)
    raise UserError(
        f"data_root {tree.where}: {folder}/ holds {len(names)} pictures and no folder per class;"
        f" needed is {' or '.join(LABELS[split])} with a name and a class in each row"
        + (f", or {ILSVRC_2012.devkit}" if split == "val" else "")
    )


def _first_place(tree: Tree, top: str, names: tuple[str, ...]) -> str | None:
    """Return the place of the first of the files `names` that is there, beside train/ or outermost."""
    places = (place for name in names for place in (below(top, name), name))
    return next((place for place in places if tree.holds(place)), None)
