"""One tar per class and no splits, as ImageNet's whole releases come (2011 Fall: 21,841 classes)."""

import functools
from pathlib import Path

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.ingest.raw_files import open_whole
from alexnet.ingest.sources.archives import scan_tar
from alexnet.ingest.sources.listing import (
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
    return sorted((path for path in root.glob("*.tar") if not is_junk(path.name)), key=lambda path: path.stem)


def list_class_tars(root: Path, scan: Scan) -> Listing:
    """List the pictures of every ``CLASS.tar`` in `root`, all as ``train``."""
    paths = tars_of_classes(root)
    if not paths:
        raise UserError(f"data_root {root}: no tars; needed is one per class, named CLASS.tar")
    parts, others = [], []
    for path in paths:
        members = scan(path, scan_tar)
        members = members[~members["name"].map(is_junk).astype(bool)]
        reasons = _reasons(path, members)
        _refuse_folders(path, members[reasons == ""])
        refuse_duplicates(path, members["name"][reasons == ""])
        members = members.assign(name=path.stem + "/" + members["name"], reason=reasons)
        others.append(members[reasons != ""])
        parts.append(as_pictures(members[reasons == ""], "train", path.name, path.stem))
    wnids = [path.stem for path in paths]
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


def _refuse_folders(path: Path, members: pd.DataFrame) -> None:
    """Refuse a tar of folders, which tell classes or splits that its one name does not."""
    folders = members["name"].str.extract("^(.*)/")[0].fillna("")
    inside = members["container"].where(members["container"] != "", folders)
    strange = members[~inside.isin(["", path.stem])]
    if len(strange):
        first = strange.iloc[0]
        member = "/".join(part for part in (first["container"], first["name"]) if part)
        raise UserError(
            f"{path}: holds {member}; allowed: pictures of the one class {path.stem}, in no folder or in"
            f" {path.stem}/. Unpack it and name the folder that holds train/ as data_root, or give one tar"
            " per class."
        )
