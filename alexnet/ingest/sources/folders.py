"""A folder per class, or pictures beside each other with a CSV of their classes; also inside a zip.

Kaggle's copy of ILSVRC-2012 is of this kind. Below the folder that holds ``train``:

- ``SPLIT/CLASS/NAME``, or ``SPLIT/NAME`` and a file ``SPLIT.csv`` (Kaggle: ``LOC_val_solution.csv``)
  whose rows begin with a name, with or without its suffix, and a class (Kaggle's: and a box);
  ``test/NAME`` without a file is a test split without labels, as Kaggle's is;
- optionally ``words.txt`` (Kaggle: ``LOC_synset_mapping.txt``) with a line per class: name, words.
"""

import csv
import io
from pathlib import Path

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.ingest.sources.listing import (
    COLUMNS,
    NO_CLASS,
    PICTURE_SUFFIXES,
    Listing,
    Scan,
    parse_words,
    refuse_duplicates,
    with_words,
)
from alexnet.ingest.sources.trees import Folder, Tree, Zip, below
from alexnet.store.index import SPLITS

KAGGLE_PICTURES = "ILSVRC/Data/CLS-LOC"
KAGGLE_SOLUTION = "LOC_val_solution.csv"
LABELS = {split: (f"{split}.csv",) for split in SPLITS} | {"val": ("val.csv", KAGGLE_SOLUTION)}
WORDS = ("words.txt", "LOC_synset_mapping.txt")


def has_folders(root: Path, layout: str, scan: Scan) -> bool:
    """Whether pictures lie in `root`, or in the one zip in it, in `layout`."""
    return _open(root, layout, scan)[1] is not None


def _open(root: Path, layout: str, scan: Scan) -> tuple[Tree, str | None]:
    """Return what to list, and the folder of it that holds ``train``, if any."""
    zips = sorted(root.glob("*.zip"))
    tree: Tree = Folder(root)
    top = _top(tree, layout)
    if top is None and len(zips) == 1:
        tree = Zip(zips[0], scan)
        top = _top(tree, layout)
    return tree, top


def _top(tree: Tree, layout: str) -> str | None:
    tops = [KAGGLE_PICTURES] if layout == "kaggle" else ["", *tree.tops()]
    return next((top for top in tops if tree.has(below(top, "train"))), None)


def list_folders(root: Path, scan: Scan, layout: str) -> Listing:
    """List the pictures below `root` in `layout`, ``folders`` or ``kaggle``.

    Raises:
        UserError: a split is missing, a picture has no class or lies deeper than in its class's folder,
            or a class has no training pictures or a folder of it no pictures.
    """
    tree, top = _open(root, layout, scan)
    kaggle = layout == "kaggle"
    if top is None:
        inside = f"{KAGGLE_PICTURES}/train" if kaggle else "train"
        raise UserError(
            f"data_root {tree.where}: no {inside}/ folder; needed are train/ and val/ (or test/), a folder"
            " per class in each"
        )
    parts = [_one_split(tree, top, split) for split in SPLITS if tree.has(below(top, split))]
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
    text, _ = _first_text(tree, top, WORDS)
    words = parse_words(text or "", wnids)
    absent = sorted(set(words) - set(wnids)) if kaggle else []
    if absent:
        raise UserError(
            f"data_root {tree.where}: LOC_synset_mapping.txt names {absent[0]}, but there is no training"
            f" picture of it ({len(absent)} such classes)"
        )
    strangers = pictures[~pictures["wnid"].isin([*wnids, NO_CLASS])].sort_values(["split", "wnid"])
    if len(strangers):
        split, wnid = strangers[["split", "wnid"]].iloc[0]
        raise UserError(f"data_root {tree.where}: {split}/{wnid} has no training pictures in train/")
    return Listing(layout, with_words(wnids, words), pictures)


def _one_split(tree: Tree, top: str, split: str) -> pd.DataFrame:
    found = tree.pictures(below(top, split))
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
    folders = {name for name in tree.folders(below(top, split)) if not name.startswith(".")}
    bare = sorted(folders - set(found["folder"]))
    if bare and not flat.any():
        raise UserError(
            f"data_root {tree.where}: no pictures in {split}/{bare[0]}/ (looked for"
            f" {', '.join(PICTURE_SUFFIXES)}; {len(bare)} such folders). Convert its pictures, or remove it."
        )
    if flat.any():
        found = found.assign(wnid=_by_table(tree, top, split, found["name"]))
    else:
        found = found.assign(wnid=found["folder"], name=found["folder"] + "/" + found["name"])
    return found.assign(split=split, form="file")[COLUMNS]


def _by_table(tree: Tree, top: str, split: str, names: pd.Series) -> list[str]:
    """Return the class of each of `names` by the split's CSV; without one a test picture's is unknown."""
    content, place = _first_text(tree, top, LABELS[split])
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
    boxed = place.endswith(KAGGLE_SOLUTION)
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


def _first_text(tree: Tree, top: str, names: tuple[str, ...]) -> tuple[str | None, str]:
    """Return text and place of the first of the files `names` that is there, beside train/ or outermost."""
    for place in dict.fromkeys(place for name in names for place in (below(top, name), name)):
        text = tree.text(place)
        if text is not None:
            return text, place
    return None, ""
