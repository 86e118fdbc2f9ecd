"""ImageNet as Hugging Face keeps it in tars: ``train_images_0.tar.gz`` and so on, the class in each name.

A picture is called ``n01440764_10026_n01440764.JPEG`` or ``ILSVRC2012_val_00000001_n01751748.JPEG``; those of
the test split have no class.
"""

import re
from pathlib import Path

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.ingest.sources.archives import is_packed, scan_tar
from alexnet.ingest.sources.labels import with_wnids
from alexnet.ingest.sources.listing import (
    NO_CLASS,
    Listing,
    Scan,
    as_pictures,
    refuse_duplicates,
    say_what_is_missing,
)

_FILES = re.compile(r"(train|val|test)_images(_\d+)?\.tar(\.gz)?")
_CLASS = re.compile(r"_(n\d{8})\.JPE?G$", re.IGNORECASE)


def huggingface_tars(root: Path) -> dict[Path, str]:
    """Return the tars in `root` and the split of each."""
    found = {path: _FILES.fullmatch(path.name) for path in sorted(root.iterdir())}
    return {path: match[1] for path, match in found.items() if match}


def list_huggingface(root: Path, scan: Scan) -> Listing:
    """List the pictures of the tars in `root`."""
    parts, tars = [], huggingface_tars(root)
    for path, split in tars.items():
        found = scan(path, scan_tar)
        found = found.assign(name=found["name"].str.rpartition("/")[2])
        wnids = found["name"].str.extract(_CLASS)[0].fillna(NO_CLASS)
        if split != "test" and (wnids == NO_CLASS).any():
            name = found["name"][wnids == NO_CLASS].iloc[0]
            raise UserError(f"{path}: found {name}, without a class; allowed: NAME_nXXXXXXXX.JPEG")
        parts.append(as_pictures(found, split, path.name, wnids, "gzip" if is_packed(path) else "none"))
    if not parts:
        raise UserError(f"data_root {root}: no train_images_0.tar.gz or the like")
    say_what_is_missing(root, tars)
    pictures = pd.concat(parts, ignore_index=True)
    for _, names in pictures.groupby("split")["name"]:
        refuse_duplicates(root, names)
    pictures, classes = with_wnids(root, pictures, [])
    return Listing("huggingface-tars", classes, pictures)
