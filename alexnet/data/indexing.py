"""From raw files to the index: list, choose the subset, number the classes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from alexnet.data.index import Index
from alexnet.data.sources import Listing, list_source, scan_members
from alexnet.draws import generator
from alexnet.errors import UserError
from alexnet.files import STATE, fingerprint, replacing
from alexnet.params.data import Data


def build(root: Path, data: Data, state: Path = STATE / "index") -> tuple[Index, str]:
    """Index what lies below `root`, or the seeded subset that `data` asks for.

    Tars that were scanned before are not scanned again while name, size and time are the same.

    Returns:
        The index, equal wherever `root` lies, and the layout.

    Raises:
        UserError: the source is missing, broken or contradicts itself; see `list_source`.
    """
    listing = list_source(root, data.layout, lambda path: _scan_once(path, state))
    classes = _chosen_classes(listing, data)
    label_of = {wnid: label for label, wnid in enumerate(classes["wnid"])}
    pictures = listing.pictures[listing.pictures["wnid"].isin(label_of)]
    pictures = pictures.assign(label=pictures["wnid"].map(label_of).astype("int32"))
    pictures = pictures.sort_values(["split", "name"], ignore_index=True)
    if data.per_class != "all":
        pictures = _some_per_class(pictures, data.per_class, data.seed)
    columns = ["split", "label", "name", "path", "offset", "size"]
    return Index(pictures[columns].reset_index(drop=True), classes), listing.layout


def _scan_once(path: Path, state: Path) -> pd.DataFrame:
    about = path.stat()
    key = fingerprint(path=str(path.resolve()), size=about.st_size, time=about.st_mtime_ns)
    remembered = state / f"{key}.parquet"
    if remembered.exists():
        return pd.read_parquet(remembered)
    members = scan_members(path)
    with replacing(remembered) as temporary:
        members.to_parquet(temporary, index=False)
    return members


def _chosen_classes(listing: Listing, data: Data) -> pd.DataFrame:
    classes = listing.classes
    wanted = data.classes
    if isinstance(wanted, list):
        unknown = [name for name in wanted if name not in set(classes["wnid"])]
        if unknown:
            raise UserError(
                f"data.classes: found {unknown[0]}; allowed: classes of the source, e.g."
                f" {', '.join(classes['wnid'][:3])}"
            )
        classes = classes[classes["wnid"].isin(wanted)]
    elif wanted != "all":
        if wanted > len(classes):
            raise UserError(f"data.classes: found {wanted}; allowed: up to {len(classes)}, what is there")
        chosen = generator(data.seed, "subset of classes").permutation(len(classes))[:wanted]
        classes = classes.iloc[sorted(chosen)]
    return classes.reset_index(drop=True)


def _some_per_class(pictures: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    rank = generator(seed, "subset of pictures").permutation(len(pictures))
    keep = pictures.assign(rank=rank).groupby(["split", "label"])["rank"].rank() <= count
    return pictures[keep]
