"""Raw files to index: true labels and offsets, the same bytes anywhere, and mistakes named."""

import functools
import io
import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.io
from archives import Build, Members, official_files, refused, tar, unpack
from tiny import hashes, untar

from alexnet.core.errors import UserError
from alexnet.core.files import read_parquet, write_table
from alexnet.ingest.sources import ilsvrc
from alexnet.ingest.sources.archives import scan_tar
from alexnet.ingest.sources.ilsvrc import ILSVRC_2012
from alexnet.ingest.stored import read_bytes
from alexnet.sample.files import GROUND_TRUTH, META
from alexnet.sample.pictures import CLASSES
from alexnet.store.index import (
    COLUMNS,
    NO_PICTURES,
    SOURCE,
    TABLE,
    Index,
    read_classes,
    read_index,
    write_index,
)

TRAIN_TAR, VAL_TAR, DEVKIT = ILSVRC_2012.needed
WNIDS = sorted(CLASSES[number].wnid for number in range(4))


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the official files; not to be written to."""
    root = tmp_path_factory.mktemp("official") / "raw"
    return official_files(root, classes=4, train_per_class=5, val_per_class=3)


@pytest.fixture
def own(official: Path, tmp_path: Path) -> Path:
    """Return a copy of the official files that the test may spoil."""
    return Path(shutil.copytree(official, tmp_path / "own"))


@pytest.fixture
def folders(official: Path, tmp_path: Path) -> Path:
    """Return the same pictures in a folder per class."""
    found = truth(official).items()
    pictures = {f"{split}/{wnid}/{name}": content for (split, name), (wnid, content) in found}
    return unpack(tmp_path / "folders", pictures)


def class_tars(root: Path) -> dict[str, Members]:
    return {name: untar(content) for name, content in untar((root / TRAIN_TAR).read_bytes())}


def write_class_tars(root: Path, tars: dict[str, Members]) -> None:
    content = tar([(name, tar(members)) for name, members in tars.items()])
    (root / TRAIN_TAR).write_bytes(content)


def test_a_devkit_that_unpacks_to_too_much_is_refused(
    own: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ilsvrc, "MAX_DEVKIT_BYTES", 5_000_000)
    members = devkit(own)
    write_devkit(own, {**members, "zeros": bytes(10_000_000)})
    refused(build, own, DEVKIT, "unpacks to more than 5,000,000 bytes")
    content = io.BytesIO()
    scipy.io.savemat(content, {"zeros": np.zeros(2_000_000)}, do_compression=True)  # type: ignore[arg-type]
    write_devkit(own, {**members, META: content.getvalue()})
    refused(build, own, DEVKIT, "unpacks to more than 5,000,000 bytes")


def write_devkit(root: Path, members: dict[str, bytes]) -> None:
    (root / DEVKIT).write_bytes(tar(members.items(), "w:gz"))


def devkit(root: Path) -> dict[str, bytes]:
    return dict(untar((root / DEVKIT).read_bytes()))


def wnid_of_id(root: Path) -> dict[int, str]:
    meta = scipy.io.loadmat(io.BytesIO(devkit(root)[META]), squeeze_me=True)  # type: ignore[arg-type]
    return {
        int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in meta["synsets"] if row["num_children"] == 0
    }


def truth(root: Path) -> dict[tuple[str, str], tuple[str, bytes]]:
    """Return WNID and content of every picture by split and name, read without the project's index."""
    found: dict[tuple[str, str], tuple[str, bytes]] = {}
    for class_tar, members in class_tars(root).items():
        found |= {("train", name): (class_tar.removesuffix(".tar"), content) for name, content in members}
    wnids = wnid_of_id(root)
    ids = [int(line) for line in devkit(root)[GROUND_TRUTH].split()]
    for name, content in untar((root / VAL_TAR).read_bytes()):
        number = int(name.removeprefix("ILSVRC2012_val_").removesuffix(".JPEG"))
        found["val", name] = (wnids[ids[number - 1]], content)
    return found


def listed(root: Path, index: Index) -> dict[tuple[str, str], tuple[str, bytes]]:
    """Return the same by the index."""
    wnids = index.classes["wnid"]
    rows: Iterator[Any] = index.pictures.itertuples()
    return {(row.split, row.name): (wnids[row.label], read_bytes(root, row)) for row in rows}


def written(folder: Path, index: Index) -> dict[str, str]:
    write_index(folder, index)
    return hashes(folder)


# --- truth ----------------------------------------------------------------------------------------


def test_official_labels_are_ranks_of_wnids_not_ids(official: Path, build: Build) -> None:
    by_id = [wnid for _, wnid in sorted(wnid_of_id(official).items())]
    assert by_id != WNIDS, "the fixture must tell the two orders apart"
    index = build(official)
    assert index.classes["wnid"].tolist() == WNIDS
    assert len(index.pictures) == 4 * (5 + 3)
    assert listed(official, index) == truth(official)
    words = {picture_class.wnid: picture_class.words for picture_class in CLASSES}
    assert index.classes["words"].tolist() == [words[wnid] for wnid in WNIDS]


def test_auto_recognises_both_layouts(official: Path, folders: Path, build: Build) -> None:
    assert build(official).layout == "ilsvrc-2012"
    assert build(folders).layout == "folders"
    (folders / DEVKIT).write_bytes(b"")
    # torchvision keeps the kit there, and its labels are not needed.
    assert build(folders).layout == "folders"
    refused(build, folders, TRAIN_TAR, layout="ilsvrc-2012")
    for name in (TRAIN_TAR, VAL_TAR, DEVKIT):
        shutil.copy(official / name, folders / name)
    assert build(folders).layout == "ilsvrc-2012"


def test_rows_are_sorted_and_typed_as_documented(official: Path, build: Build, tmp_path: Path) -> None:
    write_index(tmp_path / "out", build(official))
    found = read_index(tmp_path / "out")
    names = list(zip(found.pictures["split"], found.pictures["name"], strict=True))
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    assert list(found.pictures.columns) == COLUMNS
    assert found.pictures[["label", "offset", "size"]].dtypes.tolist() == [np.int32, np.int64, np.int64]
    assert json.loads((tmp_path / "out" / SOURCE).read_text())["layout"] == "ilsvrc-2012"


def test_awkward_names_of_classes_survive(tmp_path: Path, build: Build) -> None:
    names = ["NA", "null", "one, two", "007", "größe"]
    unpack(tmp_path / "raw", {f"{split}/{name}/1.png": b"x" for split in ("train", "val") for name in names})
    write_index(tmp_path / "out", build(tmp_path / "raw"))
    assert read_index(tmp_path / "out").classes["wnid"].tolist() == sorted(names)
    assert read_classes(tmp_path / "out").index.tolist() == list(range(5))


def test_reading_a_missing_index_says_which_stage_makes_it(tmp_path: Path) -> None:
    for read in (read_index, read_classes):
        with pytest.raises(UserError, match="dvc repro index"):
            read(tmp_path)


# --- subsets --------------------------------------------------------------------------------------


def test_a_number_of_classes_is_a_seeded_choice(official: Path, build: Build) -> None:
    chosen = {seed: build(official, classes=2, seed=seed).classes["wnid"].tolist() for seed in range(8)}
    assert all(len(wnids) == 2 and wnids == sorted(wnids) for wnids in chosen.values())
    assert len({tuple(wnids) for wnids in chosen.values()}) > 1
    assert build(official, classes=2, seed=3).classes["wnid"].tolist() == chosen[3]


@pytest.mark.parametrize("classes", [[WNIDS[3], WNIDS[1]], 2])
def test_chosen_classes_are_labelled_from_zero_and_keep_their_pictures(
    official: Path, build: Build, classes: int | list[str]
) -> None:
    index = build(official, classes=classes)
    wnids = index.classes["wnid"].tolist()
    if isinstance(classes, list):
        assert wnids == sorted(classes)
    expected = {place: found for place, found in truth(official).items() if found[0] in wnids}
    assert listed(official, index) == expected


def test_per_class_counts_in_each_split(official: Path, build: Build) -> None:
    def counts(index: Index) -> set[tuple[str, int, int]]:
        pairs = zip(index.pictures["split"], index.pictures["label"].tolist(), strict=True)
        return {(split, label, count) for (split, label), count in Counter(pairs).items()}

    def names(index: Index) -> set[str]:
        return set(index.pictures["name"])

    two = build(official, per_class=2)
    assert counts(two) == {(split, label, 2) for split in ("train", "val") for label in range(4)}
    four = build(official, per_class=4)
    expected = {(split, label, count) for split, count in (("train", 4), ("val", 3)) for label in range(4)}
    assert counts(four) == expected
    assert names(build(official, per_class=2)) == names(two)
    assert names(build(official, per_class=2, seed=9)) != names(two)
    assert names(build(official, per_class=99)) == names(build(official))


def test_subset_does_not_take_the_first_names(official: Path, build: Build) -> None:
    chosen = {name for seed in range(20) for name in build(official, per_class=1, seed=seed).pictures["name"]}
    assert len(chosen) > 0.9 * len(build(official).pictures)


# --- equality -------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"classes": 3, "per_class": 2}])
def test_the_index_does_not_depend_on_where_the_files_lie(
    official: Path, own: Path, build: Build, tmp_path: Path, changes: dict[str, Any]
) -> None:
    here = written(tmp_path / "here", build(official, **changes))
    there = written(tmp_path / "there", build(own, **changes))
    assert here == there
    assert set(here) == {TABLE, "classes.csv", SOURCE, NO_PICTURES}


def test_the_index_does_not_depend_on_the_order_inside_tars(own: Path, official: Path, build: Build) -> None:
    write_class_tars(own, {name: pics[::-1] for name, pics in reversed(class_tars(own).items())})
    (own / VAL_TAR).write_bytes(tar(untar((own / VAL_TAR).read_bytes())[::-1]))
    columns = ["split", "label", "name", "size"]
    found = build(own).pictures
    assert found[columns].equals(build(official).pictures[columns])
    assert listed(own, build(own)) == truth(official)


def no_scan(path: Path) -> pd.DataFrame:
    raise AssertionError(f"{path} was scanned again")


def test_tars_are_scanned_once(
    own: Path, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = written(tmp_path / "first", build(own))
    monkeypatch.setattr(ilsvrc, "scan_tar", functools.wraps(scan_tar)(no_scan))
    assert written(tmp_path / "second", build(own)) == first
    assert len(build(own, per_class=1).pictures) == 8
    about = (own / TRAIN_TAR).stat()
    os.utime(own / TRAIN_TAR, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    with pytest.raises(AssertionError, match=f"{TRAIN_TAR} was scanned again"):
        build(own)


def test_what_an_earlier_version_remembered_is_no_hindrance(own: Path, build: Build, tmp_path: Path) -> None:
    first = written(tmp_path / "first", build(own))
    (table,) = (tmp_path / "state").glob("*.parquet")
    write_table(table, read_parquet(table).drop(columns=["reader"]))
    assert written(tmp_path / "second", build(own)) == first


# --- mistakes -------------------------------------------------------------------------------------


def test_no_data_root(tmp_path: Path, build: Build) -> None:
    refused(build, tmp_path / "nowhere", str(tmp_path / "nowhere"), "no such folder", "machine.yaml")
    (tmp_path / "file").write_bytes(b"")
    refused(build, tmp_path / "file", str(tmp_path / "file"), "is a file", "machine.yaml")


def test_nothing_recognisable(tmp_path: Path, build: Build) -> None:
    refused(build, tmp_path, "Found nothing.")
    for name in ("Train", "Val", *"abcdefg"):
        (tmp_path / name).mkdir()
    (tmp_path / "cat.jpg").write_bytes(b"")
    refused(build, tmp_path, "Found Train/, Val/, a/, b/, c/, d/, e/, f/ and 2 more.")
    refused(build, tmp_path, str(tmp_path), "no known layout", TRAIN_TAR, VAL_TAR, DEVKIT, "train/ and val/")


@pytest.mark.parametrize("name", [TRAIN_TAR, VAL_TAR])
def test_a_tar_cut_anywhere(own: Path, build: Build, name: str) -> None:
    whole = (own / name).read_bytes()
    # Behind the last picture's blocks come only zeros, which nobody misses.
    used = len(whole.rstrip(b"\0")) // 512 * 512
    cuts = [whole[:end] for end in (0, 100, 700, *(used * tenth // 10 for tenth in range(1, 11)))]
    for content in (*cuts, b"<html>not found</html>", np.random.default_rng(0).bytes(5000), bytes(10240)):
        (own / name).write_bytes(content)
        refused(build, own, str(own / name), "Download it again")


def test_a_broken_devkit(own: Path, build: Build) -> None:
    whole = (own / DEVKIT).read_bytes()
    cuts = [whole[: len(whole) * tenth // 10] for tenth in range(10)]
    rng = np.random.default_rng(0)
    changed = []
    for _ in range(40):
        spoilt = bytearray(whole)
        for place in rng.integers(10, len(whole), 20):
            spoilt[place] = rng.integers(256)
        changed.append(bytes(spoilt))
    for content in [*cuts, *changed]:
        (own / DEVKIT).write_bytes(content)
        refused(build, own, str(own / DEVKIT))


def mat(**content: Any) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, content)  # type: ignore[arg-type]
    return file.getvalue()


def other_leaf(kit: dict[str, bytes]) -> None:
    table = scipy.io.loadmat(io.BytesIO(kit[META]))["synsets"]  # type: ignore[arg-type]
    table["ILSVRC2012_ID"][0, 0][...] = 77
    kit[META] = mat(synsets=table)


OTHER_YEAR = np.array([(1, "n1"), (2, "n2")], dtype=[("ILSVRC2010_ID", object), ("WNID", object)])


Spoil = Callable[[Path], object]


def edit(
    read: Callable[[Path], Any], write: Callable[[Path, Any], object], change: Callable[[Any], object]
) -> Spoil:
    def spoil(root: Path) -> None:
        content = read(root)
        change(content)
        write(root, content)

    return spoil


edit_train = functools.partial(edit, class_tars, write_class_tars)
edit_val = functools.partial(
    edit,
    lambda root: untar((root / VAL_TAR).read_bytes()),
    lambda root, pictures: (root / VAL_TAR).write_bytes(tar(pictures)),
)
edit_kit = functools.partial(edit, devkit, write_devkit)
edit_truth = functools.partial(
    edit,
    lambda root: devkit(root)[GROUND_TRUTH].split(),
    lambda root, lines: write_devkit(root, devkit(root) | {GROUND_TRUTH: b"\n".join(lines)}),
)


def add_to_train(wnid: str, name: str) -> Spoil:
    return edit_train(lambda tars: tars.setdefault(f"{wnid}.tar", []).append((name, b"x")))


def add_to_val(name: str) -> Spoil:
    return edit_val(lambda pictures: pictures.append((name, b"x")))


def renumber(number: int) -> Spoil:
    name = f"ILSVRC2012_val_{number:08d}.JPEG"
    return edit_val(lambda pictures: pictures.append((name, pictures.pop(2)[1])))


def link_in_val(root: Path) -> None:
    link = tarfile.TarInfo("ILSVRC2012_val_00000013.JPEG")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(root / VAL_TAR, "a") as tar:
        tar.addfile(link)


# How one of the official files is spoilt, and what the refusal says of it.
IN_TRAIN, IN_VAL, IN_KIT = (f"/{name}: " for name in (TRAIN_TAR, VAL_TAR, DEVKIT))
ONE, OTHER = WNIDS[1:3]
SPOILT: dict[str, tuple[Spoil, *tuple[str, ...]]] = {
    "no meta": (edit_kit(lambda kit: kit.pop(META)), IN_KIT, META, "missing"),
    "no truth": (edit_kit(lambda kit: kit.pop(GROUND_TRUTH)), IN_KIT, GROUND_TRUTH, "missing"),
    "other boxes": (edit_kit(lambda kit: kit.update({META: mat(boxes=np.arange(3))})), IN_KIT),
    "other synsets": (edit_kit(lambda kit: kit.update({META: mat(synsets=OTHER_YEAR)})), IN_KIT),
    "an ID of 77": (edit_kit(other_leaf), IN_KIT, "not 1 to 4"),
    "a line too few": (edit_truth(list.pop), IN_VAL, "12 pictures", "11 lines"),
    "a class missing": (edit_train(lambda tars: tars.pop(f"{ONE}.tar")), IN_TRAIN, f"no {ONE}.tar"),
    "a class too many": (add_to_train("n1", "n1_1.JPEG"), IN_TRAIN, "n1.tar", "no class of the devkit"),
    "another class": (add_to_train(ONE, f"{OTHER}_9.JPEG"), IN_TRAIN, f"{ONE}.tar holds {OTHER}_9.JPEG"),
    "twins": (add_to_train(ONE, f"{ONE}_1.JPEG"), IN_TRAIN, f"two pictures are named {ONE}_1.JPEG"),
    "twins of val": (
        add_to_val("ILSVRC2012_val_00000001.JPEG"),
        IN_VAL + "two pictures are named ILSVRC2012_val_00000001.JPEG",
    ),
    "number 0": (renumber(0), IN_VAL, "12 pictures"),
    "a hole": (renumber(13), IN_VAL, "12 pictures"),
    "another year": (add_to_val("ILSVRC2010_val_00000013.JPEG"), IN_VAL, "ILSVRC2010_val_00000013.JPEG"),
    "a link": (link_in_val, IN_VAL, "ILSVRC2012_val_00000013.JPEG", "no plain file"),
}
for name in ILSVRC_2012.needed:
    missing = functools.partial(lambda name, root: (root / name).unlink(), name)
    SPOILT[f"no {name}"] = (missing, f": {name} missing", "https://image-net.org")
for line in (b"0", b"5", b"-1", b"one", b"1.5"):
    added = edit_truth(functools.partial(lambda line, lines: lines.insert(6, line), line))
    what = f"ground_truth.txt line 7: found {line.decode()}; allowed: 1 to 4"
    SPOILT[f"the line {line.decode()}"] = (added, f"/{DEVKIT}/", what)
for name in ("../x.JPEG", "/etc/x.JPEG", "a/../../x.JPEG"):
    SPOILT[f"train {name}"] = (add_to_train(ONE, name), IN_TRAIN, name)
    SPOILT[f"val {name}"] = (add_to_val(name), IN_VAL, name)


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_spoilt_official_file_is_named(own: Path, build: Build, spoilt: str) -> None:
    spoil, *parts = SPOILT[spoilt]
    spoil(own)
    refused(build, own, str(own), *parts)


def test_folders_without_what_is_needed(folders: Path, build: Build) -> None:
    (folders / "train" / WNIDS[2]).rename(folders / "elsewhere")
    refused(build, folders, str(folders), f"val/{WNIDS[2]} has no training pictures")
    shutil.rmtree(folders / "val")
    refused(build, folders, "data.held_out", "no validation pictures", layout="folders", held_out=0.0)
    for path in (folders / "train").rglob("*.JPEG"):
        path.with_suffix(".txt").write_bytes(b"no picture")
        path.unlink()
    refused(build, folders, str(folders), "no pictures in train/", ".jpeg")
    shutil.rmtree(folders / "train")
    (folders / "Train").mkdir(exist_ok=True)
    refused(build, folders, str(folders), "no train/ folder; found Train/", layout="folders")


def test_classes_that_are_not_there(official: Path, build: Build) -> None:
    refused(build, official, "data.classes", "n12345678", WNIDS[0], classes=[WNIDS[0], "n12345678"])
    refused(build, official, "data.classes", "found 5", "up to 4", classes=5)


def test_a_changed_picture_changes_the_index(folders: Path, build: Build, tmp_path: Path) -> None:
    before = written(tmp_path / "before", build(folders))
    assert written(tmp_path / "same", build(folders)) == before
    folder = folders / "train" / WNIDS[1]
    changes: list[Callable[[], object]] = [
        lambda: shutil.copy(folder / f"{WNIDS[1]}_1.JPEG", folder / "new.JPEG"),
        lambda: (folder / "new.JPEG").write_bytes(b"another size"),
        lambda: (folder / f"{WNIDS[1]}_1.JPEG").unlink(),
    ]
    for change in changes:
        change()
        after = written(tmp_path / "after", build(folders))
        assert after[TABLE] != before[TABLE]
        before = after
