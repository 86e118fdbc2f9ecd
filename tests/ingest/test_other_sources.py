"""ILSVRC-2010, Kaggle's copy, class tars, CIFAR-10: every label against the class the picture shows."""

import functools
import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.io
from archives import (
    DATA,
    Build,
    Members,
    check_every_label,
    colour,
    official_files,
    pack,
    picture,
    refused,
    tar,
    unpack,
)
from tiny import flip

from alexnet.core.errors import UserError
from alexnet.core.machine import Machine
from alexnet.ingest import selection
from alexnet.ingest.decode import read_picture
from alexnet.ingest.raw_files import parts_of
from alexnet.ingest.sources import trees
from alexnet.ingest.sources.archives import scan_tar, scan_zip
from alexnet.ingest.sources.cifar10 import BATCHES, BINARY, MD5, PYTHON
from alexnet.ingest.sources.ilsvrc import ILSVRC_2010, ILSVRC_2012
from alexnet.ingest.sources.pictures import NOT_UTF8
from alexnet.ingest.stored import BadPictureError, read_bytes
from alexnet.store.index import read_index

# In the order of their IDs, which is not that of the WNIDs.
BY_ID = ["n03", "n01", "n04", "n02"]
WNIDS = sorted(BY_ID)
WORDS = {wnid: f"{wnid} word, other word" for wnid in WNIDS}
TRUTH = {"val": [2, 4, 1, 1, 3, 2], "test": [4, 4, 1, 3, 2]}
TRAINING = {f"train/{wnid}/1.jpg": picture(wnid) for wnid in WNIDS}
IN_FOLDERS = TRAINING | {f"val/{wnid}/1.jpg": picture(wnid) for wnid in WNIDS}


# --- ILSVRC-2010 ----------------------------------------------------------------------------------

RELEASE = ILSVRC_2010


def devkit(year: int = 2010, texts: dict[str, str] | None = None, folder: str = "devkit-1.0/data/") -> bytes:
    fields = [f"ILSVRC{year}_ID", "WNID", "words", "num_children"]
    rows = [(number, wnid, WORDS[wnid], 0) for number, wnid in enumerate(BY_ID, 1)]
    rows += [(5, "n90", "inner node", 2), (6, "n91", "root", 1)]
    table = np.array(rows, dtype=[(field, object) for field in fields])[:, None]
    meta = io.BytesIO()
    scipy.io.savemat(meta, {"synsets": table})  # type: ignore[arg-type]
    texts = {"validation": lines("val")} if texts is None else texts
    members = [
        (folder + f"ILSVRC{year}_{name}_ground_truth.txt", text.encode()) for name, text in texts.items()
    ]
    return gzip.compress(tar([(folder + "meta.mat", meta.getvalue()), *members]))


def lines(split: str) -> str:
    return "".join(f"{number}\n" for number in TRUTH[split])


def numbered(split: str) -> Members:
    return [
        (f"{split}/ILSVRC2010_{split}_{number:08d}.JPEG", picture(BY_ID[id_ - 1], 10 + number))
        for number, id_ in enumerate(TRUTH[split], 1)
    ]


@pytest.fixture
def official(tmp_path: Path) -> Path:
    tars = [(f"{w}.tar", tar([(f"{w}_{n}.JPEG", picture(w, 9 + n)) for n in range(3)])) for w in BY_ID]
    files = {
        RELEASE.train: tar(tars),
        RELEASE.val: tar(numbered("val")[::-1]),
        "ILSVRC2010_images_test.tar": tar(numbered("test")),
        RELEASE.devkit: devkit(),
        "ILSVRC2010_test_ground_truth.txt": lines("test").encode(),
    }
    return unpack(tmp_path / "2010", files)


def test_2010_labels(official: Path, build: Build) -> None:
    assert [BY_ID.index(wnid) for wnid in WNIDS] != [0, 1, 2, 3], "IDs and ranks must differ"
    index = build(official)
    check_every_label(official, index, {"train": 12, "val": 6, "test": 5})
    assert index.classes["words"].tolist() == [WORDS[wnid] for wnid in WNIDS]
    names = index.pictures.query("split == 'test'")["name"].tolist()
    assert names == [f"ILSVRC2010_test_{number:08d}.JPEG" for number in range(1, 6)]
    assert index.layout == "ilsvrc-2010"


@pytest.mark.parametrize("where", ["in the devkit", "in its unpacked folder"])
def test_2010_test_truth_may_lie_with_the_devkit(official: Path, build: Build, where: str) -> None:
    expected = build(official).pictures
    (official / "ILSVRC2010_test_ground_truth.txt").unlink()
    if where == "in the devkit":
        (official / RELEASE.devkit).write_bytes(
            devkit(texts={"validation": lines("val"), "test": lines("test")})
        )
    else:
        (official / "devkit-1.0/data").mkdir(parents=True)
        (official / "devkit-1.0/data/ILSVRC2010_test_ground_truth.txt").write_text(lines("test"))
    assert build(official).pictures.equals(expected)


def test_2010_test_pictures_and_labels_come_together(official: Path, build: Build) -> None:
    tar_name, truth_name = "ILSVRC2010_images_test.tar", "ILSVRC2010_test_ground_truth.txt"
    pictures = (official / tar_name).read_bytes()
    (official / tar_name).unlink()
    refused(build, official, f"{truth_name} is there, but {tar_name} is not")
    (official / truth_name).unlink()
    check_every_label(official, build(official), {"train": 12, "val": 6})
    (official / tar_name).write_bytes(pictures)
    refused(build, official, f"{tar_name} is there, but {truth_name} is not")


def test_2010_patches_take_the_place_of_pictures(official: Path, build: Build) -> None:
    before = build(official)
    patches = [
        ("patch_images/train/n04_1.JPEG", picture("n04", 100)),
        ("patch_images/val/ILSVRC2010_val_00000002.JPEG", picture("n02", 101)),
        ("patch_images/readme.txt", b"x"),
    ]
    (official / "patch_images.tar").write_bytes(tar(patches))
    after = build(official)
    check_every_label(official, after, {"train": 12, "val": 6, "test": 5})
    assert after.pictures[["split", "name", "label"]].equals(before.pictures[["split", "name", "label"]])
    changed = after.pictures[after.pictures["path"] == "patch_images.tar"]
    assert [read_picture(official, row).shape[1] for row in changed.itertuples()] == [100, 101]
    (official / "patch_images.tar").write_bytes(tar([("p/train/n04_77.JPEG", b"x")]))
    refused(build, official, "patch_images.tar: train/n04_77.JPEG takes the place of no picture")


def test_2010_pictures_may_be_gzipped(official: Path, build: Build) -> None:
    content = [(name, gzip.compress(member)) for name, member in numbered("test")]
    (official / "ILSVRC2010_images_test.tar").write_bytes(tar(content))
    check_every_label(official, build(official), {"train": 12, "val": 6, "test": 5})


def test_the_other_years_devkit(official: Path, build: Build) -> None:
    other = devkit(2012, folder="ILSVRC2012_devkit_t12/data/")
    (official / RELEASE.devkit).write_bytes(other)
    refused(build, official, RELEASE.devkit, "devkit of ILSVRC-2012, needed is that of 2010")
    (official / RELEASE.devkit).unlink()
    (official / ILSVRC_2012.devkit).write_bytes(other)
    refused(build, official, "ILSVRC-2012 and of ILSVRC-2010", ILSVRC_2012.devkit, "data.layout")
    refused(build, official, f"{RELEASE.devkit} missing", layout="ilsvrc-2010")


# --- Kaggle and folders ---------------------------------------------------------------------------

SOLUTION = ["n02 1 2 3 4 n02 5 6 7 8", "n04 1 2 3 4", "n01 1 2 3 4", "n03 9 9 9 9"]
COUNTS = {"train": 12, "val": 4, "test": 2}
UNLABELLED = [f"ILSVRC2012_test_{number:08d}.JPEG" for number in (1, 2)]


def kaggle_files() -> dict[str, bytes]:
    top = "ILSVRC/Data/CLS-LOC"
    files = {f"{top}/train/{wnid}/{wnid}_{n}.JPEG": picture(wnid, 9 + n) for wnid in BY_ID for n in range(3)}
    rows = [(f"ILSVRC2012_val_{number:08d}", text) for number, text in enumerate(SOLUTION, 1)]
    files |= {f"{top}/val/{name}.JPEG": picture(text.split()[0], 30) for name, text in rows}
    files |= {f"{top}/test/{name}": picture(name) for name in UNLABELLED}
    files["LOC_val_solution.csv"] = "\n".join(
        ["ImageId,PredictionString", *(f"{name},{text} " for name, text in rows[::-1])]
    ).encode()
    files["LOC_synset_mapping.txt"] = "".join(f"{wnid} {WORDS[wnid]}\n" for wnid in BY_ID).encode()
    return files


Put = Callable[[Path, dict[str, bytes]], Path]
PLACES = pytest.mark.parametrize("put", [unpack, pack], ids=["folder", "zip"])
METHODS = pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])


@METHODS
def test_kaggle_labels_in_folders_and_in_a_zip(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch, method: int
) -> None:
    root = pack(tmp_path / "raw", kaggle_files(), method)
    index = build(root)
    check_every_label(root, index, COUNTS)
    assert set(index.pictures["packing"]) == {"zip"}
    # It is scanned once.
    monkeypatch.setattr(trees, "scan_zip", functools.wraps(scan_zip)(lambda path: pytest.fail("again")))
    assert build(root).pictures.equals(index.pictures)
    plain_root = unpack(tmp_path / "plain", kaggle_files())
    plain = build(plain_root)
    check_every_label(plain_root, plain, COUNTS)
    assert plain.classes["words"].tolist() == [WORDS[wnid] for wnid in WNIDS]
    # As in the official tars, so that both make one store.
    assert "n01_0.JPEG" in set(plain.pictures["name"])
    columns = ["split", "label", "name"]
    assert index.pictures[columns].equals(plain.pictures[columns])
    assert index.classes.equals(plain.classes)


def test_the_members_of_a_zip_may_be_named_from_its_folder(tmp_path: Path, build: Build) -> None:
    files = {f"./{name}": content for name, content in flat(TABLE).items()}
    index = build(pack(tmp_path / "raw", files))
    check_every_label(tmp_path / "raw", index, {"train": 4, "val": 4})


def test_a_zip_of_class_folders_without_val_holds_some_out(
    tmp_path: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"x/{s}/{w}/{n}.png": picture(w) for s in ("train", "test") for w in WNIDS for n in range(8)}
    root = pack(tmp_path / "raw", files, zipfile.ZIP_DEFLATED)
    check_every_label(root, build(root), {"train": 24, "val": 8, "test": 32})
    assert "so 8 of 32 training pictures are held out as val" in capsys.readouterr().out
    check_every_label(root, build(root, held_out=0), {"train": 32, "val": 32})
    assert "held out" not in capsys.readouterr().out


def test_test_pictures_that_become_val_are_sorted_in(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{s}/{w}/{n}.png": picture(w) for s in ("train", "test") for w in WNIDS for n in range(8)}
    root = unpack(tmp_path / "raw", files)
    for changes in ({}, {"per_class": 3}, {"per_class": 3, "classes": 2}):
        pictures = build(root, held_out=0, **changes).pictures
        assert pictures.equals(pictures.sort_values(["split", "name"], ignore_index=True))
        # As drawn before rows were in this order: from test pictures first, then training pictures.
        with monkeypatch.context() as patch:
            patch.setattr(selection, "_with_validation", lambda pictures, *_: pictures)
            drawn = build(root, **changes).pictures.replace({"split": {"test": "val"}})
        assert pictures.equals(drawn.sort_values(["split", "name"], ignore_index=True))


FLAT = TRAINING | {f"val/{n}.jpg": picture(wnid) for n, wnid in enumerate(BY_ID)}
TABLE = "".join(f"{n}.jpg,{wnid}\n" for n, wnid in enumerate(BY_ID))


def flat(table: str) -> dict[str, bytes]:
    return FLAT | {"val.csv": table.encode()}


SPACED = ["car", "car mirror", "car mirror left"]


@pytest.mark.parametrize("flat_train", [False, True])
def test_classes_with_spaces_in_a_csv(tmp_path: Path, build: Build, flat_train: bool) -> None:
    files = {f"train/{'' if flat_train else c + '/'}{n}.jpg": picture(c) for n, c in enumerate(SPACED)}
    files |= {f"val/{n}.jpg": picture(c) for n, c in enumerate(SPACED[::-1])}
    files["val.csv"] = "".join(f"{n}.jpg, {c} \n" for n, c in enumerate(SPACED[::-1])).encode()
    if flat_train:
        files["train.csv"] = "".join(f"{n}.jpg,{c}\n" for n, c in enumerate(SPACED)).encode()
    root = unpack(tmp_path / "raw", files)
    check_every_label(root, build(root), {"train": 3, "val": 3})
    assert build(root).classes["wnid"].tolist() == SPACED
    (root / "val.csv").write_text((root / "val.csv").read_text().replace("car mirror left", "car wheel"))
    refused(build, root, "val/car wheel has no training pictures")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("car\tauto\ncar mirror\tlooking glass\n", {"car": "auto", "car mirror": "looking glass"}),
        ("car  auto, motor car\ncar mirror glass\n", {"car": "auto, motor car", "car mirror": "glass"}),
        # A class without words is no other class's words.
        ("car auto\ncar mirror\n", {"car": "auto"}),
        ("car mirror\t\n\nno class\n", {}),
    ],
)
@pytest.mark.parametrize("layout", ["folders", "class-tars"])
def test_words_of_classes_with_spaces(
    tmp_path: Path, build: Build, text: str, words: dict[str, str], layout: str
) -> None:
    files = {f"{split}/{c}/1.jpg": picture(c) for split in ("train", "val") for c in SPACED}
    if layout == "class-tars":
        files = {f"{c}.tar": tar([(f"{n}.jpg", picture(c)) for n in range(4)]) for c in SPACED}
    root = unpack(tmp_path / "raw", files | {"words.txt": text.encode()})
    assert build(root).classes["words"].tolist() == [words.get(c, c) for c in SPACED]


SPOKEN = ["café", "tea"]


@PLACES
def test_tables_with_a_byte_order_mark(tmp_path: Path, build: Build, put: Put) -> None:
    files = {f"train/{c}/1.jpg": picture(c) for c in SPOKEN} | {"val/1.jpg": picture("café")}
    files |= {"val.csv": "1.jpg,café\n".encode("utf-8-sig"), "words.txt": "tea Tee\n".encode("utf-8-sig")}
    root = put(tmp_path / "raw", files)
    index = build(root)
    check_every_label(root, index, {"train": 2, "val": 1})
    assert index.classes["words"].tolist() == ["café", "Tee"]


@PLACES
@pytest.mark.parametrize("name", ["val.csv", "words.txt"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_tables_in_another_encoding(tmp_path: Path, build: Build, put: Put, name: str, encoding: str) -> None:
    files = {f"train/{c}/{n}.jpg": picture(c) for n, c in enumerate(SPOKEN)}
    files |= {f"val/{n}.jpg": picture(c) for n, c in enumerate(SPOKEN)}
    files["val.csv"] = b"0.jpg,tea\n1.jpg,tea\n"
    root = put(tmp_path / "raw", files | {name: "1.jpg,tea\n0.jpg,café\n".encode(encoding)})
    line = 2 if encoding == "latin-1" else 1
    refused(build, root, f"{root}", f"/{name} line {line}: not in UTF-8", "Save it as UTF-8")


def test_a_folder_named_as_a_picture_is_listed_to_be_skipped_by_name(tmp_path: Path, build: Build) -> None:
    root = unpack(tmp_path / "raw", IN_FOLDERS)
    (root / "train/n01/x.JPEG").mkdir()
    (row,) = build(root).pictures.query("name == 'n01/x.JPEG'").itertuples()
    with pytest.raises(BadPictureError, match="not a regular file"):
        read_picture(root, row)


@PLACES
def test_what_is_no_picture_does_no_harm(tmp_path: Path, build: Build, put: Put) -> None:
    files = TRAINING | {"val/1.jpg": picture("n02"), "val.csv": b"1.jpg,n02"}
    files |= {name: b"x" for name in ("train/notes.txt", "train/.cache/x", "train/n01/notes/a.txt")}
    # No class's folder, as the classes of this split are in a table.
    files |= {"val/notes/a.txt": b"x"}
    root = put(tmp_path / "raw", files)
    check_every_label(root, build(root), {"train": 4, "val": 1})


A_AND_B = {f"{split}/{name}/0.png": picture(name) for split in ("train", "val") for name in "ab"}


# --- the one rule for what is a picture -----------------------------------------------------------

KINDS = {
    "jpg": "JPEG",
    "jfif": "JPEG",
    "png": "PNG",
    "gif": "GIF",
    "webp": "WEBP",
    "tif": "TIFF",
    "bmp": "BMP",
}


@PLACES
@pytest.mark.parametrize("suffixed", [True, False])
def test_pictures_are_known_by_their_content(tmp_path: Path, build: Build, put: Put, suffixed: bool) -> None:
    files = {f"val/{wnid}/0.jpg": picture(wnid) for wnid in WNIDS}
    for suffix, form in KINDS.items():
        name = f"1.{suffix.upper()}" if suffixed else f"{suffix}.data"
        files |= {f"train/{wnid}/{name}": picture(wnid, form=form) for wnid in WNIDS}
    index = build(put(tmp_path / "raw", files))
    assert (index.pictures["split"] == "train").sum() == len(KINDS) * len(WNIDS)
    for row in index.pictures.itertuples():
        assert read_picture(tmp_path / "raw", row).shape == (7, 9, 3)
    assert index.left_out.empty


@PLACES
def test_what_is_left_out_is_counted_and_named(
    tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    junk = ("._0.jpg", ".DS_Store", "Thumbs.db", "__MACOSX/0.jpg", "@eaDir/0.jpg", "lost+found/0.jpg")
    files = {f"train/n01/{name}": picture("n02") for name in junk} | {"train/__MACOSX/0.jpg": picture("n02")}
    others = {"train/n01/boxes.txt": b"1 2", "train/n02/boxes.txt": b"3", "val/README": b"read me"}
    put(tmp_path / "raw", IN_FOLDERS | files | others | {"extra/n01/1.jpg": b"x"})
    monkeypatch.chdir(tmp_path)
    selection.index_pictures(DATA, "val", Machine(data_root=str(tmp_path / "raw")), tmp_path / "index")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "index: other folders there, not used: extra"
    assert said[1].endswith(
        "4 classes; pictures: 4 train, 4 val; other files, left out: 2 × .txt, 1 × without a suffix"
        " (see reports/skipped.csv)"
    )
    assert sorted(read_index(tmp_path / "index").left_out["name"]) == sorted(others)


def test_a_name_that_is_not_utf8_is_left_out_by_name(tmp_path: Path, build: Build) -> None:
    root = unpack(tmp_path / "raw", A_AND_B)
    os.rename(root / "train/a/0.png", os.fsencode(root / "train/a") + b"/caf\xe9.png")
    (root / "train/a/1.png").write_bytes(picture("a"))
    index = build(root)
    assert index.pictures["name"].tolist() == ["a/1.png", "b/0.png", "a/0.png", "b/0.png"]
    assert index.left_out.to_numpy().tolist() == [["train/a/caf\\udce9.png", NOT_UTF8]]


def test_a_class_whose_name_is_not_utf8_is_told_as_that(tmp_path: Path, build: Build) -> None:
    root = unpack(tmp_path / "raw", A_AND_B)
    for split in ("train", "val"):
        os.rename(root / split / "b", os.fsencode(root / split) + b"/K\xe4se")
    refused(build, root, "train/K\udce4se/", f"{NOT_UTF8}. Rename this folder")


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev"])
def test_names_of_the_validation_folder(tmp_path: Path, build: Build, name: str) -> None:
    root = unpack(tmp_path / "raw", IN_FOLDERS)
    (root / "val").rename(root / name)
    check_every_label(root, build(root), {"train": 4, "val": 4})


# --- Tiny ImageNet, torchvision and tables --------------------------------------------------------


def tiny_imagenet() -> dict[str, bytes]:
    files = {f"train/{w}/images/{w}_{n}.JPEG": picture(w, 9 + n) for w in BY_ID for n in range(3)}
    files |= {f"train/{wnid}/{wnid}_boxes.txt": b"0\t0\t62\t62\n" for wnid in BY_ID}
    files |= {f"val/images/val_{n}.JPEG": picture(wnid) for n, wnid in enumerate(BY_ID[::-1])}
    rows = [f"val_{n}.JPEG\t{wnid}\t0\t32\t44\t62\n" for n, wnid in enumerate(BY_ID[::-1])]
    files |= {f"test/images/{name}": picture(name) for name in UNLABELLED}
    texts = {
        "val/val_annotations.txt": "".join(rows),
        "wnids.txt": "".join(f"{wnid}\n" for wnid in BY_ID),
        "words.txt": "n00\tentity\n" + "".join(f"{wnid}\t{WORDS[wnid]}\n" for wnid in BY_ID),
    }
    return files | {name: text.encode() for name, text in texts.items()}


@PLACES
def test_tiny_imagenet_as_published(tmp_path: Path, build: Build, put: Put) -> None:
    root = put(tmp_path / "raw", tiny_imagenet())
    index = build(root)
    check_every_label(root, index, COUNTS)
    assert index.classes["words"].tolist() == [WORDS[wnid] for wnid in WNIDS]
    assert index.pictures["name"].iloc[-1] in {f"val_{n}.JPEG" for n in range(4)}
    assert set(index.left_out["reason"]) == {"no picture: .txt"}


@pytest.mark.parametrize("unpacked", [False, True])
def test_a_flat_val_beside_the_official_devkit(tmp_path: Path, build: Build, unpacked: bool) -> None:
    files = {f"train/{wnid}/{wnid}_0.JPEG": picture(wnid) for wnid in BY_ID}
    files |= {
        f"val/ILSVRC2012_val_{number:08d}.JPEG": picture(BY_ID[id_ - 1])
        for number, id_ in enumerate(TRUTH["val"], 1)
    }
    root = unpack(tmp_path / "raw", files)
    kit = devkit(2012, folder="ILSVRC2012_devkit_t12/data/")
    if unpacked:
        with tarfile.open(fileobj=io.BytesIO(kit)) as packed:
            packed.extractall(root, filter="data")
    else:
        (root / ILSVRC_2012.devkit).write_bytes(kit)
    index = build(root)
    check_every_label(root, index, {"train": 4, "val": 6})
    assert index.classes["words"].tolist() == [WORDS[wnid] for wnid in WNIDS]
    (root / "val/ILSVRC2012_val_00000006.JPEG").unlink()
    refused(
        build, root, "val: 5 pictures from number 1 to 5, but ", "validation_ground_truth.txt has 6 lines"
    )
    (root / "val/cat.JPEG").write_bytes(picture("n01"))
    refused(build, root, "val: found cat.JPEG; allowed: ILSVRC2012_val_00000001.JPEG")


@pytest.mark.parametrize(
    "write",
    [
        lambda rows: "".join(f"{n},{c}\n" for n, c in rows),
        lambda rows: "".join(f"{n};{c}\r\n" for n, c in [("image", "class"), *rows]),
        lambda rows: "".join(f"{n}\t{c}\r" for n, c in rows),
        lambda rows: "\ufeff" + "".join(f"{i},{n},{c}\n" for i, (n, c) in enumerate([("name", "c"), *rows])),
        lambda rows: "".join(f"val/{n},{c}\n" for n, c in rows),
        lambda rows: "".join(f"{c},{n}\n" for n, c in rows),
        lambda rows: "".join(f"{n.removesuffix('.jpg')},0.5,{c}\n" for n, c in rows),
        lambda rows: "".join(f'"./val/{n}" ,"{c}"\n' for n, c in rows),
    ],
)
def test_tables_as_people_write_them(tmp_path: Path, build: Build, write: Any) -> None:
    rows = [(f"{n}.5.jpg", wnid) for n, wnid in enumerate(BY_ID)]
    files = TRAINING | {f"val/{name}": picture(wnid) for name, wnid in rows}
    root = unpack(tmp_path / "raw", files | {"val.csv": write(rows[::-1]).encode()})
    check_every_label(root, build(root), {"train": 4, "val": 4})


def with_table(path: Path, table: str) -> Path:
    """Write pictures 0.png to 3.png of train/ and val/, whose order is another, and the table of val/."""
    files = {f"train/{wnid}/{n}.png": picture(wnid) for wnid in WNIDS for n in range(2)}
    files |= {f"val/{n}.png": picture(wnid) for n, wnid in enumerate(BY_ID)}
    return unpack(path, files | {"val.csv": table.encode()})


def test_a_column_of_row_numbers_is_not_that_of_the_names(tmp_path: Path, build: Build) -> None:
    rows = [(n, f"{(n + 1) % 4}.png", BY_ID[(n + 1) % 4]) for n in range(4)]
    table = ",filename,label\n" + "".join(f"{n},{name},{wnid}\n" for n, name, wnid in rows)
    root = with_table(tmp_path / "raw", table)
    check_every_label(root, build(root), {"train": 8, "val": 4})


def test_of_several_columns_of_classes_the_heading_decides(tmp_path: Path, build: Build) -> None:
    rows = [(f"{n}.png", BY_ID[3 - n], wnid) for n, wnid in enumerate(BY_ID)]
    body = "".join(f"{name},{fold},{wnid}\n" for name, fold, wnid in rows)
    root = with_table(tmp_path / "raw", "filename,fold,Label\n" + body)
    check_every_label(root, build(root), {"train": 8, "val": 4})
    for heading in ("", "filename,fold,kind\n"):
        (root / "val.csv").write_text(heading + body)
        refused(build, root, "columns 2 and 3 may all be that of the classes", "a heading that says which")


def test_a_flat_train_folder_takes_the_classes_from_the_column_that_is_headed_so(
    tmp_path: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"{split}/{n}.png": picture(wnid) for split in ("train", "val") for n, wnid in enumerate(BY_ID)}
    body = "".join(f"{n}.png,{n % 2},{wnid}\n" for n, wnid in enumerate(BY_ID))
    tables = {f"{split}.csv": f"image_id,fold,category\n{body}".encode() for split in ("train", "val")}
    root = unpack(tmp_path / "raw", files | tables)
    check_every_label(root, build(root), {"train": 4, "val": 4})
    for split in ("train", "val"):
        (root / f"{split}.csv").write_text(body)
    capsys.readouterr()
    assert len(build(root).classes) == 2
    assert "train.csv: column 2 is taken for the classes" in capsys.readouterr().out


def test_a_class_without_a_picture_is_told_before_all_others_are_prepared(
    tmp_path: Path, build: Build
) -> None:
    tars = {f"{wnid}.tar": tar([(f"{n}.png", picture(wnid)) for n in range(2)]) for wnid in WNIDS}
    root = unpack(tmp_path / "raw", tars | {"n99.tar": tar([("readme.txt", b"none")])})
    refused(build, root, "class n99 has no training picture (1 such classes)")


def test_what_lies_beside_the_pictures_does_not_decide_the_layout(tmp_path: Path, build: Build) -> None:
    beside = {"annotations.zip": b"PK half a zip", "._x.tar": b"AppleDouble", "._y.zip": b"AppleDouble"}
    root = unpack(tmp_path / "raw", IN_FOLDERS | beside)
    assert build(root).layout == "folders"
    tars = {f"{wnid}.tar": tar([(f"{n}.png", picture(wnid)) for n in range(2)]) for wnid in WNIDS}
    half = {"._n01.tar": b"AppleDouble", "notes.zip": b"PK half a zip"}
    assert build(unpack(tmp_path / "tars", tars | half)).layout == "class-tars"
    assert build(unpack(official_files(tmp_path / "official"), half)).layout == "ilsvrc-2012"


BY_CLASS = {f"{wnid}/{n}.png": picture(wnid, 9 + n) for wnid in WNIDS for n in range(4)}
ONE = picture("n01")
KAGGLE_OF_THREE = {name: content for name, content in kaggle_files().items() if "/n04/" not in name}
ALIKE = {"train/caf\u00e9/0.png": ONE, "train/b/0.png": ONE, "val/cafe\u0301/0.png": ONE}
# What cannot be told, and what the refusal says.
REFUSED: dict[str, tuple[dict[str, bytes], *tuple[str, ...]]] = {
    "no row": (flat(TABLE.replace("1.jpg,n01\n", "")), "no row for val/1.jpg"),
    "two rows": (flat(TABLE + "1.jpg,n02\n"), "two rows name 1.jpg"),
    "no picture of a row": (flat(TABLE + "9.jpg,n02\n"), "names 9.jpg, which is not in val/"),
    "a strange class": (flat(TABLE.replace("n01", "n77")), "val/n77 has no training pictures"),
    "no table": (FLAT, "val/ holds 4 pictures and no folder per class", "val.csv"),
    "a text": (flat('"0.jpg,n01\n' + "x" * 140_000), "val.csv", "cannot be read as a table"),
    "another table": (
        flat("a,b\nc,d\n"),
        "val.csv: no row for val/0.jpg and 3 more; its first row is ['a', 'b']",
    ),
    "an empty table": (flat(""), "val.csv", "its first row is missing"),
    "one stem": (
        flat(TABLE.replace(".jpg", "")) | {"val/1.png": ONE},
        "val.csv: 1 stands for two pictures",
    ),
    "a strange class of kaggle": (KAGGLE_OF_THREE, "names n04, but there is no training picture"),
    "half in folders": (IN_FOLDERS | {"val/1.jpg": ONE}, "val/ holds pictures (1.jpg) and folders"),
    "deep": (
        IN_FOLDERS | {"train/n01/a/2.jpg": ONE},
        "n01/a/2.jpg lies too deep (1 such",
        "train/CLASS/NAME",
    ),
    "deep PNG": (IN_FOLDERS | {"train/n01/a/2.PNG": ONE}, "others of train/n01/ lie elsewhere in it"),
    "arrays": (IN_FOLDERS | {"train/n05/1.npy": b"x"}, "no pictures in train/n05/", ".bmp", "1 such"),
    "notes": (IN_FOLDERS | {"train/n05/a/notes.txt": b"x"}, "no pictures in train/n05/"),
    "boxes": (IN_FOLDERS | {"val/n05/1.xml": b"x"}, "no pictures in val/n05/"),
    "alike": (ALIKE, "looks the same, but is written with other characters"),
    "loose": (BY_CLASS | {"a.png": ONE}, "holds pictures (a.png) and folders of pictures (n01)"),
    "a class of text": (BY_CLASS | {"n05/notes.txt": b"text"}, "no pictures in n05/"),
    "a deep class": (BY_CLASS | {"n02/a/1.png": ONE}, "n02/a/1.png lies too deep", "allowed: CLASS/NAME"),
    "a class val": (BY_CLASS | {"val/n01/1.png": ONE}, "no known layout"),
    "one class": ({"train/n01/1.jpg": ONE, "val/n01/1.jpg": ONE}, "one class (n01) as folders"),
    "no pictures to train on": (
        {"train/n01.tar": tar([("1.jpg", ONE)]), "val/n01/1.jpg": ONE},
        "no pictures in train/ (looked",
    ),
    "no pictures to validate on": (TRAINING | {"val/a.txt": b"x"}, "no pictures in val/ (looked"),
}


@PLACES
@pytest.mark.parametrize("name", REFUSED)
def test_unclear_folders_are_refused(tmp_path: Path, build: Build, put: Put, name: str) -> None:
    files, *parts = REFUSED[name]
    refused(build, put(tmp_path / "raw", files), *parts)


@pytest.mark.parametrize("kind", ["half a zip", "a zip", "their tar", "tars of others"])
def test_archives_beside_folders_of_classes_are_not_read(tmp_path: Path, build: Build, kind: str) -> None:
    beside = {
        "half a zip": {"archive.zip": b"PK half a zip"},
        "their tar": {"all.tar": tar([*BY_CLASS.items()])},
        "tars of others": {f"{name}.tar": tar([("1.png", ONE)]) for name in ("old", "new")},
    }
    root = unpack(tmp_path / "raw", BY_CLASS | beside.get(kind, {}))
    if kind == "a zip":
        pack(root, IN_FOLDERS)
    for layout in ("auto", "folders"):
        assert build(root, layout=layout).classes["wnid"].tolist() == WNIDS


def test_the_development_kit_beside_a_zip(tmp_path: Path, build: Build) -> None:
    official = official_files(tmp_path / "official")
    index = build(official)
    files = {}
    for row in index.pictures.itertuples():
        inside = index.classes["wnid"][row.label] + "/" if row.split == "train" else ""
        files[f"{row.split}/{inside}{row.name}"] = read_bytes(official, row)
    root = pack(tmp_path / "raw", files)
    kit = "ILSVRC2012_devkit_t12.tar.gz"
    (root / kit).write_bytes((official / kit).read_bytes())
    found = build(root)
    assert found.layout == "folders"
    assert found.pictures["label"].tolist() == index.pictures["label"].tolist()
    assert found.classes["words"].tolist() == index.classes["words"].tolist()


@PLACES
def test_tables_beside_a_folder_of_pictures(tmp_path: Path, build: Build, put: Put) -> None:
    """Also one of names alone, and one of something else, which is not read."""
    files = {f"{split}/images/{n}.png": picture(WNIDS[n]) for split in ("train", "val") for n in range(2)}
    files |= {"test/1.png": picture("1.png"), "test.csv": b"id\n1\n"}
    table = "".join(f"{n},{WNIDS[n]}\n" for n in range(2)).encode()
    files |= {"train.csv": table, "val.csv": table}
    root = put(tmp_path / "raw", files)
    check_every_label(root, build(root), {"train": 2, "val": 2, "test": 1})
    root = put(tmp_path / "other", IN_FOLDERS | {"train.csv": "caf\xe9".encode("cp1252")})
    check_every_label(root, build(root), {"train": 4, "val": 4})


def test_archives_without_a_folder_or_a_picture_are_told(tmp_path: Path, build: Build) -> None:
    root = tmp_path / "zip"
    root.mkdir()
    with zipfile.ZipFile(root / "all.zip", "w") as packed:
        packed.writestr("notes.txt", "text")
    refused(build, root, "no known layout")
    junk = tar([("._1.jpg", b"x")])
    refused(build, unpack(tmp_path / "tars", {"n01.tar": junk, "n02.tar": junk}), "no class has two")


def test_links_that_lead_in_circles(tmp_path: Path, build: Build) -> None:
    root = unpack(tmp_path / "raw", IN_FOLDERS)
    (root / "train/n01").rename(tmp_path / "elsewhere")
    (root / "train/n01").symlink_to(tmp_path / "elsewhere")
    check_every_label(root, build(root), {"train": 4, "val": 4})
    for name in "ab":
        (tmp_path / "elsewhere" / name).symlink_to(tmp_path / "elsewhere")
    refused(build, root, "train/n01/a/1.jpg lies too deep (2 such")


@METHODS
def test_zips_cut_anywhere(tmp_path: Path, build: Build, method: int) -> None:
    root = pack(tmp_path / "raw", kaggle_files(), method)
    whole = (root / "all.zip").read_bytes()
    for tenth in range(10):
        (root / "all.zip").write_bytes(whole[: len(whole) * tenth // 10])
        refused(build, root, str(root / "all.zip"))


@pytest.mark.parametrize("name", ["train/n01/b?r.jpg", "train/n01/bär.jpg"], ids=["3.11", "3.12"])
def test_a_name_in_utf8_behind_its_header(tmp_path: Path, name: str) -> None:
    """Which of the two names the index has depends on the version of Python that wrote it."""
    known, unicode = b"train/n01/b?r.jpg", "train/n01/bär.jpg".encode()
    member = zipfile.ZipInfo(known.decode())
    member.extra = struct.pack("<2HBL", 0x7075, 5 + len(unicode), 1, zlib.crc32(known)) + unicode
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr(member, b"content")
    row = SimpleNamespace(path="all.zip", packing="zip", name=name, offset=0, size=7)
    assert read_bytes(tmp_path, row) == b"content"
    row.name = "train/n01/bar.jpg"
    with pytest.raises(UserError, match="something else stands in its place"):
        read_bytes(tmp_path, row)


@pytest.mark.parametrize("signature", [b"PK\7\x08", b""])
def test_the_checksum_behind_a_streamed_member(tmp_path: Path, signature: bytes) -> None:
    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

    content = Stream()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("train/n01/1.png", ONE)
    whole = content.getvalue().replace(b"PK\7\x08", signature)
    row = SimpleNamespace(path="all.zip", packing="zip", name="train/n01/1.png", offset=0, size=len(ONE))
    (tmp_path / "all.zip").write_bytes(whole)
    assert read_bytes(tmp_path, row) == ONE
    (tmp_path / "all.zip").write_bytes(whole.replace(ONE, ONE[:-1] + b"x"))
    with pytest.raises(BadPictureError, match="its checksum in the zip is another"):
        read_bytes(tmp_path, row)


def again(root: Path) -> None:
    with zipfile.ZipFile(root / "all.zip", "a") as packed, pytest.warns(UserWarning, match="Duplicate"):
        packed.writestr("ILSVRC/Data/CLS-LOC/train/n01/n01_0.JPEG", b"x")


def overlap(root: Path) -> None:
    content = bytearray((root / "all.zip").read_bytes())
    entry = content.rindex(b"PK\1\2")
    # The last member of the directory begins where the one before does.
    before = content.rindex(b"PK\1\2", 0, entry)
    content[entry + 42 : entry + 46] = content[before + 42 : before + 46]
    (root / "all.zip").write_bytes(content)


def spoil_solution(root: Path) -> None:
    with zipfile.ZipFile(root / "all.zip") as packed:
        member = packed.getinfo("LOC_val_solution.csv")
    whole = bytearray((root / "all.zip").read_bytes())
    start = member.header_offset + struct.calcsize("<4s5H3L2H") + len(member.filename)
    whole[start : start + member.compress_size] = b"\xff" * member.compress_size
    (root / "all.zip").write_bytes(whole)


# What else is in a zip, or what is done to it, and what the refusal says.
SPOILT_ZIPS: dict[str, tuple[dict[str, bytes], Callable[[Path], object], *tuple[str, ...]]] = {
    "bzip2": ({}, lambda root: pack(root, kaggle_files(), zipfile.ZIP_BZIP2), "neither stored nor deflated"),
    "twins": ({}, again, "two pictures are named n01/n01_0.JPEG"),
    "overlap": ({}, overlap, "all.zip", "overlap"),
    "damaged table": ({}, spoil_solution, "LOC_val_solution.csv cannot be read", "Download it again"),
    "large table": (
        {"LOC_val_solution.csv": b"," * 1001},
        lambda root: None,
        "LOC_val_solution.csv unpacks to more than 1,000 bytes",
    ),
}
for name in ("../x.JPEG", "/x.JPEG", "a/../../x.JPEG"):
    SPOILT_ZIPS[name] = ({name: b"x"}, lambda root: None, name, "outside")


@pytest.mark.parametrize("name", SPOILT_ZIPS)
def test_spoilt_zips_are_refused(
    tmp_path: Path, build: Build, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "MAX_TEXT_BYTES", 1000)
    more, spoil, *parts = SPOILT_ZIPS[name]
    root = pack(tmp_path / "raw", kaggle_files() | more, zipfile.ZIP_DEFLATED)
    spoil(root)
    refused(build, root, *parts)


@pytest.fixture
def zipped(tmp_path: Path, build: Build) -> tuple[Path, Any]:
    """A zip, and the row of a picture in it, which begins behind its header of 30 bytes and its name."""
    root = pack(tmp_path / "raw", kaggle_files(), zipfile.ZIP_DEFLATED)
    return root, next(build(root).pictures.query("name == 'n01_0.JPEG'").itertuples())


IN_HEADER = {
    "signature": 0,
    "method": 8,
    "size": 18,
    "name": 29 + len("ILSVRC/Data/CLS-LOC/train/n01/n01_0.JPEG"),
}


def test_damaged_members_of_a_zip_are_named(zipped: tuple[Path, Any]) -> None:
    root, row = zipped
    whole = (root / "all.zip").read_bytes()
    start = row.offset + IN_HEADER["name"] + 1
    assert zlib.decompress(whole[start : start + row.size], -15) == picture("n01")
    other = zlib.compress(picture("n02"), 9, -15)[: row.size]
    for spoilt, reason in (
        (whole[:start] + b"\xff" * row.size + whole[start + row.size :], "cannot be unpacked"),
        (whole[: start + 5], "bytes are missing"),
        (whole[:start] + other + whole[start + len(other) :], "another|cannot be unpacked"),
    ):
        (root / "all.zip").write_bytes(spoilt)
        with pytest.raises(BadPictureError, match=reason):
            read_picture(root, row)


@pytest.mark.parametrize("place", IN_HEADER)
def test_a_zip_whose_directory_says_otherwise_is_refused(place: str, zipped: tuple[Path, Any]) -> None:
    root, row = zipped
    flip(root / "all.zip", row.offset + IN_HEADER[place])
    with pytest.raises(UserError, match=r"all\.zip: the directory of the zip lists n01_0\.JPEG"):
        read_picture(root, row)


# --- a tar per class ------------------------------------------------------------------------------


def test_tars_that_are_no_classes_are_refused(tmp_path: Path, build: Build) -> None:
    of_splits = {f"{split}.tar": tar([("1.png", ONE)]) for split in ("train", "val")}
    refused(build, unpack(tmp_path / "splits", of_splits), "train.tar, val.tar, the names of splits")
    labelled = {f"{n:05d}.tar": tar([("1.png", ONE), ("1.cls", b"0")]) for n in range(2)}
    refused(build, unpack(tmp_path / "shards", labelled), "00000.tar: holds labels (1.cls)", "NAME-train-000")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    pictures = {w: [(f"{w}_{n}.JPEG", picture(w, 9 + n)) for n in range(8)] for w in BY_ID}
    return unpack(
        tmp_path / "fall", {f"{w}.tar": tar([*of, ("notes.txt", b"x")]) for w, of in pictures.items()}
    )


def test_class_tars_labels_and_held_out_share(release: Path, build: Build) -> None:
    index = build(release)
    check_every_label(release, index, {"train": 24, "val": 8})
    per_class = index.pictures[index.pictures["split"] == "val"]["label"].value_counts()
    assert set(per_class) == {2}
    assert index.classes["words"].tolist() == WNIDS
    (release / "words.txt").write_text("n99\tno class\n" + "".join(f"{w}\t{WORDS[w]}\n" for w in BY_ID))
    assert build(release).classes["words"].tolist() == [WORDS[wnid] for wnid in WNIDS]
    assert index.layout == "class-tars"


def test_what_is_held_out_is_a_seeded_choice(release: Path, build: Build) -> None:
    def held(**changes: Any) -> set[str]:
        pictures = build(release, **changes).pictures
        return set(pictures["name"][pictures["split"] == "val"])

    assert held() == held()
    assert len({frozenset(held(seed=seed)) for seed in range(5)}) == 5
    # A subset of the classes does not move pictures from one split to the other.
    assert held(classes=["n02", "n03"]) == {name for name in held() if name[:3] in ("n02", "n03")}


def test_class_tars_need_a_share(release: Path, build: Build) -> None:
    refused(build, release, "data.held_out: found 0", held_out=0)
    for wnid in BY_ID:
        (release / f"{wnid}.tar").write_bytes(tar([(f"{wnid}_1.JPEG", picture(wnid))]))
    refused(build, release, "data.held_out: found 0.25", "no class has two", held_out=0.25)


def test_each_class_gives_at_least_one_picture_to_val(
    tmp_path: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"n01": 40, "n02": 9, "n03": 2, "n04": 1}
    files = {f"train/{w}/{n:02}.png": picture(w, 9 + n) for w, size in sizes.items() for n in range(size)}
    root = unpack(tmp_path / "few", files)
    index = build(root, held_out=0.1)
    check_every_label(root, index, {"train": 46, "val": 6})
    held = index.pictures[index.pictures["split"] == "val"]
    # A tenth, to the nearest; the last has no picture to spare.
    assert held["label"].value_counts().to_dict() == {0: 4, 1: 1, 2: 1}
    assert (
        "so 6 of 52 training pictures are held out as val (data.held_out: 0.1 of" in capsys.readouterr().out
    )
    # The choice that was made before a class gave at least one picture, where the share alone gives one.
    chosen = ["n01/10.png", "n01/23.png", "n01/25.png", "n01/33.png", "n02/03.png"]
    assert sorted(held["name"][held["label"] < 2]) == chosen


@pytest.mark.parametrize("packed", ["folder", "zip", "zip with a folder"])
def test_class_folders_without_a_split(
    packed: str, tmp_path: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    members = BY_CLASS | {"words.txt": b"n01\tfirst\n", "LICENSE": b"text"}
    root = tmp_path / "own"
    if packed == "folder":
        unpack(root, members)
    else:
        top = "pets/" if packed == "zip with a folder" else ""
        pack(root, {top + name: content for name, content in members.items()})
    index = build(root)
    check_every_label(root, index, {"train": 12, "val": 4})
    assert (index.layout, index.classes["words"][0]) == ("folders", "first")
    assert index.left_out.empty
    said = capsys.readouterr().out
    assert "4 of 16 training pictures are held out as val (data.held_out: 0.25 of" in said
    # The same choice as with these folders under train/.
    unpack(tmp_path / "split", {f"train/{name}": content for name, content in members.items()})
    assert build(tmp_path / "split").pictures["name"].tolist() == index.pictures["name"].tolist()
    assert build(root, layout="folders").pictures.equals(index.pictures)
    refused(build, root, "data.held_out: found 0", "no validation pictures", held_out=0)


def test_one_changed_class_tar_is_scanned_alone(
    release: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(release)
    scanned = []

    @functools.wraps(scan_tar)
    def counting(path: Path) -> Any:
        scanned.append(path.name)
        return scan_tar(path)

    monkeypatch.setattr("alexnet.ingest.sources.class_tars.scan_tar", counting)
    (release / "n01.tar").write_bytes(tar([(f"n01_{n}.JPEG", picture("n01")) for n in range(4)]))
    (release / "n02.tar").unlink()
    index = build(release)
    assert scanned == ["n01.tar"]
    check_every_label(release, index, {"train": 15, "val": 5})


def test_a_broken_class_tar(release: Path, build: Build) -> None:
    path = release / "n01.tar"
    whole = path.read_bytes()
    # Nothing but its own end tells how many pictures such a tar should have.
    used = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    cuts = [whole[:end] for end in (*range(0, used + 1, 512), 100, 700, 1124)]
    broken_header = bytearray(whole)
    broken_header[2 * 1024 + 150] ^= 1
    # Zeros in the place of a header look like an end: a hole in the middle, or half of a download.
    hole = whole[: 3 * 1024] + bytes(1024) + whole[4 * 1024 :]
    half = whole[: 3 * 1024] + bytes(2**17)
    twins = tar([("n01_1.JPEG", b"x"), ("n01_1.JPEG", b"y")])
    for content, what in (
        *((content, "Download it again") for content in (*cuts, bytes(broken_header))),
        *((content, "no end where one is due") for content in (hole, half)),
        (tar([("n01_\udcff.JPEG", b"x")]), "n01.tar: found 'n01_\\udcff.JPEG'; allowed: names in UTF-8"),
        (twins, "n01.tar: two pictures are named n01_1.JPEG"),
    ):
        path.write_bytes(content)
        refused(build, release, str(path), what)
    path.write_bytes(whole + bytes(50_000))
    build(release)


def test_a_class_tar_may_hold_a_folder_of_its_name(release: Path, build: Build) -> None:
    (release / "n01.tar").write_bytes(tar([(f"n01/n01_{n}.JPEG", picture("n01", 9 + n)) for n in range(8)]))
    check_every_label(release, build(release), {"train": 24, "val": 8})


def test_class_tars_are_ranked_by_class_and_not_by_file(tmp_path: Path, build: Build) -> None:
    wnids = ["car", "car mirror", "car-park"]
    tars = {f"{wnid}.tar": tar([(f"{n}.jpg", picture(wnid)) for n in range(4)]) for wnid in wnids}
    root = unpack(tmp_path / "raw", tars)
    check_every_label(root, build(root), {"train": 9, "val": 3})
    assert build(root).classes["wnid"].tolist() == wnids


@pytest.mark.parametrize(
    "members",
    [
        [*IN_FOLDERS.items()],
        [("train/n01/1.jpg", picture("n01"))],
        [("train/1.jpg", picture("n01"))],
        [("train/n01.tar", tar([("1.jpg", picture("n01"))]))],
    ],
    ids=["splits", "one class", "one folder", "inner tar"],
)
@pytest.mark.parametrize("layout", ["auto", "class-tars"])
def test_a_tar_of_folders_is_no_class(tmp_path: Path, build: Build, members: Members, layout: str) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/pets.tar").write_bytes(tar(members))
    member = "train/n01.tar/1.jpg" if members[0][0].endswith(".tar") else members[0][0]
    what = [f"pets.tar: holds {member}", "Unpack it", "one tar per class"]
    refused(build, tmp_path / "raw", *what, layout=layout)


# --- CIFAR-10 -------------------------------------------------------------------------------------

# IDs in another order than the names.
CIFAR_CLASSES = ["dog", "cat", "ship", "frog"]
LABELS = {name: [(place * 7 + 3 * number) % 4 for place in range(8)] for number, name in enumerate(BATCHES)}


def planes(label: int) -> npt.NDArray[np.uint8]:
    return np.repeat(colour(CIFAR_CLASSES[label]), 1024)


def binary() -> bytes:
    folder = "cifar-10-batches-bin/"
    members = [(folder + "batches.meta.txt", "\n".join([*CIFAR_CLASSES, "", ""]).encode())]
    for batch, numbers in LABELS.items():
        content = b"".join(bytes([number]) + planes(number).tobytes() for number in numbers)
        members.append((f"{folder}{batch}.bin", content))
    return gzip.compress(tar(members))


class _Call:
    """Were it unpickled, `function` would be called with `path`."""

    def __init__(self, function: Callable[..., object], path: Path) -> None:
        self.call = function, (path,)

    def __reduce__(self) -> Any:
        return self.call


def python(extra: Any = None) -> bytes:
    folder = "cifar-10-batches-py/"
    members = [(folder + "batches.meta", pickle.dumps({b"label_names": [c.encode() for c in CIFAR_CLASSES]}))]
    for batch, numbers in LABELS.items():
        data = np.stack([planes(number) for number in numbers])
        table = {b"labels": numbers, b"data": data, b"extra": extra}
        members.append((folder + batch, pickle.dumps(table, protocol=4)))
    return gzip.compress(tar(members))


Published = Callable[[Path, str, bytes], Path]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Published:
    def published(root: Path, name: str, content: bytes) -> Path:
        monkeypatch.setitem(MD5, name, hashlib.md5(content).hexdigest())
        return unpack(root, {name: content})

    return published


@pytest.mark.parametrize(("name", "content"), [(BINARY, binary()), (PYTHON, python())])
def test_cifar10_labels(
    tmp_path: Path, build: Build, published: Published, name: str, content: bytes
) -> None:
    root = published(tmp_path / "raw", name, content)
    index = build(root)
    assert index.classes["wnid"].tolist() == sorted(CIFAR_CLASSES) != CIFAR_CLASSES
    expected = {
        f"{batch}/{n:05d}": CIFAR_CLASSES[label] for batch in LABELS for n, label in enumerate(LABELS[batch])
    }
    names, labels = index.pictures["name"], index.pictures["label"]
    assert dict(zip(names, index.classes["wnid"][labels], strict=True)) == expected
    check_every_label(root, index, {"train": 32, "val": 8, "test": 8})
    check_every_label(root, build(root, held_out=0), {"train": 40, "val": 8})


def test_cifar10_planes_become_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    (tmp_path / "x").write_bytes(b"ab" + pixels.transpose(2, 0, 1).tobytes())
    found = read_picture(
        tmp_path, SimpleNamespace(path="x", packing="none", form="planes", offset=2, size=3072)
    )
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("name", [BINARY, PYTHON])
def test_cifar10_of_another_checksum(tmp_path: Path, build: Build, name: str) -> None:
    assert MD5["cifar-10-python.tar.gz"] == "c58f30108f718f92721af3b95e74349a"
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / name).write_bytes(binary())
    refused(build, tmp_path / "raw", name, "MD5 is", f"published is {MD5[name]}")


@pytest.mark.parametrize(("function", "named"), [(Path.touch, "pathlib"), (np.fromfile, "numpy.fromfile")])
def test_a_pickle_that_calls_something_is_refused(
    tmp_path: Path, build: Build, published: Published, function: Callable[..., object], named: str
) -> None:
    root = published(tmp_path / "raw", PYTHON, python(_Call(function, tmp_path / "made")))
    refused(build, root, PYTHON, f"a pickle in it asks for {named}")
    assert not (tmp_path / "made").exists()


# --- folders that cannot be read ------------------------------------------------------------------


def test_links_that_lead_to_themselves_are_no_folders(tmp_path: Path, build: Build) -> None:
    root = unpack(tmp_path / "raw", A_AND_B)
    for place in ("train/a/itself", "train/a/itself.png", "train/itself", "itself"):
        (root / place).symlink_to(Path(place).name)
    index = build(root)
    assert set(index.pictures["name"]) == {"a/0.png", "b/0.png"}
    assert "a link that leads nowhere" in set(index.left_out["reason"])


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = unpack(tmp_path / "raw", A_AND_B)
    scandir = os.scandir

    def unreadable(path: Path) -> Any:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", unreadable)
    refused(build, root, "train/b: cannot be read: Permission denied")


@pytest.mark.parametrize(
    ("layout", "closed"),
    [
        *((layout, "raw") for layout in ("class-tars", "huggingface-tars", "parquet", "webdataset")),
        ("parquet", "raw/part"),
        ("webdataset", "raw/part"),
    ],
)
def test_a_folder_that_cannot_be_read_is_not_taken_for_empty(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch, layout: str, closed: str
) -> None:
    root = unpack(tmp_path / "raw", A_AND_B)
    (root / "part").mkdir()
    scandir = os.scandir

    def unreadable(path: Path) -> Any:
        if Path(path) == tmp_path / closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", unreadable)
    refused(build, root, f"{tmp_path / closed}", "cannot be read: Permission denied", layout=layout)


def test_parts_of_a_file_are_counted_as_numbers(tmp_path: Path) -> None:
    parts = [tmp_path / f"x.tar.{number}" for number in range(1, 12)]
    for part in parts:
        part.write_bytes(b"")
    assert parts_of(tmp_path / "x.tar") == parts
    parts[0].unlink()
    with pytest.raises(UserError, match="part 1 of 11 is missing"):
        parts_of(tmp_path / "x.tar")
