"""A test split whose labels nobody publishes: indexed, stored, verified, and predicted without rates."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from alexnet.core.errors import UserError
from alexnet.core.machine import Machine
from alexnet.core.params import read
from alexnet.evaluation.evaluate import Paths, evaluate_network
from alexnet.evaluation.params import Evaluate
from alexnet.evaluation.predictions import SERVER_FILE, load_predictions
from alexnet.ingest.params import Data, Preprocess
from alexnet.ingest.prepare import preprocess
from alexnet.ingest.raw import Place, read_bytes
from alexnet.ingest.selection import select_pictures
from alexnet.ingest.sources.archives import scan_tar
from alexnet.ingest.sources.ilsvrc import ILSVRC_2012
from alexnet.ingest.verify import problems
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.model.weights import save_network
from alexnet.parallel.mesh import Mesh
from alexnet.sample import generate
from alexnet.sample.params import Sample
from alexnet.store import index as indexes
from alexnet.store.records import open_records

SAMPLE = Sample(seed=3, classes=3, first_class=0, train_per_class=3, val_per_class=2)
DATA = Data(layout="auto", classes="all", per_class="all", held_out=0.34, seed=1)
TESTS = 7


def split_of(index: indexes.Index, split: str) -> pd.DataFrame:
    return index.pictures[index.pictures["split"] == split]


def build(root: Path, state: Path, **changes: object) -> indexes.Index:
    return select_pictures(root, DATA.model_copy(update=changes), state)[0]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Return seven pictures as files."""
    root = tmp_path_factory.mktemp("pictures") / "raw"
    generate(root, SAMPLE, "none")
    content = (root / ILSVRC_2012.train).read_bytes()
    members = scan_tar(root / ILSVRC_2012.train)
    places = list(zip(members["offset"].tolist(), members["size"].tolist(), strict=True))
    return [content[offset : offset + size] for offset, size in places[:TESTS]]


def write_test_tar(path: Path, pictures: list[bytes], first: int = 1, folder: str = "test/") -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        # Another order than that of the numbers.
        for number in reversed(range(len(pictures))):
            entry = tarfile.TarInfo(f"{folder}ILSVRC2012_test_{number + first:08d}.JPEG")
            entry.size = len(pictures[number])
            tar.addfile(entry, io.BytesIO(pictures[number]))


@pytest.fixture
def official(tmp_path: Path, pictures: list[bytes]) -> Path:
    root = tmp_path / "official"
    generate(root, SAMPLE, "none")
    write_test_tar(root / ILSVRC_2012.test[0], pictures)
    return root


def check(root: Path, index: indexes.Index, pictures: list[bytes]) -> None:
    """Check that the test rows hold the very `pictures`, by number, and no label."""
    found = split_of(index, "test")
    assert found["label"].tolist() == [indexes.UNKNOWN] * TESTS
    assert found["name"].tolist() == [f"ILSVRC2012_test_{number:08d}.JPEG" for number in range(1, TESTS + 1)]
    columns = ["path", "packing", "form", "offset", "size"]
    places = [Place(*row) for row in found[columns].itertuples(index=False)]
    assert [read_bytes(root, place) for place in places] == pictures
    assert index.pictures["label"].dtype == np.int32
    assert (index.pictures["label"][index.pictures["split"] != "test"] >= 0).all()


# --- the index ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "folder"), list(zip(ILSVRC_2012.test, ("test/", ""), strict=True)))
def test_the_test_tar_of_2012(tmp_path: Path, pictures: list[bytes], name: str, folder: str) -> None:
    root = tmp_path / "raw"
    generate(root, SAMPLE, "none")
    without = build(root, tmp_path / "state")
    write_test_tar(root / name, pictures, folder=folder)
    index = build(root, tmp_path / "state")
    check(root, index, pictures)
    rest = index.pictures[index.pictures["split"] != "test"].reset_index(drop=True)
    assert rest.equals(without.pictures)
    assert index.classes.equals(without.classes)


@pytest.mark.parametrize("method", [None, zipfile.ZIP_DEFLATED], ids=["folder", "zip"])
def test_kaggles_test_folder(tmp_path: Path, pictures: list[bytes], method: int | None) -> None:
    top = "ILSVRC/Data/CLS-LOC"
    files = {f"{top}/train/n0{n % 2}/n0{n % 2}_{n}.JPEG": picture for n, picture in enumerate(pictures)}
    files |= {f"{top}/val/ILSVRC2012_val_00000001.JPEG": pictures[0]}
    files |= {f"{top}/test/ILSVRC2012_test_{n:08d}.JPEG": picture for n, picture in enumerate(pictures, 1)}
    files["LOC_val_solution.csv"] = b"ImageId,PredictionString\nILSVRC2012_val_00000001,n01 1 2 3 4\n"
    files["LOC_synset_mapping.txt"] = b"n00 cat\nn01 dog\n"
    root = tmp_path / "raw"
    root.mkdir()
    if method is None:
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    else:
        with zipfile.ZipFile(root / "all.zip", "w", method) as packed:
            for name, content in files.items():
                packed.writestr(name, content)
    index = build(root, tmp_path / "state")
    check(root, index, pictures)
    assert split_of(index, "val")["label"].tolist() == [1]
    assert index.classes["wnid"].tolist() == ["n00", "n01"]


@pytest.mark.parametrize("first", [0, 2])
def test_numbers_with_a_hole(official: Path, tmp_path: Path, pictures: list[bytes], first: int) -> None:
    write_test_tar(official / ILSVRC_2012.test[0], pictures, first)
    with pytest.raises(UserError, match=rf"7 pictures from number {first} to .* without a hole"):
        build(official, tmp_path / "state")


def test_an_empty_test_tar(official: Path, tmp_path: Path) -> None:
    write_test_tar(official / ILSVRC_2012.test[0], [])
    with pytest.raises(UserError, match=r"ILSVRC2012_img_test_v10102019\.tar: "):
        build(official, tmp_path / "state")


def test_subsets(official: Path, tmp_path: Path) -> None:
    one = build(official, tmp_path / "state", per_class=1)
    # As many as of all three classes.
    assert one.pictures["split"].value_counts().to_dict() == {"train": 3, "val": 3, "test": 3}
    # They may show any class.
    two = build(official, tmp_path / "state", classes=2)
    assert two.pictures["split"].value_counts().to_dict() == {"train": 6, "val": 4}


def test_they_cannot_validate(tmp_path: Path, pictures: list[bytes]) -> None:
    root = tmp_path / "raw"
    for number, picture in enumerate(pictures):
        for folder in (f"train/{'ab'[number % 2]}", "test"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / f"{number}.jpg").write_bytes(picture)
    found = build(root, tmp_path / "state")
    assert found.pictures["split"].value_counts().to_dict() == {"train": 5, "val": 2, "test": 7}
    with pytest.raises(UserError, match=r"data\.held_out: found 0, but the test pictures.* have no labels"):
        build(root, tmp_path / "state", held_out=0)


# --- the whole way --------------------------------------------------------------------------------


def test_predictions_without_rates(
    official: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pictures: list[bytes]
) -> None:
    index, layout = select_pictures(official, DATA, tmp_path / "state")
    indexes.write_index(tmp_path / "index", index, layout)
    small = read(ROOT / "params.yaml", Preprocess).model_copy(update={"shard_pictures": 4})
    with ThreadPoolExecutor(1) as pool:
        outcome = preprocess(official, index, small, tmp_path / "records", tmp_path / "s", pool, "none")
    assert outcome.counts["test"] == {"pictures": TESTS, "skipped": 0}
    assert set(open_records(tmp_path / "records", "test").labels) == {indexes.UNKNOWN}
    assert problems(tmp_path / "records", index, outcome.skipped, "none") == []

    outcome.skipped.to_csv(tmp_path / "skipped.csv", index=False)
    torch.manual_seed(0)
    network = AlexNet(read(ROOT / "params.yaml", Model).model_copy(update={"width": 0.05}), 3)
    classes = [(row["wnid"], row["words"]) for _, row in index.classes.iterrows()]
    save_network(tmp_path / "weights", network, classes)
    paths = Paths(
        index=tmp_path / "index",
        records=tmp_path / "records",
        skipped=tmp_path / "skipped.csv",
        weights=tmp_path / "weights",
        predictions=tmp_path / "predictions",
        metrics=tmp_path / "metrics.json",
    )
    machine = Machine(progress="none", loader="torch", workers=1)
    evaluate_network(Mesh(), torch.device("cpu"), Evaluate(split="test", ties="against"), machine, paths)
    assert "the split test has no labels, so there are no error rates" in capsys.readouterr().out
    assert json.loads(paths.metrics.read_text()) == {"images": TESTS, "split": "test"}
    found = load_predictions(paths.predictions)
    assert not found.labelled
    # A line a picture by number, the likeliest ID first.
    lines = (paths.predictions / SERVER_FILE).read_text().splitlines()
    best = dict(zip(found.names, found.ten.argmax(1), strict=True))
    expected = [index.classes["ilsvrc_id"][best[name]] for name in sorted(found.names)]
    assert [int(line.split()[0]) for line in lines] == expected
