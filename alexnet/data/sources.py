"""The layouts raw pictures come in, read in place; each gives classes and pictures.

Labels are the ranks of the class names (WNIDs) in sorted order in every layout, so that a picture
has one label however it came. ILSVRC2012_IDs have another order and are translated.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.io import loadmat

from alexnet.errors import UserError

TRAIN_TAR = "ILSVRC2012_img_train.tar"
VAL_TAR = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
WHERE_FROM = "They come from https://image-net.org/download-images.php (ILSVRC 2012, task 1 and 2)."
PICTURE_SUFFIXES = (".jpeg", ".jpg", ".png")

ScanTar = Callable[[Path], pd.DataFrame]


@dataclass(frozen=True)
class Listing:
    """What a source holds.

    Attributes:
        layout: ``ilsvrc-2012`` or ``folders``.
        classes: a row per class in label order: wnid, words.
        pictures: a row per picture: split, wnid, name, path (relative to the root), offset and
            size in bytes inside that file.
    """

    layout: str
    classes: pd.DataFrame
    pictures: pd.DataFrame


def list_source(root: Path, layout: str, scan_tar: ScanTar) -> Listing:
    """List the pictures below `root`.

    Args:
        layout: ``auto`` recognises it by what is there.
        scan_tar: gives the members of a tar as `scan_members` does; may remember earlier scans.

    Raises:
        UserError: files are missing, contradict each other, or no layout is recognised.
    """
    if not root.is_dir():
        raise UserError(
            f"data_root {root}: no such folder. Name the folder with the raw files in machine.yaml."
        )
    if layout == "auto":
        layout = _recognise(root)
    return _ilsvrc_2012(root, scan_tar) if layout == "ilsvrc-2012" else _folders(root)


def _recognise(root: Path) -> str:
    if any((root / name).exists() for name in (TRAIN_TAR, VAL_TAR, DEVKIT)):
        return "ilsvrc-2012"
    if (root / "train").is_dir():
        return "folders"
    raise UserError(
        f"data_root {root}: no known layout. Looked for {TRAIN_TAR}, {VAL_TAR} and {DEVKIT},"
        " or a folder per class under train/ and val/."
        " Name the folder that holds them as data_root in machine.yaml."
    )


# --- official ILSVRC-2012 files -------------------------------------------------------------------


def _ilsvrc_2012(root: Path, scan_tar: ScanTar) -> Listing:
    missing = [name for name in (TRAIN_TAR, VAL_TAR, DEVKIT) if not (root / name).is_file()]
    if missing:
        raise UserError(
            f"data_root {root}: {', '.join(missing)} missing; needed are"
            f" {TRAIN_TAR}, {VAL_TAR} and {DEVKIT}. {WHERE_FROM}"
        )
    synsets, ground_truth = _read_devkit(root / DEVKIT)
    classes = synsets.sort_values("wnid", ignore_index=True)
    pictures = pd.concat(
        [
            _class_tars(root, scan_tar, classes),
            _validation(root, scan_tar, synsets, ground_truth),
        ],
        ignore_index=True,
    )
    return Listing("ilsvrc-2012", classes[["wnid", "words"]], pictures)


def _read_devkit(path: Path) -> tuple[pd.DataFrame, list[int]]:
    """Return the leaf synsets (id, wnid, words) in ID order and the validation IDs in file order."""
    folder = "ILSVRC2012_devkit_t12/data/"
    contents: dict[str, bytes] = {}
    try:
        # Read to its end, the compressed file is checked against its own CRC.
        with gzip.open(path) as packed, tarfile.open(fileobj=io.BytesIO(packed.read()), mode="r:") as tar:
            for name in ("meta.mat", "ILSVRC2012_validation_ground_truth.txt"):
                file = tar.extractfile(folder + name)
                assert file is not None
                contents[name] = file.read()
        meta = _load_mat(contents["meta.mat"])["synsets"]
        synsets = pd.DataFrame(
            {
                "id": [int(value) for value in meta["ILSVRC2012_ID"]],
                "wnid": [str(value) for value in meta["WNID"]],
                "words": [str(value) for value in meta["words"]],
                "children": [int(value) for value in meta["num_children"]],
            }
        )
    except (KeyError, AssertionError) as error:
        raise UserError(f"{path}: {error} missing inside; is it the devkit of task 1 and 2?") from None
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}). Download it again.") from None

    # meta.mat also lists inner nodes of WordNet; only its leaves are classes.
    leaves = synsets[synsets["children"] == 0].sort_values("id", ignore_index=True)
    if leaves["id"].tolist() != list(range(1, len(leaves) + 1)):
        raise UserError(f"{path}: the leaves' ILSVRC2012_IDs are not 1 to {len(leaves)}. Another devkit?")
    lines = contents["ILSVRC2012_validation_ground_truth.txt"].split()
    ids = [int(line) if line.isdigit() else 0 for line in lines]
    for number, value in enumerate(ids, 1):
        if not 1 <= value <= len(leaves):
            raise UserError(
                f"{path}: ILSVRC2012_validation_ground_truth.txt line {number}:"
                f" found {lines[number - 1].decode(errors='replace')}; allowed: 1 to {len(leaves)}"
            )
    return leaves, ids


def _load_mat(content: bytes) -> dict[str, Any]:
    # scipy's stubs know paths alone, scipy open files as well.
    return loadmat(io.BytesIO(content), squeeze_me=True)  # type: ignore[arg-type]


def _class_tars(root: Path, scan_tar: ScanTar, classes: pd.DataFrame) -> pd.DataFrame:
    members = scan_tar(root / TRAIN_TAR)
    wnids = members["container"].str.removesuffix(".tar")
    absent = sorted(set(classes["wnid"]) - set(wnids))
    unknown = sorted(set(wnids) - set(classes["wnid"]))
    if absent or unknown:
        what = f"no {absent[0]}.tar" if absent else f"{unknown[0]}.tar, which is no class of the devkit"
        count = len(absent) + len(unknown)
        raise UserError(f"{root / TRAIN_TAR}: {what} ({count} such classes). Download it again.")
    foreign = members[members["name"].str.split("_").str[0] != wnids]
    if len(foreign):
        first = foreign.iloc[0]
        raise UserError(
            f"{root / TRAIN_TAR}: {first['container']} holds {first['name']}, named for another class"
        )
    _refuse_twins(root / TRAIN_TAR, members["name"])
    return _as_pictures(members, "train", TRAIN_TAR, wnids)


def _validation(
    root: Path, scan_tar: ScanTar, synsets: pd.DataFrame, ground_truth: list[int]
) -> pd.DataFrame:
    members = scan_tar(root / VAL_TAR)
    path = root / VAL_TAR
    numbers = members["name"].str.extract(r"^ILSVRC2012_val_(\d{8})\.JPEG$")[0]
    if numbers.isna().any():
        name = members["name"][numbers.isna()].iloc[0]
        raise UserError(f"{path}: found {name}; allowed: ILSVRC2012_val_00000001.JPEG and so on")
    _refuse_twins(path, members["name"])
    found, expected = numbers.astype(int), len(ground_truth)
    if len(found) != expected or found.min() != 1 or found.max() != expected:
        raise UserError(
            f"{path}: {len(found)} pictures from number {found.min()} to {found.max()}, but the devkit's"
            f" ground truth has {expected} lines. One of the two files is of another release or cut short."
        )
    wnid_of_id = synsets["wnid"].tolist()
    wnids = pd.Series([wnid_of_id[ground_truth[number - 1] - 1] for number in found], dtype=object)
    return _as_pictures(members, "val", VAL_TAR, wnids)


def _as_pictures(members: pd.DataFrame, split: str, path: str, wnids: pd.Series) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "split": split,
            "wnid": wnids,
            "name": members["name"],
            "path": path,
            "offset": members["offset"],
            "size": members["size"],
        }
    )


def _refuse_twins(path: Path, names: pd.Series) -> None:
    twins = names[names.duplicated()]
    if len(twins):
        raise UserError(f"{path}: two pictures are named {twins.iloc[0]}; each name may stand once")


def scan_members(path: Path) -> pd.DataFrame:
    """List the files in a tar, and in the tars inside it, by reading their headers alone.

    Returns:
        A row per file: container (the inner tar's name, or empty), name, offset (in bytes from
        the start of the outer file) and size.

    Raises:
        UserError: the tar is cut short or broken, or a member is neither file nor folder.
    """
    rows: list[tuple[str, str, int, int]] = []
    try:
        with tarfile.open(path, "r:") as outer:
            for member in _members(outer, path):
                if not member.name.endswith(".tar"):
                    rows.append(("", member.name, member.offset_data, member.size))
                    continue
                with tarfile.open(fileobj=outer.extractfile(member), mode="r:") as inner:
                    rows += [
                        (member.name, file.name, member.offset_data + file.offset_data, file.size)
                        for file in _members(inner, path)
                    ]
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"{path}: not a whole tar ({error}). Download it again.") from None
    end = path.stat().st_size
    members = pd.DataFrame(rows, columns=["container", "name", "offset", "size"])
    if len(members) and (members["offset"] + members["size"]).max() > end:
        raise UserError(f"{path}: cut short at {end} bytes. Download it again.")
    if members.empty:
        raise UserError(f"{path}: an empty tar. Download it again.")
    return members


def _members(tar: tarfile.TarFile, path: Path) -> list[tarfile.TarInfo]:
    found = []
    for member in tar:
        member.name = member.name.removeprefix("./")
        if member.isdir():
            continue
        if not member.isreg() or ".." in member.name.split("/") or member.name.startswith("/"):
            raise UserError(f"{path}: found {member.name}, which is no plain file; not read")
        found.append(member)
    return found


# --- a folder per class ---------------------------------------------------------------------------


def _folders(root: Path) -> Listing:
    for split in ("train", "val"):
        if not (root / split).is_dir():
            raise UserError(
                f"data_root {root}: no {split}/ folder; needed are train/ and val/,"
                " a folder per class in each"
            )
    rows = [row for split in ("train", "val") for row in _split_rows(root, split)]
    pictures = pd.DataFrame(rows, columns=["split", "wnid", "name", "path", "offset", "size"])
    train = sorted(set(pictures["wnid"][pictures["split"] == "train"]))
    if not train:
        raise UserError(f"data_root {root}: no pictures in train/ (looked for {', '.join(PICTURE_SUFFIXES)})")
    strangers = sorted(set(pictures["wnid"]) - set(train))
    if strangers:
        raise UserError(f"data_root {root}: val/{strangers[0]} has no training pictures in train/")
    words = [re.sub(r"[_-]+", " ", name) for name in train]
    return Listing("folders", pd.DataFrame({"wnid": train, "words": words}), pictures)


def _split_rows(root: Path, split: str) -> list[tuple[str, str, str, str, int, int]]:
    rows = []
    with os.scandir(root / split) as folders:
        names = sorted(entry.name for entry in folders if entry.is_dir())
    for wnid in names:
        with os.scandir(root / split / wnid) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.lower().endswith(PICTURE_SUFFIXES) and entry.is_file():
                    name = f"{wnid}/{entry.name}"
                    rows.append((split, wnid, name, f"{split}/{name}", 0, entry.stat().st_size))
    return rows
