"""The drawn sample: reproducible, truly labelled, as dirty as ImageNet, and blind to colour."""

import io
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import scipy.io
from PIL import Image, JpegImagePlugin
from pydantic import ValidationError
from tiny import hashes, largest_file, untar

from alexnet.core.errors import UserError
from alexnet.ingest.decode import decode
from alexnet.sample.files import (
    DEVKIT,
    GROUND_TRUTH,
    INTERNAL_LABELS,
    META,
    TRAIN,
    VAL,
    Entry,
    Synset,
    class_ids,
    encoded,
    generate,
    train_entries,
    val_entries,
)
from alexnet.sample.params import CLASSES_AVAILABLE, Sample
from alexnet.sample.pictures import CLASSES, LONGEST, SHORTEST, draw_picture

SETTINGS = Sample(seed=3, classes=4, first_class=6, train_per_class=8, val_per_class=5)
Drawn = dict[tuple[int, int], npt.NDArray[np.uint8]]
PLAIN_CMYK, ADOBE_CMYK = "plain CMYK", "Adobe CMYK"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample") / "raw"
    generate(root, SETTINGS, "none")
    return root


def train_files(root: Path) -> dict[str, list[tuple[str, bytes]]]:
    """Return the names and contents of each class's pictures, by the name of its archive."""
    return {name: untar(content) for name, content in untar((root / TRAIN).read_bytes())}


def val_files(root: Path) -> list[tuple[str, bytes]]:
    return untar((root / VAL).read_bytes())


def kit(root: Path) -> dict[str, bytes]:
    return dict(untar((root / DEVKIT).read_bytes()))


def synsets(root: Path) -> list[dict[str, Any]]:
    table = scipy.io.loadmat(io.BytesIO(kit(root)[META]), squeeze_me=True)["synsets"]  # type: ignore[arg-type]
    return [dict(zip(Synset._fields, row, strict=True)) for row in table]


def leaves(root: Path) -> dict[int, str]:
    """Return the WNID of each class by its ILSVRC2012_ID."""
    return {s["ILSVRC2012_ID"]: s["WNID"] for s in synsets(root) if s["num_children"] == 0}


def kind(content: bytes) -> str:
    picture = Image.open(io.BytesIO(content))
    if picture.mode == "CMYK":
        return ADOBE_CMYK if "adobe" in picture.info else PLAIN_CMYK
    return f"{picture.format} {picture.mode}"


def looks_like(content: bytes, drawn: npt.NDArray[np.uint8]) -> bool:
    found = decode(content)
    if found.shape != drawn.shape:
        return False
    if kind(content) == "JPEG L":
        drawn = np.repeat(cv2.cvtColor(drawn, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    return float(np.abs(found.astype(int) - drawn).mean()) < 12


def class_index(wnid: str) -> int:
    return [picture_class.wnid for picture_class in CLASSES].index(wnid)


def test_equal_settings_give_equal_bytes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The time of writing is not in the files.
    monkeypatch.setattr("time.time", lambda: 1e9)
    monkeypatch.setattr("time.asctime", lambda: "Sun Sep  9 01:46:40 2001")
    generate(tmp_path / "again", SETTINGS, "none", 2)
    assert hashes(tmp_path / "again") == hashes(root)


def test_another_seed_gives_other_pictures() -> None:
    entries = train_entries(SETTINGS)[:3]
    assert not {encoded(3, entry) for entry in entries} & {encoded(4, entry) for entry in entries}


def test_meta_lists_the_classes_and_internal_synsets_above_them(root: Path) -> None:
    table = synsets(root)
    assert [row["ILSVRC2012_ID"] for row in table] == list(range(1, len(table) + 1))
    assert set(leaves(root)) == {1, 2, 3, 4}
    internal = table[4:]
    assert len(internal) == 3
    children = [np.atleast_1d(row["children"]).tolist() for row in internal]
    assert [len(group) for group in children] == [row["num_children"] for row in internal]
    # All but the root have one parent.
    assert sorted(itertools.chain.from_iterable(children)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("classes", [2, 3, 10, CLASSES_AVAILABLE])
@pytest.mark.parametrize("seed", range(5))
def test_ids_are_not_in_the_order_of_wnids(seed: int, classes: int) -> None:
    changes = {"seed": seed, "classes": classes, "first_class": 0}
    ids = class_ids(SETTINGS.model_copy(update=changes))
    assert sorted(ids.values()) == list(range(1, classes + 1))
    by_id = [CLASSES[index].wnid for index in sorted(ids, key=ids.__getitem__)]
    assert by_id != sorted(by_id)


def test_train_pictures_show_the_class_of_their_archive(root: Path) -> None:
    assert set(train_files(root)) == {f"{wnid}.tar" for wnid in leaves(root).values()}
    for name, pictures in train_files(root).items():
        wnid = name.removesuffix(".tar")
        assert [picture for picture, _ in pictures] == [f"{wnid}_{n}.JPEG" for n in range(1, 9)]
        index = class_index(wnid)
        for number, (_, content) in enumerate(pictures, start=1):
            assert looks_like(content, draw_picture(SETTINGS.seed, "train", index, number))


def test_val_pictures_show_the_class_of_their_ground_truth(root: Path) -> None:
    wnids, pictures = leaves(root), val_files(root)
    labels = [int(line) for line in kit(root)[GROUND_TRUTH].decode().splitlines()]
    assert [name for name, _ in pictures] == [f"ILSVRC2012_val_{n:08d}.JPEG" for n in range(1, 21)]
    assert Counter(labels) == dict.fromkeys(wnids, SETTINGS.val_per_class)
    assert labels != sorted(labels)
    drawn = {
        (id_, number): draw_picture(SETTINGS.seed, "val", class_index(wnid), number)
        for id_, wnid in wnids.items()
        for number in range(1, SETTINGS.val_per_class + 1)
    }
    for label, (_, content) in zip(labels, pictures, strict=True):
        assert [id_ for (id_, _), picture in drawn.items() if looks_like(content, picture)] == [label]


def test_train_split_has_every_kind_of_dirt(root: Path) -> None:
    found = Counter(kind(content) for group in train_files(root).values() for _, content in group)
    assert found == {"JPEG RGB": 28, "JPEG L": 1, PLAIN_CMYK: 1, ADOBE_CMYK: 1, "PNG RGB": 1}


def test_shares_of_dirt_in_a_larger_sample() -> None:
    settings = Sample(seed=0, classes=10, first_class=0, train_per_class=100, val_per_class=30)
    train = Counter(entry.kind for entry in train_entries(settings))
    val = Counter(entry.kind for entry in val_entries(settings))
    assert train == {"rgb": 939, "grey": 40, "cmyk": 10, "adobe-cmyk": 10, "png": 1}
    assert val == {"rgb": 282, "grey": 12, "cmyk": 3, "adobe-cmyk": 3}


def test_plain_cmyk_stores_true_inks_with_black(root: Path) -> None:
    content = encoded(5, Entry("train", 0, 1, "cmyk"))
    assert b"Adobe" not in content
    stored = 255 - np.asarray(Image.open(io.BytesIO(content))).astype(int)
    light = draw_picture(5, "train", 0, 1).astype(int)
    # More ink, less light; were the values complements, they would go together.
    assert np.corrcoef(stored[..., 3].ravel(), light.max(axis=2).ravel())[0, 1] < -0.9


def test_jpegs_vary_in_quality_and_chroma(root: Path) -> None:
    jpegs: list[Any] = [
        Image.open(io.BytesIO(content)) for _, content in val_files(root) if kind(content) == "JPEG RGB"
    ]
    assert len({tuple(jpeg.quantization[0]) for jpeg in jpegs}) > 5
    assert {JpegImagePlugin.get_sampling(jpeg) for jpeg in jpegs} == {0, 2}


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    """Return pictures of the first ten classes by class index and number."""
    names = itertools.product(range(10), range(1, 19))
    return {(index, number): draw_picture(0, "train", index, number) for index, number in names}


def test_sizes_vary_within_bounds(drawn: Drawn) -> None:
    sides = np.array([picture.shape[:2] for picture in drawn.values()])
    ratios = sides.max(axis=1) / sides.min(axis=1)
    assert sides.min() >= SHORTEST
    assert sides.max() <= LONGEST
    assert sides.min() < 100
    assert sides.max() > 700
    assert 200 < np.median(sides.min(axis=1)) < 300
    assert np.mean(ratios <= 4 / 3 + 0.01) > 0.8
    assert 2 < ratios.max() <= 3.1
    assert 0.35 < np.mean(sides[:, 0] > sides[:, 1]) < 0.65, "tall and wide ones are as frequent"


def test_mean_colour_does_not_tell_the_class(drawn: Drawn) -> None:
    colours = np.array([picture.mean(axis=(0, 1)) for picture in drawn.values()])
    by_class = colours.reshape(10, 18, 3)
    known, asked = by_class[:, :12], by_class[:, 12:]
    distances = np.linalg.norm(asked[:, :, None] - known.mean(axis=1), axis=-1)
    accuracy = np.mean(distances.argmin(axis=-1) == np.arange(10)[:, None])
    assert accuracy < 0.2, "chance is 0.1"


def test_every_class_has_its_own_wnid_and_words() -> None:
    internal = INTERNAL_LABELS.values()
    wnids = [each.wnid for each in CLASSES] + [wnid for wnid, _, _ in internal]
    words = [each.words for each in CLASSES] + [words for _, words, _ in internal]
    assert len(CLASSES) == CLASSES_AVAILABLE
    assert len(set(wnids)) == len(wnids)
    assert len(set(words)) == len(words)


def test_full_folder_is_not_overwritten(root: Path) -> None:
    before = hashes(root)
    with pytest.raises(UserError, match="exists already"):
        generate(root, SETTINGS, "none")
    assert hashes(root) == before


def test_a_sample_on_a_full_disk_is_told(tmp_path: Path) -> None:
    with largest_file(10_000), pytest.raises(UserError, match="raw: cannot be written: File too large"):
        generate(tmp_path / "raw", SETTINGS, "none")
    assert not (tmp_path / "raw").exists()


def test_empty_folder_and_remains_of_an_interruption_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw.partial").mkdir()
    (tmp_path / "raw.partial" / "remains").touch()
    generate(tmp_path / "raw", SETTINGS.model_copy(update={"classes": 0}), "none")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    assert list(hashes(tmp_path / "raw")) == ["README.txt"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 1}, "classes: found 1; allowed: 0 for no sample, or 2 to 20"),
        ({"first_class": 17}, "first_class: found 17 with 4 classes; allowed: at most 16"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Sample.model_validate(SETTINGS.model_dump() | changes)
