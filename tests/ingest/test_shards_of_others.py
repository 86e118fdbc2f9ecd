"""Hugging Face's parquet files and tars, WebDataset's shards, and tars in parts: every label."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import archives
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import Build, in_parts, official_files, refused, store, tar, unpack
from others import FORMS, NAMED, TRAIN, VAL, WNIDS, WORDS, parquet, picture, shard, shards, tables, wnid_names

from alexnet.core.errors import UserError
from alexnet.ingest import stored
from alexnet.ingest.stored import BadPictureError

NUMBERS = ["00000", "00001", "00002", "00003"]
SHOWN = {name: wnid for names in (WNIDS, WORDS, NUMBERS) for name, wnid in zip(names, WNIDS, strict=True)}
check_every_label = partial(archives.check_every_label, shown=SHOWN)


# --- parquet --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["data/{}-00000-of-00001.parquet", "{}/0000.parquet", "default/{}/0000.parquet"]
)
def test_parquet_with_wnids_in_the_names(tmp_path: Path, build: Build, place: str) -> None:
    root = tmp_path / "raw"
    parquet(root / place.format("train"), TRAIN, wnid_names(TRAIN), NAMED)
    parquet(root / place.format("validation"), VAL, wnid_names(VAL), NAMED)
    parquet(root / place.format("test"), [-1], ["ILSVRC2012_test_1.JPEG"], NAMED)
    index = build(root)
    check_every_label(root, index, {"train": 10, "val": 4, "test": 1})
    assert index.layout == "parquet"
    assert index.classes["wnid"].tolist() == sorted(WNIDS)
    assert index.classes["words"].tolist() == [WORDS[WNIDS.index(wnid)] for wnid in sorted(WNIDS)]


def test_shards_that_are_missing_are_told(
    tmp_path: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "raw"
    for number in (0, 2):
        parquet(root / f"data/train-{number:05d}-of-00003-abc{number}.parquet", TRAIN, about=NAMED)
    parquet(root / "data/validation-00000-of-00001.parquet", VAL, about=NAMED)
    build(root)
    assert "1 of 3 files train-… are not there" in capsys.readouterr().out
    parquet(root / "data/train-00001-of-00003-abc1.parquet", TRAIN, about=NAMED)
    build(root)
    assert "not there" not in capsys.readouterr().out
    parquet(root / "160px/data/validation-00000-of-00001.parquet", VAL, about=NAMED)
    build(root)
    told = "validation-00000-of-00001.parquet is there 2 times (in other folders, or compressed)"
    assert told in capsys.readouterr().out


def test_a_picture_for_validation_needs_a_label(tmp_path: Path, build: Build) -> None:
    root = tmp_path / "raw"
    parquet(root / "train-00000-of-00001.parquet", TRAIN, about=NAMED)
    parquet(root / "validation-00000-of-00001.parquet", [0, -1], [None, "b"], NAMED)
    refused(build, root, "validation-00000-of-00001.parquet", "b has no label")


@pytest.mark.parametrize("names", ["metadata", "classes.txt", "classes.py", "nothing"])
def test_parquet_with_names_from_elsewhere(tmp_path: Path, build: Build, names: str) -> None:
    root = tmp_path / "raw"
    tables(root, about=NAMED if names == "metadata" else None)
    if names == "classes.txt":
        (root / names).write_text("\n".join(WORDS))
    elif names == "classes.py":
        pairs = "".join(f"    '{wnid}': {word!r},\n" for wnid, word in zip(WNIDS, WORDS, strict=True))
        (root / names).write_text(f"raise SystemExit('not to be run')\nCLASSES = Ordered({{\n{pairs}}})\n")
    index = build(root)
    check_every_label(root, index, {"train": 10, "val": 4})
    assert index.classes["wnid"].tolist() == (NUMBERS if names == "nothing" else sorted(WORDS))


def features(**names: list[str]) -> dict[str, Any]:
    return {"info": {"features": {key: {"names": n, "_type": "ClassLabel"} for key, n in names.items()}}}


def test_names_are_those_of_the_column_of_labels(tmp_path: Path, build: Build) -> None:
    about = features(colour=["red", "green", "blue", "grey"], label=WORDS)
    tables(tmp_path / "raw", about=about)
    index = build(tmp_path / "raw")
    check_every_label(tmp_path / "raw", index, {"train": 10, "val": 4})
    assert index.classes["wnid"].tolist() == sorted(WORDS)


@pytest.mark.parametrize(
    ("others", "difference"), [(WORDS[::-1], "0 is cat, not tea"), (WORDS[:3], "3, not 4")]
)
def test_files_with_other_names_of_classes(
    tmp_path: Path, build: Build, others: list[str], difference: str
) -> None:
    root = tmp_path / "raw"
    parquet(root / "train-0.parquet", TRAIN)
    parquet(root / "train-1.parquet", TRAIN, about=features(label=WORDS))
    parquet(root / "val-0.parquet", VAL, about=features(label=others))
    where = f"than in {root}/train-1.parquet ({difference})"
    refused(build, root, f"val-0.parquet: found other names of classes {where}")


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_parquet_with_pictures_as_plain_bytes(tmp_path: Path, build: Build, kind: pa.DataType) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    for split, labels in (("train", TRAIN), ("val", VAL)):
        images = pa.array([picture(label, number) for number, label in enumerate(labels)], kind)
        pq.write_table(pa.table({"image": images, "label": labels}), root / f"{split}-0.parquet")
    check_every_label(root, build(root), {"train": 10, "val": 4})


def test_damaged_and_strange_parquet(tmp_path: Path, build: Build) -> None:
    root = tmp_path / "raw"
    parquet(root / "train-0.parquet", TRAIN, wnid_names(TRAIN), NAMED)
    parquet(root / "val-0.parquet", [9], about=NAMED)
    refused(build, root, "found the label 9; allowed: 0 to 3")
    parquet(root / "val-0.parquet", [-1], about=NAMED)
    parquet(root / "train-1.parquet", [-1], about=NAMED)
    refused(build, root, "train-1.parquet: train-1/000000 has no label")
    content = (root / "train-0.parquet").read_bytes()
    (root / "train-1.parquet").write_bytes(content[:-40])
    refused(build, root, "train-1.parquet: cannot be read", "Download it again")
    pq.write_table(pa.table({"image": [b"x"], "kind": [1]}), root / "train-1.parquet")
    refused(build, root, "train-1.parquet: no column of labels; found image, kind")


# --- WebDataset -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", [False, True])
def test_webdataset(tmp_path: Path, build: Build, form: str, packed: bool) -> None:
    root = shards(tmp_path / "raw", form, packed)
    (root / "_info.json").write_text(json.dumps({"splits": {"train": {}}, "class_names": WNIDS}))
    (root / "words.txt").write_text("".join(f"{w}\t{t}\n" for w, t in zip(WNIDS, WORDS, strict=True)))
    index = build(root)
    check_every_label(root, index, {"train": 10, "val": 4})
    assert index.layout == "webdataset"
    assert index.classes["words"].tolist() == [WORDS[WNIDS.index(wnid)] for wnid in sorted(WNIDS)]


# What .cls and .json say of a picture of a label, and the names of the classes 0, 1 and 2 then.
CRANES = ["crane", "crane", "dog"]
BOTH: dict[str, tuple[Callable[[int], tuple[object, object]], list[str]]] = {
    "a shared name": (lambda label: (label, {"label": label, "class_name": CRANES[label]}), NUMBERS[:3]),
    "a shared name alone in JSON": (lambda label: (label, {"class_name": CRANES[label]}), NUMBERS[:3]),
    "no .cls": (lambda label: ("", {"label": label, "class_name": CRANES[label]}), NUMBERS[:3]),
    "the name": (lambda label: ("", {"class_name": WORDS[label], "label": None}), WORDS[:3]),
    "two numbers": (lambda label: (label, {"label": 7 - label}), NUMBERS[:3]),
    "a number and a WNID": (lambda label: (label, {"wnid": WNIDS[label]}), WNIDS[:3]),
    "a WNID as a name": (lambda label: (label, {"label": 7, "class_name": WNIDS[label]}), WNIDS[:3]),
    "no labels in JSON": (lambda label: (WNIDS[label], ["x"]), WNIDS[:3]),
}


@pytest.mark.parametrize("form", BOTH)
@pytest.mark.parametrize("turned", [1, -1])
def test_the_most_telling_label_counts(tmp_path: Path, build: Build, form: str, turned: int) -> None:
    says, names = BOTH[form]
    members = []
    for label in range(3):
        number, about = says(label)
        pair = [(f"{label}.cls", str(number).encode()), (f"{label}.json", json.dumps(about).encode())]
        members += [(f"{label}.png", picture(label)), *pair[::turned]]
    root = unpack(tmp_path / "raw", {f"x-{split}-0.tar": tar(members) for split in ("train", "val")})
    index = build(root)
    check_every_label(root, index, {"train": 3, "val": 3})
    assert index.classes["wnid"].tolist() == sorted(names)


def test_shards_of_one_name_in_two_folders_are_told_apart(tmp_path: Path, build: Build) -> None:
    shards = {f"{folder}/train-0.tar": shard([0, 1], FORMS["name"]) for folder in "ab"}
    names = build(unpack(tmp_path / "raw", {**shards, "val-0.tar": shards["a/train-0.tar"]})).pictures["name"]
    pictures = [name.partition("/")[2] for name in names[4:]]
    assert names.tolist()[:4] == [f"{path}/{name}" for path in shards for name in pictures]
    assert names.tolist()[4:] == [f"val-0/{name}" for name in pictures]


def test_two_classes_of_one_name_stay_two(tmp_path: Path, build: Build) -> None:
    root = unpack(tmp_path / "raw", {"x-train-0.tar": shard([0, 1, 2, 1], FORMS["number"])})
    (root / "classes.txt").write_text("crane\ntea\ncrane\n")
    assert build(root).classes["wnid"].tolist() == ["crane (0)", "crane (2)", "tea"]


def test_a_name_that_looks_like_a_number_is_a_name(tmp_path: Path, build: Build) -> None:
    names = ["m²", "②"]
    content = shard([0, 1], lambda label: ("cls", names[label].encode()))
    root = unpack(tmp_path / "raw", {"x-train-0.tar": content, "x-val-0.tar": content})
    assert build(root).classes["wnid"].tolist() == names


def test_a_store_of_ours_is_a_source(tmp_path: Path, build: Build) -> None:
    before = build(official_files(tmp_path / "raw"))
    store(tmp_path / "raw", before, tmp_path / "records", tmp_path / "s")
    after = build(tmp_path / "records")
    assert after.layout == "webdataset"
    counts = [index.pictures.groupby(["split", "label"]).size().tolist() for index in (before, after)]
    assert counts[0] == counts[1]


def test_shards_without_pictures(tmp_path: Path, build: Build) -> None:
    before = build(official_files(tmp_path / "raw"))
    store(tmp_path / "raw", before, tmp_path / "records", tmp_path / "s", encoding="raw")
    refused(build, tmp_path / "records", "no pictures in its shards; found .rgb; allowed: .jpeg, .jpg")
    root = unpack(tmp_path / "labels", {"x-train-0.tar": tar([("1.cls", b"0"), ("2.cls", b"1")])})
    refused(build, root, "no pictures in its shards; found labels alone; allowed: .jpeg, .jpg")


def test_damaged_shards(tmp_path: Path, build: Build) -> None:
    content = shard(TRAIN, FORMS["number"])
    root = unpack(tmp_path / "raw", {"x-train-0.tar": content, "x-val-0.tar": content[:5000]})
    refused(build, root, "x-val-0.tar: not a whole tar")
    # The first picture and its label, and then a cut between two members, or a broken header.
    end = content.index(b"000001.")
    for cut in (content[:end], content[: end + 100], content[:end] + b"?" + content[end + 1 :]):
        (root / "x-val-0.tar").write_bytes(cut)
        refused(build, root, "x-val-0.tar: not a whole tar (no end where one is due")
    (root / "x-val-0.tar").write_bytes(shard(VAL, FORMS["number"]))
    (root / "_info.json").write_text('{"class_names": [')
    refused(build, root, "_info.json: cannot be read")
    (root / "_info.json").unlink()
    (root / "x-val-0.tar").write_bytes(tar([("1.png", picture(0)), ("1.json", b"{")]))
    refused(build, root, "x-val-0.tar: a label cannot be read")
    (root / "x-val-0.tar").write_bytes(tar([("1.png", b"x"), ("1.jpg", b"x"), ("1.cls", b"0")]))
    refused(build, root, "two pictures are named 1")


def with_member(content: bytes, **changes: Any) -> bytes:
    """Return a shard with one more member, 2.png, of three bytes."""
    file, entry = io.BytesIO(content), tarfile.TarInfo("2.png")
    for name, value in {"size": 3, **changes}.items():
        setattr(entry, name, value)
    with tarfile.open(fileobj=file, mode="a", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry, io.BytesIO(b"abc"))
    return file.getvalue()


def test_members_of_shards_that_are_no_plain_files(tmp_path: Path, build: Build) -> None:
    content = shard([0, 0, 1], FORMS["name"])
    folder = with_member(content, name="folder", type=tarfile.DIRTYPE, size=0)
    root = unpack(tmp_path / "raw", {"x-train-0.tar": folder})
    assert len(build(root).pictures) == 3
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        link = with_member(content, type=kind, linkname="000000.png", size=0)
        (root / "x-train-0.tar").write_bytes(link)
        refused(build, root, "x-train-0.tar: found 2.png, which is no plain file; not read")
    holes = {"GNU.sparse.map": "0,1,9,2", "GNU.sparse.size": "11"}
    (root / "x-train-0.tar").write_bytes(with_member(content, pax_headers=holes))
    refused(build, root, "x-train-0.tar: found 2.png, stored as a sparse file", "without --sparse")


# --- Hugging Face's tars, and the official ones in parts ------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
def test_huggingface_tars(
    tmp_path: Path, build: Build, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if streamed:
        monkeypatch.setattr(stored, "KEPT_STREAM_BYTES", 0)

    def members(labels: list[int], stem: str) -> list[tuple[str, bytes]]:
        return [(f"{stem}{n:08d}_{WNIDS[label]}.JPEG", picture(label, n)) for n, label in enumerate(labels)]

    name = "ILSVRC2012_test_00000001.JPEG"
    files = {
        "train_images_0.tar.gz": members(TRAIN[:5], "a_"),
        "train_images_1.tar.gz": members(TRAIN[5:], "b_"),
        "val_images.tar.gz": members(VAL, "ILSVRC2012_val_"),
        "test_images.tar.gz": [(name, archives.picture(name))],
    }
    root = unpack(tmp_path / "raw", {name: gzip.compress(tar(content)) for name, content in files.items()})
    index = build(root)
    check_every_label(root, index, {"train": 10, "val": 4, "test": 1})
    assert index.layout == "huggingface-tars"
    if not streamed:
        monkeypatch.setattr(stored, "MAX_STREAM_BYTES", 1000)
        stored._unpacked.cache_clear()
        row: Any = next(index.pictures.itertuples())
        with pytest.raises(UserError, match=r"\.tar\.gz: unpacks to more than 1,000 bytes"):
            stored.read_bytes(root, row)
    cut = tar(files["val_images.tar.gz"])
    (root / "val_images.tar.gz").write_bytes(gzip.compress(cut[: cut.index(b"ILSVRC2012_val_00000002")]))
    refused(build, root, "val_images.tar.gz: not a whole tar (no end where one is due")
    (root / "val_images.tar.gz").write_bytes(gzip.compress(tar([("x.JPEG", b"x")])))
    refused(build, root, "val_images.tar.gz: found x.JPEG, without a class")


def test_official_tars_in_parts(tmp_path: Path, build: Build) -> None:
    expected, root = build(official_files(tmp_path / "whole")), in_parts(tmp_path / "parts")
    found = build(root)
    assert found.pictures.equals(expected.pictures)
    for row in found.pictures.itertuples():
        assert stored.read_bytes(root, row) == stored.read_bytes(tmp_path / "whole", row)
    (root / "ILSVRC2012_img_train.tar.002").unlink()
    refused(build, root, "ILSVRC2012_img_train.tar: part 2 of", "is missing")


# --- the same pictures, the same records ----------------------------------------------------------


def test_four_layouts_give_the_same_records(tmp_path: Path, build: Build) -> None:
    names = {split: wnid_names(labels) for split, labels in (("train", TRAIN), ("val", VAL))}
    labels = {"train": TRAIN, "val": VAL}
    content = {s: [picture(label, n) for n, label in enumerate(labels[s])] for s in labels}
    roots = {name: tmp_path / name for name in ("folders", "parquet", "webdataset", "huggingface")}
    tables(roots["parquet"], wnids=True)
    for split in labels:
        pairs = list(zip(names[split], labels[split], content[split], strict=True))
        unpack(roots["folders"], {f"{split}/{WNIDS[label]}/{name}": data for name, label, data in pairs})
        keys = [(str(name).removesuffix(".JPEG"), label, data) for name, label, data in pairs]
        members = [
            (f"{k}.{s}", c) for k, label, data in keys for s, c in (("jpg", data), ("cls", b"%d" % label))
        ]
        unpack(roots["webdataset"], {f"x-{split}-0.tar": tar(members)})
        plain = tar([(str(name), data) for name, _, data in pairs])
        file = "train_images_0.tar.gz" if split == "train" else "val_images.tar.gz"
        unpack(roots["huggingface"], {file: gzip.compress(plain)})
    made = {}
    for name, root in roots.items():
        index = build(root)
        store(root, index, tmp_path / "out" / name, tmp_path / "s")
        made[name] = {path.name: path.read_bytes() for path in (tmp_path / "out" / name).glob("*.tar")}
        assert index.classes["wnid"].tolist() == sorted(WNIDS)
    assert len(made["folders"]) == 4
    assert all(records == made["folders"] for records in made.values())


@pytest.mark.parametrize("kind", ["a test split without labels", "labels behind all pictures"])
def test_shards_are_told_from_tars_of_classes(tmp_path: Path, build: Build, kind: str) -> None:
    root, counts = shards(tmp_path / "raw"), {"train": 10, "val": 4}
    if kind == "a test split without labels":
        # It comes first by its name.
        pictures = [(f"{n}.png", archives.picture(f"a-test-0/{n}.png")) for n in range(8)]
        unpack(root, {"a-test-0.tar": tar(pictures)})
        counts["test"] = 8
    else:
        for path in root.iterdir():
            with tarfile.open(path) as opened:
                members = [(each.name, opened.extractfile(each).read()) for each in opened]  # type: ignore[union-attr]
            path.write_bytes(tar(sorted(members, key=lambda member: member[0].endswith(".cls"))))
    index = build(root)
    assert index.layout == "webdataset"
    check_every_label(root, index, counts)


@pytest.mark.parametrize("write", [tables, shards])
def test_folders_behind_links(tmp_path: Path, build: Build, write: Callable[[Path], object]) -> None:
    write(tmp_path / "elsewhere")
    root = tmp_path / "raw"
    root.mkdir()
    (root / "all").symlink_to(tmp_path / "elsewhere")
    # Which leads in circles.
    (tmp_path / "elsewhere" / "again").symlink_to(root)
    check_every_label(root, build(root), {"train": 10, "val": 4})


def test_a_label_that_is_nested_too_deep_is_refused(tmp_path: Path, build: Build) -> None:
    deep = tar([("1.png", picture(0)), ("1.json", b"[" * 100_000)])
    refused(build, unpack(tmp_path / "raw", {"x-train-0.tar": deep}), "a label cannot be read")


def test_what_is_too_large_is_not_read(tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet(tmp_path / "table/train-0.parquet", TRAIN, about=NAMED)
    image = [{"bytes": bytes(300_000), "path": None}] * 2
    table = pa.table({"image": image, "label": [0, 1]})
    pq.write_table(table, tmp_path / "table/train-1.parquet", compression="zstd")
    shards(tmp_path / "tars")
    monkeypatch.setattr(stored, "MAX_BYTES", 60)
    for folder, reason in (("table", "its group of rows unpacks to"), ("tars", "bytes; at most 60 are read")):
        large = build(tmp_path / folder).pictures.query("path != 'train-0.parquet'")
        for row in large.itertuples():
            with pytest.raises(BadPictureError, match=reason):
                stored.read_bytes(tmp_path / folder, row)


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../../x.png"])
def test_members_of_shards_that_lead_outside_are_refused(tmp_path: Path, build: Build, name: str) -> None:
    content = tar([(name, picture(0)), ("x.cls", b"0")])
    refused(build, unpack(tmp_path / "raw", {"x-train-0.tar": content}), name, "outside")
