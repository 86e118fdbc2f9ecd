"""The layouts raw pictures come in, read in place; each gives classes and pictures.

Labels are the ranks of the class names (WNIDs) in sorted order in every layout, so that a picture
has one label however it came. ILSVRC IDs have another order and are translated.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from alexnet.core.errors import UserError
from alexnet.core.places import SAMPLE
from alexnet.core.terminal import say
from alexnet.ingest.raw_files import is_remote, is_there, reaching
from alexnet.ingest.sources.cifar10 import BINARY, PYTHON, list_cifar10
from alexnet.ingest.sources.class_tars import list_class_tars, tars_of_classes
from alexnet.ingest.sources.folders import KAGGLE_PICTURES, find_classes, find_splits, list_folders
from alexnet.ingest.sources.huggingface import huggingface_tars, list_huggingface
from alexnet.ingest.sources.ilsvrc import ILSVRC_2010, ILSVRC_2012, list_official
from alexnet.ingest.sources.listing import Listing, Scan, names_in
from alexnet.ingest.sources.parquet import list_parquet, parquet_files
from alexnet.ingest.sources.webdataset import has_shards, list_webdataset

FOLDERS = ("kaggle", "folders")
RELEASES = {release.layout: release for release in (ILSVRC_2012, ILSVRC_2010)}
READERS: dict[str, Callable[[Path, Scan], Listing]] = {
    **{layout: partial(list_official, release=release) for layout, release in RELEASES.items()},
    **{layout: partial(list_folders, layout=layout) for layout in FOLDERS},
    "class-tars": list_class_tars,
    "cifar-10": list_cifar10,
    "huggingface-tars": list_huggingface,
    "parquet": list_parquet,
    "webdataset": list_webdataset,
}


def list_source(root: Path, layout: str, scan: Scan) -> Listing:
    """List the pictures below `root`.

    Args:
        layout: ``auto`` recognises it by what is there.
        scan: lists one archive by the reader it is given; may remember earlier scans.

    Raises:
        UserError: files are missing, cannot be read, contradict each other, or no layout is recognised.
    """
    try:
        with reaching(root):
            return _listed(root, layout, scan)
    except OSError as error:
        raise UserError(f"{error.filename or root}: cannot be read: {error.strerror or error}") from None


def _listed(root: Path, layout: str, scan: Scan) -> Listing:
    if not root.is_dir():
        made = " or make the generated sample (dvc repro sample)" if str(root) == str(SAMPLE) else ""
        what = "is a file" if root.exists() else "no such folder"
        raise UserError(
            f"data_root {root}: {what}. Name the folder with the raw files in machine.yaml{made}."
        )
    if not is_remote(root):
        # A search for files by a pattern would find none where the folder cannot be read.
        with os.scandir(root / "."):
            pass
    if layout == "auto":
        layout = _recognise(root, scan)
    if is_remote(root):
        if layout in FOLDERS:
            raise UserError(
                f"data_root {root}: found data.layout: {layout}, whose files are read one by one; allowed"
                " behind a URL: layouts of tars or parquet files"
            )
        say(f"index: the files of {root} are read through once over the network, and again by preprocess")
    return READERS[layout](root, scan)


def _recognise(root: Path, scan: Scan) -> str:
    there = {
        layout: [name for name in release.needed if is_there(root / name)]
        for layout, release in RELEASES.items()
    }
    if all(there.values()):
        raise UserError(
            f"data_root {root}: files of ILSVRC-2012 and of ILSVRC-2010"
            f" ({', '.join(name for names in there.values() for name in names)}), whose IDs mean"
            " different classes. Keep those of one year there, or set data.layout."
        )
    possible = () if is_remote(root) else FOLDERS

    def splits_found(in_zip: bool) -> str | None:
        return next((layout for layout in possible if find_splits(root, scan, layout, in_zip)), None)

    def classes_found(in_zip: bool) -> bool:
        return bool(possible and find_classes(root, scan, in_zip))

    in_folders = splits_found(in_zip=False)
    for layout, names in there.items():
        # torchvision keeps the development kit beside its folders; others may keep it beside a zip of them.
        is_whole = set(names) == set(RELEASES[layout].needed)
        if is_whole or (
            names and not (in_folders or classes_found(in_zip=False) or splits_found(in_zip=True))
        ):
            if in_folders:
                say(f"index: {root} holds both {layout} and {in_folders}; using {layout}")
            return layout
    if any((root / name).exists() for name in (BINARY, PYTHON)):
        return "cifar-10"
    in_shards = any(next((root / "train").glob(kind), None) for kind in ("*.parquet", "*.tar", "*.tar.gz"))
    if in_folders and not in_shards:
        return in_folders
    for layout, is_there_too in (
        ("huggingface-tars", huggingface_tars),
        ("parquet", parquet_files),
        ("webdataset", has_shards),
    ):
        if is_there_too(root):
            return layout
    if in_folders:
        return in_folders
    # An archive beside folders of pictures may be what they were unpacked from.
    if classes_found(in_zip=False):
        return "folders"
    if tars_of_classes(root):
        return "class-tars"
    # Zips are read last: they may be of something else, or damaged.
    if in_zip := splits_found(in_zip=True):
        return in_zip
    if classes_found(in_zip=True):
        return "folders"
    raise UserError(
        f"data_root {root}: no known layout. Found {names_in(root)}. Looked for"
        f" {', '.join(ILSVRC_2012.needed)}; the same of ILSVRC-2010; {BINARY} or {PYTHON}; Kaggle's"
        f" {KAGGLE_PICTURES}/, also in a zip; a folder per class under train/ and val/ or without a split,"
        " also in a zip; Hugging Face's tars or parquet files; WebDataset's shards; a tar per class."
        " Name the folder that holds them as data_root in machine.yaml."
    )
