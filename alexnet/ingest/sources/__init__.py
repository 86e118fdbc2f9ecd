"""The layouts raw pictures come in, read in place; each gives classes and pictures.

Labels are the ranks of the class names (WNIDs) in sorted order in every layout, so that a picture
has one label however it came. ILSVRC IDs have another order and are translated.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alexnet.core.errors import UserError
from alexnet.ingest.sources.cifar10 import BINARY, PYTHON, list_cifar10
from alexnet.ingest.sources.class_tars import list_class_tars
from alexnet.ingest.sources.folders import (
    KAGGLE_PICTURES,
    Tree,
    list_folders,
    pictures_folder,
    plain_tree,
    zip_in,
    zip_tree,
)
from alexnet.ingest.sources.ilsvrc import ILSVRC_2010, ILSVRC_2012, list_official
from alexnet.ingest.sources.listing import Listing, Scan

__all__ = ["Listing", "Scan", "list_source"]


def list_source(root: Path, layout: str, scan: Scan) -> Listing:
    """List the pictures below `root`.

    Args:
        layout: ``auto`` recognises it by what is there.
        scan: lists one archive by the reader it is given; may remember earlier scans.

    Raises:
        UserError: files are missing, contradict each other, or no layout is recognised.
    """
    if not root.is_dir():
        raise UserError(
            f"data_root {root}: no such folder. Name the folder with the raw files in machine.yaml."
        )
    readers: dict[str, Callable[[], Listing]] = {
        "ilsvrc-2012": lambda: list_official(root, scan, ILSVRC_2012),
        "ilsvrc-2010": lambda: list_official(root, scan, ILSVRC_2010),
        "cifar-10": lambda: list_cifar10(root, scan),
        "kaggle": lambda: list_folders(_tree(root, "kaggle", scan), "kaggle"),
        "folders": lambda: list_folders(_tree(root, "folders", scan), "folders"),
        "class-tars": lambda: list_class_tars(root, scan),
    }
    return readers[_recognise(root, scan) if layout == "auto" else layout]()


def _tree(root: Path, layout: str, scan: Scan) -> Tree:
    """Return the files below `root`, or those of the one zip in it when they have the layout."""
    plain, packed = plain_tree(root), zip_in(root)
    if pictures_folder(plain, layout) is not None or packed is None:
        return plain
    return zip_tree(packed, scan)


def _recognise(root: Path, scan: Scan) -> str:
    releases = [
        release
        for release in (ILSVRC_2012, ILSVRC_2010)
        if any((root / name).exists() for name in release.needed)
    ]
    if len(releases) > 1:
        names = [name for release in releases for name in release.needed if (root / name).exists()]
        raise UserError(
            f"data_root {root}: files of ILSVRC-2012 and of ILSVRC-2010 ({', '.join(names)}), whose IDs mean"
            " different classes. Keep those of one year there, or set data.layout."
        )
    if releases:
        return releases[0].layout
    if any((root / name).exists() for name in (BINARY, PYTHON)):
        return "cifar-10"
    for layout in ("kaggle", "folders"):
        if pictures_folder(_tree(root, layout, scan), layout) is not None:
            return layout
    if next(root.glob("*.tar"), None) is not None:
        return "class-tars"
    raise UserError(
        f"data_root {root}: no known layout. Looked for {', '.join(ILSVRC_2012.needed)}; the same of"
        f" ILSVRC-2010; {BINARY} or {PYTHON}; Kaggle's {KAGGLE_PICTURES}/, also in a zip; a folder per class"
        " under train/ and val/, also in a zip; a tar per class."
        " Name the folder that holds them as data_root in machine.yaml."
    )
