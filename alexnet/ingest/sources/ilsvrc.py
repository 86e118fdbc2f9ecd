"""The official tars and development kits of ILSVRC-2010 and ILSVRC-2012."""

import gzip
import io
import struct
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd
from scipy.io import loadmat

from alexnet.core.errors import UserError
from alexnet.ingest.raw_files import is_there, open_whole
from alexnet.ingest.sources.archives import AGAIN, scan_tar
from alexnet.ingest.sources.listing import NO_CLASS, Listing, Scan, as_pictures, refuse_duplicates

# The published kits unpack to less than a tenth of this.
MAX_DEVKIT_BYTES = 300_000_000
# Bytes before the first part of a MATLAB file of version 5, and the kind of a part that is deflated.
_MAT_HEADER, _MAT_PACKED = 128, 15


@dataclass(frozen=True)
class Release:
    """The names of one year's files.

    Attributes:
        test: the test pictures' tar, by any of its names.
        test_truth: whether the test labels are public; 2012's are not.
        patches: better copies of some pictures, which 2010 offers beside the tars.
        devkit_data: the folder inside the development kit.
    """

    year: int
    train: str
    val: str
    test: tuple[str, ...]
    test_truth: bool
    patches: str | None
    devkit: str
    devkit_data: str

    @property
    def layout(self) -> str:
        return f"ilsvrc-{self.year}"

    @property
    def needed(self) -> tuple[str, str, str]:
        return self.train, self.val, self.devkit

    def truth(self, split: str) -> str:
        return f"ILSVRC{self.year}_{'validation' if split == 'val' else split}_ground_truth.txt"


ILSVRC_2012 = Release(
    year=2012,
    train="ILSVRC2012_img_train.tar",
    val="ILSVRC2012_img_val.tar",
    test=("ILSVRC2012_img_test_v10102019.tar", "ILSVRC2012_img_test.tar"),
    test_truth=False,
    patches=None,
    devkit="ILSVRC2012_devkit_t12.tar.gz",
    devkit_data="ILSVRC2012_devkit_t12/data/",
)
ILSVRC_2010 = Release(
    year=2010,
    train="ILSVRC2010_images_train.tar",
    val="ILSVRC2010_images_val.tar",
    test=("ILSVRC2010_images_test.tar",),
    test_truth=True,
    patches="patch_images.tar",
    devkit="ILSVRC2010_devkit-1.0.tar.gz",
    devkit_data="devkit-1.0/data/",
)


def list_official(root: Path, scan: Scan, release: Release) -> Listing:
    """List the official files of `release` in `root`."""
    missing = [name for name in release.needed if not is_there(root / name)]
    if missing:
        raise UserError(
            f"data_root {root}: {', '.join(missing)} missing; needed are {', '.join(release.needed)}."
            f" They come from https://image-net.org (ILSVRC {release.year})."
        )
    devkit = Devkit.read(root / release.devkit, release)
    classes = devkit.synsets.sort_values("wnid", ignore_index=True)
    parts = [_class_tars(root / release.train, scan, classes)]
    for split, tar, ids in _numbered_tars(root, release, devkit):
        members = _without_folders(scan(root / tar, scan_tar))
        stem, truth = f"ILSVRC{release.year}_{split}_", release.truth(split)
        wnids = devkit.classes_of(root / tar, members["name"], stem, ids, truth)
        parts.append(as_pictures(members, split, tar, pd.Series(wnids, dtype=object)))
    pictures = pd.concat(parts, ignore_index=True)
    if release.patches and is_there(root / release.patches):
        pictures = _patched(root / release.patches, scan, pictures)
    classes = classes.rename(columns={"id": "ilsvrc_id"})[["wnid", "words", "ilsvrc_id"]]
    return Listing(release.layout, classes, pictures)


@dataclass(frozen=True)
class Devkit:
    """The classes (id, wnid, words) in ID order, and the ground truth of the splits that have one."""

    path: Path
    synsets: pd.DataFrame
    truths: dict[str, bytes]

    @classmethod
    def find(cls, root: Path, release: Release) -> Self | None:
        """Read the kit in `root`, its archive or its unpacked folder; None without one."""
        if (root / release.devkit).is_file():
            return cls.read(root / release.devkit, release)
        folder = root / release.devkit_data
        return cls.read(folder, release) if (folder / "meta.mat").is_file() else None

    @classmethod
    def read(cls, path: Path, release: Release) -> Self:
        try:
            contents = _unpacked_kit(path, release)
            for other in (ILSVRC_2010, ILSVRC_2012):
                if other != release and other.devkit_data + "meta.mat" in contents:
                    raise UserError(
                        f"{path}: holds the devkit of ILSVRC-{other.year}, needed is that of {release.year};"
                        " IDs mean other classes in each"
                    )
            meta = _load_mat(contents[release.devkit_data + "meta.mat"])["synsets"]
            synsets = pd.DataFrame(
                {
                    "id": [int(value) for value in meta[f"ILSVRC{release.year}_ID"]],
                    "wnid": [str(value) for value in meta["WNID"]],
                    "words": [str(value) for value in meta["words"]],
                    "children": [int(value) for value in meta["num_children"]],
                }
            )
            truths = {"val": contents[release.devkit_data + release.truth("val")]}
        except KeyError as error:
            raise UserError(f"{path}: {error} missing inside; is it the devkit of {release.year}?") from None
        except UserError:
            raise
        except Exception as error:
            # The readers of tars and of MATLAB's files raise nearly anything.
            raise UserError(f"{path}: cannot be read ({error}). {AGAIN}") from None
        # meta.mat also lists inner nodes of WordNet; only its leaves are classes.
        leaves = synsets[synsets["children"] == 0].sort_values("id", ignore_index=True)
        if leaves["id"].tolist() != list(range(1, len(leaves) + 1)):
            raise UserError(
                f"{path}: the leaves' ILSVRC{release.year}_IDs are not 1 to {len(leaves)}. Another devkit?"
            )
        if release.devkit_data + release.truth("test") in contents:
            truths["test"] = contents[release.devkit_data + release.truth("test")]
        return cls(path, leaves, truths)

    def ids(self, path: Path, content: bytes) -> list[int]:
        """Return the IDs in a ground truth, one per line, checked to be classes."""
        lines = content.split()
        ids = [int(line) if line.isdigit() else 0 for line in lines]
        for number, (line, value) in enumerate(zip(lines, ids, strict=True), 1):
            if not 1 <= value <= len(self.synsets):
                found = line.decode(errors="replace")
                raise UserError(f"{path} line {number}: found {found}; allowed: 1 to {len(self.synsets)}")
        return ids

    def classes_of(
        self, where: Path, names: pd.Series, stem: str, ids: list[int] | None, truth: object
    ) -> list[str]:
        """Return the class of each picture of `names`, number n (from 1 on) being of class `ids[n - 1]`.

        Without IDs the classes are not known. `truth` is what errors call the place of the IDs.
        """
        refuse_duplicates(where, names)
        numbers = names.str.extract(rf"(?i)^{stem}(\d{{8}})\.jpe?g$")[0]
        if numbers.isna().any():
            strange = names[numbers.isna()].iloc[0]
            raise UserError(f"{where}: found {strange}; allowed: {stem}00000001.JPEG and so on")
        if numbers.empty:
            raise UserError(f"{where}: no pictures. {AGAIN}")
        found = numbers.astype(int)
        expected = len(found) if ids is None else len(ids)
        if sorted(found) != list(range(1, expected + 1)):
            there = f"{where}: {len(found)} pictures from number {found.min()} to {found.max()}"
            if ids is None:
                raise UserError(f"{there}; allowed: from 1 on without a hole. {AGAIN}")
            raise UserError(
                f"{there}, but {truth} has {expected} lines. One of them is cut short or of another release."
            )
        if ids is None:
            return [NO_CLASS] * len(found)
        wnids = self.synsets["wnid"].tolist()
        return [wnids[ids[number - 1] - 1] for number in found]


def _unpacked_kit(path: Path, release: Release) -> dict[str, bytes]:
    """Return the files of a development kit, an archive or the folder of its data, by their names inside."""
    if path.is_dir():
        files = [file for file in path.iterdir() if file.is_file() and file.suffix in (".mat", ".txt")]
        _refuse_bomb(sum(file.stat().st_size for file in files))
        return {release.devkit_data + file.name: file.read_bytes() for file in files}
    # Read to its end, the compressed file is checked against its own CRC.
    with open_whole(path) as file, gzip.open(file) as packed:
        content = packed.read(MAX_DEVKIT_BYTES + 1)
    _refuse_bomb(len(content))
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        members = [member for member in tar if member.isreg()]
    places = {file.name.removeprefix("./"): (file.offset_data, file.size) for file in members}
    return {name: content[start : start + size] for name, (start, size) in places.items()}


def _refuse_bomb(size: int) -> None:
    if size > MAX_DEVKIT_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_DEVKIT_BYTES:,} bytes")


def _load_mat(content: bytes) -> dict[str, Any]:
    """Return the variables of a MATLAB file (version 5), once it is known what its parts unpack to."""
    place, size = _MAT_HEADER, 0
    while place + 8 <= len(content):
        kind, length = struct.unpack_from("<II", content, place)
        place += 8
        if kind == _MAT_PACKED:
            unpacker = zlib.decompressobj()
            size += len(unpacker.decompress(content[place : place + length], MAX_DEVKIT_BYTES))
            _refuse_bomb(size + bool(unpacker.unconsumed_tail) * MAX_DEVKIT_BYTES)
        place += length
    # scipy's stubs know paths alone, scipy open files as well.
    return loadmat(io.BytesIO(content), squeeze_me=True)  # type: ignore[arg-type]


def _class_tars(path: Path, scan: Scan, classes: pd.DataFrame) -> pd.DataFrame:
    members = scan(path, scan_tar)
    # Some copies have a folder around the tars.
    wnids = members["container"].str.rpartition("/")[2].str.removesuffix(".tar")
    present = set(wnids.unique())
    absent = sorted(set(classes["wnid"]) - present)
    unknown = sorted(present - set(classes["wnid"]))
    if absent or unknown:
        what = f"no {absent[0]}.tar" if absent else f"{unknown[0]}.tar, which is no class of the devkit"
        count = len(absent) + len(unknown)
        raise UserError(f"{path}: {what} ({count} such classes). {AGAIN}")
    members = _without_folders(members)
    foreign = members[members["name"].str.partition("_")[0] != wnids]
    if len(foreign):
        first = foreign.iloc[0]
        raise UserError(f"{path}: {first['container']} holds {first['name']}, named for another class")
    refuse_duplicates(path, members["name"])
    return as_pictures(members, "train", path.name, wnids)


def _without_folders(members: pd.DataFrame) -> pd.DataFrame:
    # 2010's tars of val and test have a folder inside, and so has 2012's with the test pictures.
    return members.assign(name=members["name"].str.rpartition("/")[2])


def _numbered_tars(root: Path, release: Release, devkit: Devkit) -> list[tuple[str, str, list[int] | None]]:
    """Return split, tar and IDs in the order of the files' numbers, of each numbered split that is there.

    The IDs are None where the labels are not public.
    """
    val = ("val", release.val, devkit.ids(devkit.path / release.truth("val"), devkit.truths["val"]))
    test = next((name for name in release.test if is_there(root / name)), None)
    if not release.test_truth:
        return [val, ("test", test, None)] if test else [val]
    name = release.truth("test")
    path, content = devkit.path / name, devkit.truths.get("test")
    # A separate download, which people put beside the tars or into the devkit's folder.
    for other in (root / release.devkit_data / name, root / name):
        if other.is_file():
            path, content = other, other.read_bytes()
    if (test is None) != (content is None):
        there, lacking = (test, name) if test else (name, release.test[0])
        raise UserError(
            f"data_root {root}: {there} is there, but {lacking} is not. Add it, or remove the other to"
            " do without the test split."
        )
    if test is None or content is None:
        return [val]
    return [val, ("test", test, devkit.ids(path, content))]


def _patched(path: Path, scan: Scan, pictures: pd.DataFrame) -> pd.DataFrame:
    """Let the pictures in `path` (…/SPLIT/NAME) take the place of those of the same name."""
    members = scan(path, scan_tar)
    places = members["name"].str.extract(r"(?:^|/)(?P<split>train|val|test)/(?P<name>[^/]+\.JPEG)$")
    patches = places.assign(offset=members["offset"], size=members["size"]).dropna()
    patches = patches[patches["split"].isin(pictures["split"].unique())].set_index(["split", "name"])
    pictures = pictures.set_index(["split", "name"])
    unknown = patches.index.difference(pictures.index)
    if len(unknown):
        raise UserError(f"{path}: {'/'.join(unknown[0])} takes the place of no picture")
    pictures.loc[patches.index, ["offset", "size"]] = patches[["offset", "size"]]
    pictures.loc[patches.index, "path"] = path.name
    return pictures.reset_index()
