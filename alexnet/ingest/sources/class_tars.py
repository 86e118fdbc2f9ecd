"""One tar per class and no splits, as ImageNet's whole releases come (2011 Fall: 21,841 classes)."""

import functools
from pathlib import Path

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.ingest.raw_files import open_whole, stem_of
from alexnet.ingest.sources.archives import scan_tar
from alexnet.ingest.sources.listing import (
    SPLIT_NAMES,
    Listing,
    Scan,
    as_pictures,
    parse_words,
    refuse_duplicates,
    text_of,
    with_words,
)
from alexnet.ingest.sources.pictures import HEAD, is_junk, why_left_out
from alexnet.store.index import LEFT_OUT

WORDS = "words.txt"


def tars_of_classes(root: Path) -> list[Path]:
    """Return every ``CLASS.tar`` in `root`."""
    return sorted((path for path in root.glob("*.tar") if not is_junk(path.name)), key=stem_of)


def list_class_tars(root: Path, scan: Scan) -> Listing:
    """List the pictures of every ``CLASS.tar`` in `root`, all as ``train``."""
    paths = tars_of_classes(root)
    if not paths:
        raise UserError(f"data_root {root}: no tars; needed is one per class, named CLASS.tar")
    if all(path.stem.lower() in SPLIT_NAMES for path in paths):
        raise UserError(
            f"data_root {root}: found {', '.join(path.name for path in paths)}, the names of splits, in which"
            " no picture has a label; allowed: one tar per class, named CLASS.tar"
        )
    parts, others = [], []
    for path in paths:
        members = scan(path, scan_tar)
        members = members[~members["name"].map(is_junk).astype(bool)]
        _refuse_labels(path, members["name"])
        reasons = _reasons(path, members)
        _refuse_folders(path, members[reasons == ""])
        refuse_duplicates(path, members["name"][reasons == ""])
        wnid = stem_of(path)
        members = members.assign(name=wnid + "/" + members["name"], reason=reasons)
        others.append(members[reasons != ""])
        parts.append(as_pictures(members[reasons == ""], "train", path.name, wnid))
    wnids = [stem_of(path) for path in paths]
    words = parse_words(text_of(root / WORDS) or "", wnids)
    left_out = pd.concat(others, ignore_index=True)[LEFT_OUT]
    return Listing("class-tars", with_words(wnids, words), pd.concat(parts, ignore_index=True), left_out)


def _reasons(path: Path, members: pd.DataFrame) -> pd.Series:
    def head(offset: int) -> bytes:
        file.seek(offset)
        return file.read(HEAD)

    with open_whole(path) as file:
        rows = zip(members["name"], members["offset"], strict=True)
        reasons = [why_left_out(name, functools.partial(head, offset)) for name, offset in rows]
    return pd.Series(reasons, index=members.index, dtype=object)


def _refuse_labels(path: Path, names: pd.Series) -> None:
    """Refuse a tar in which pictures have labels of their own."""
    labels = names[names.str.lower().str.endswith(".cls")]
    if len(labels):
        raise UserError(
            f"{path}: holds labels ({labels.iloc[0]}), as the shards of WebDataset do; allowed there: names"
            " that say the split, such as NAME-train-000.tar. A tar of one class holds its pictures alone."
        )


def _refuse_folders(path: Path, members: pd.DataFrame) -> None:
    """Refuse a tar of folders, which tell classes or splits that its one name does not."""
    folders = members["name"].str.extract("^(.*)/")[0].fillna("")
    inside = members["container"].where(members["container"] != "", folders)
    wnid = stem_of(path)
    strange = members[~inside.isin(["", wnid])]
    if len(strange):
        first = strange.iloc[0]
        member = "/".join(part for part in (first["container"], first["name"]) if part)
        raise UserError(
            f"{path}: holds {member}; allowed: pictures of the one class {wnid}, in no folder or in"
            f" {wnid}/. Unpack it and name the folder that holds train/ as data_root, or give one tar"
            " per class."
        )
