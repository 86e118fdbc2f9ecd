"""One tar a class and no splits, as ImageNet's whole releases come (2011 Fall: 21,841 classes)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from alexnet.data.sources.archives import scan_tar
from alexnet.data.sources.listing import (
    PICTURE_SUFFIXES,
    Listing,
    Scan,
    as_pictures,
    parse_words,
    refuse_twins,
    with_words,
)
from alexnet.errors import UserError

WORDS = "words.txt"


def list_class_tars(root: Path, scan: Scan) -> Listing:
    """List the pictures of every ``CLASS.tar`` in `root`, all as ``train``.

    Raises:
        UserError: there are no tars, one is broken, or two pictures have one name.
    """
    paths = sorted(root.glob("*.tar"))
    if not paths:
        raise UserError(f"data_root {root}: no tars; needed is one per class, named CLASS.tar")
    parts = []
    for path in paths:
        members = scan(path, scan_tar)
        members = members[members["name"].str.lower().str.endswith(PICTURE_SUFFIXES)]
        refuse_twins(path, members["name"])
        named = members.assign(name=path.stem + "/" + members["name"])
        parts.append(as_pictures(named, "train", path.name, path.stem))
    pictures = pd.concat(parts, ignore_index=True)
    words_file = root / WORDS
    words = parse_words(words_file.read_text(encoding="utf-8")) if words_file.is_file() else {}
    return Listing("class-tars", with_words([path.stem for path in paths], words), pictures)
