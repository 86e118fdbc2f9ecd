"""Tars of pictures with their labels beside them: WebDataset's shards, as timm publishes ImageNet.

A picture ``KEY.jpg`` has its label in ``KEY.cls``, a number or a name, or in ``KEY.json``, under one of
`LABEL_KEYS`. Of several, the most telling counts, wherever it lies in the shard. The split is in the name of
the shard: ``imagenet1k-train-0000.tar``. Records of this project are such shards too, except for raw
ones. A shard may be compressed (``.tar.gz``).
"""

import json
import re
from pathlib import Path, PurePosixPath

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.ingest.sources.archives import AGAIN, is_packed, opened_tar, refuse_outside, whole
from alexnet.ingest.sources.labels import with_wnids
from alexnet.ingest.sources.listing import (
    MEMBERS,
    Listing,
    Member,
    Scan,
    as_pictures,
    files_of_splits,
    say_what_is_missing,
    told_apart,
)
from alexnet.ingest.sources.pictures import SUFFIXES, is_junk
from alexnet.store.index import LEFT_OUT, SPLITS

SHARDS = ("*.tar", "*.tar.gz", "*.tgz")
LABELS = (".cls", ".json")
# Where the class of a picture stands, the most telling first: keys of its JSON file, or its file ".cls". A
# name in words comes last, as two classes may share it: the bird and the machine are both a crane.
LABEL_KEYS = ("wnid", "synset", ".cls", "label", "cls", "class", "class_name")
# A WNID is the most telling wherever it stands.
_WNID = re.compile(r"n\d{8}")
# A label is a few bytes; JSON may hold a caption too.
MAX_LABEL_BYTES = 1_000_000
# Stands in the place of a label.
_NO_PICTURE = "\0"
_NO_LABEL = (len(LABEL_KEYS), "")


def has_shards(root: Path) -> bool:
    """Whether the first tar of some split below `root` holds labels, as a shard does."""
    first_of = {split: path for path, split in reversed(files_of_splits(root, *SHARDS).items())}
    return any(_holds_labels(first_of[split]) for split in SPLITS if split in first_of)


def _holds_labels(path: Path) -> bool:
    # They may lie behind all pictures.
    with opened_tar(path) as tar:
        return any(member.name.lower().endswith(LABELS) for member in tar)


def list_webdataset(root: Path, scan: Scan) -> Listing:
    """List the pictures of the shards below `root`."""
    shards = files_of_splits(root, *SHARDS)
    if not shards:
        raise UserError(f"data_root {root}: no tars whose names say train, validation or test")
    say_what_is_missing(root, shards)
    parts, others = [], []
    for path, split in shards.items():
        found = scan(path, read_labelled_shard)
        found["name"] = f"{path.name.partition('.')[0]}/" + found["name"]
        is_picture = found["container"] != _NO_PICTURE
        others.append(found[~is_picture].assign(reason="no picture: another member of a shard"))
        found, packing = found[is_picture], "gzip" if is_packed(path) else "none"
        parts.append(as_pictures(found, split, str(path.relative_to(root)), found["container"], packing))
    pictures, left_out = pd.concat(parts, ignore_index=True), pd.concat(others, ignore_index=True)[LEFT_OUT]
    if pictures.empty:
        kinds = sorted({PurePosixPath(name).suffix.lower() or name for name in left_out["name"]})
        raise UserError(
            f"data_root {root}: no pictures in its shards; found {', '.join(kinds[:5]) or 'labels alone'};"
            f" allowed: {', '.join(SUFFIXES)}. Of records, those of preprocess.encoding: jpeg are read."
        )
    pictures, classes = with_wnids(root, pictures, [])
    # Shards in two folders may have one name.
    whole_names = pictures["path"] + "/" + pictures["name"].str.partition("/")[2]
    pictures = told_apart(pictures, whole_names)
    return Listing("webdataset", classes, pictures, left_out)


# What it finds is remembered under its name, which changes when labels are read in another way.
def read_labelled_shard(path: Path) -> pd.DataFrame:
    """List a shard as `scan_tar` does; the container is the label of each picture."""
    pictures: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, tuple[int, str]] = {}
    others: list[Member] = []
    try:
        with opened_tar(path) as tar:
            for member in whole(tar, path):
                name = member.name
                refuse_outside(path, name)
                if member.isdir() or is_junk(name):
                    continue
                if not member.isreg():
                    raise UserError(f"{path}: found {name}, which is no plain file; not read")
                folder, _, last = name.rpartition("/")
                stem, dot, suffix = last.partition(".")
                key = f"{folder}/{stem}"
                if f"{dot}{suffix}".lower().endswith(SUFFIXES):
                    if key in pictures:
                        twins = key.lstrip("/")
                        raise UserError(f"{path}: two pictures are named {twins}; each may stand once")
                    pictures[key] = (name, member.offset_data, member.size)
                elif f".{suffix.lower()}" in LABELS:
                    file = tar.extractfile(member)
                    content = file.read(MAX_LABEL_BYTES) if file else b""
                    labels[key] = min(_label(content, suffix), labels.get(key, _NO_LABEL))
                else:
                    others.append((_NO_PICTURE, name, member.offset_data, member.size))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: a label cannot be read ({error}). {AGAIN}") from None
    rows = [(labels.get(key, _NO_LABEL)[1], *where) for key, where in pictures.items()]
    return pd.DataFrame([*rows, *others], columns=MEMBERS)


def _label(content: bytes, suffix: str) -> tuple[int, str]:
    """Return the most telling label in a file and its place in `LABEL_KEYS`, the first for any WNID."""
    text = content.decode("utf-8").strip()
    about = {".cls": text} if suffix.lower() == "cls" else json.loads(text)
    if not isinstance(about, dict):
        return _NO_LABEL
    found = [(place, str(about[key])) for place, key in enumerate(LABEL_KEYS) if about.get(key) is not None]
    return min(
        ((0 if _WNID.fullmatch(label) else place, label) for place, label in found if label),
        default=_NO_LABEL,
    )
