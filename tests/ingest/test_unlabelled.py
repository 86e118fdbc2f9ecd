"""A test split whose labels nobody publishes: indexed, stored, verified, and predicted without rates."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from archives import Build, official_files, refused, store, tar, unpack
from conftest import ROOT
from tiny import evaluate_in, untar

from alexnet.core.params import read
from alexnet.evaluation.predictions import SERVER_FILE, load_predictions
from alexnet.ingest.sources.ilsvrc import ILSVRC_2012
from alexnet.ingest.stored import read_bytes
from alexnet.ingest.verify import find_problems
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.model.weights import save_network
from alexnet.store.counts import SplitCounts
from alexnet.store.index import UNKNOWN, write_index
from alexnet.store.records import open_records

TESTS = 7


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the official files, without test pictures; not to be written to."""
    return official_files(tmp_path_factory.mktemp("pictures") / "raw")


@pytest.fixture(scope="module")
def pictures(sample: Path) -> list[bytes]:
    """Return seven pictures as files."""
    classes = untar((sample / ILSVRC_2012.train).read_bytes())
    return [picture for _, content in classes for _, picture in untar(content)][:TESTS]


def write_test_tar(path: Path, pictures: list[bytes], first: int = 1, folder: str = "test/") -> None:
    named = [(f"{folder}ILSVRC2012_test_{n:08d}.JPEG", picture) for n, picture in enumerate(pictures, first)]
    # Another order than that of the numbers.
    path.write_bytes(tar(named[::-1]))


@pytest.fixture
def official(sample: Path, tmp_path: Path, pictures: list[bytes]) -> Path:
    root = Path(shutil.copytree(sample, tmp_path / "official"))
    write_test_tar(root / ILSVRC_2012.test[0], pictures)
    return root


# --- the index ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "folder"), list(zip(ILSVRC_2012.test, ("test/", ""), strict=True)))
def test_the_test_tar_of_2012(
    sample: Path, tmp_path: Path, build: Build, pictures: list[bytes], name: str, folder: str
) -> None:
    without = build(sample)
    root = Path(shutil.copytree(sample, tmp_path / "raw"))
    write_test_tar(root / name, pictures, folder=folder)
    index = build(root)
    found = index.pictures[index.pictures["split"] == "test"]
    assert found["label"].tolist() == [UNKNOWN] * TESTS
    assert found["name"].tolist() == [f"ILSVRC2012_test_{number:08d}.JPEG" for number in range(1, TESTS + 1)]
    assert [read_bytes(root, row) for row in found.itertuples()] == pictures
    assert index.pictures["label"].dtype == np.int32
    rest = index.pictures[index.pictures["split"] != "test"].reset_index(drop=True)
    assert rest.equals(without.pictures)
    assert index.classes.equals(without.classes)


@pytest.mark.parametrize(
    ("first", "count", "message"),
    [
        (0, TESTS, "7 pictures from number 0 to 6; allowed: from 1 on without a hole"),
        (2, TESTS, "7 pictures from number 2 to 8; allowed: from 1 on without a hole"),
        (1, 0, "ILSVRC2012_img_test_v10102019.tar: "),
    ],
)
def test_numbers_with_a_hole_or_none(
    official: Path, build: Build, pictures: list[bytes], first: int, count: int, message: str
) -> None:
    write_test_tar(official / ILSVRC_2012.test[0], pictures[:count], first)
    refused(build, official, message)


def test_subsets(official: Path, build: Build) -> None:
    one = build(official, per_class=1)
    # As many as of all three classes.
    assert one.pictures["split"].value_counts().to_dict() == {"train": 3, "val": 3, "test": 3}
    # They may show any class.
    two = build(official, classes=2)
    assert two.pictures["split"].value_counts().to_dict() == {"train": 8, "val": 4}


def test_they_cannot_validate(tmp_path: Path, build: Build, pictures: list[bytes]) -> None:
    files = {f"train/{'ab'[n % 2]}/{n}.jpg": picture for n, picture in enumerate(pictures)}
    files |= {f"test/{n}.jpg": picture for n, picture in enumerate(pictures)}
    root = unpack(tmp_path / "raw", files)
    assert build(root).pictures["split"].value_counts().to_dict() == {"train": 5, "val": 2, "test": 7}
    refused(build, root, "data.held_out: found 0, but the test pictures", "have no labels", held_out=0)


# --- the whole way --------------------------------------------------------------------------------


def test_predictions_without_rates(
    official: Path, tmp_path: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    index = build(official)
    write_index(tmp_path / "index", index)
    outcome = store(official, index, tmp_path / "records", tmp_path / "s")
    assert outcome.counts["test"] == SplitCounts(pictures=TESTS, skipped=0)
    assert set(open_records(tmp_path / "records", "test").labels) == {UNKNOWN}
    assert find_problems(tmp_path / "records", index, outcome.skipped) == []

    outcome.skipped.to_csv(tmp_path / "skipped", index=False)
    torch.manual_seed(0)
    network = AlexNet(read(ROOT / "params.yaml", Model).model_copy(update={"width": 0.05}), 3)
    classes = [(row["wnid"], row["words"]) for _, row in index.classes.iterrows()]
    save_network(tmp_path / "weights", network, classes)
    evaluate_in(tmp_path, "test")
    assert "test has no labels, so there are no error rates" in capsys.readouterr().out
    assert json.loads((tmp_path / "metrics").read_text()) == {"images": TESTS, "split": "test"}
    found = load_predictions(tmp_path / "predictions")
    assert not found.labelled
    # A line a picture by number, the likeliest ID first.
    lines = (tmp_path / "predictions" / SERVER_FILE).read_text().splitlines()
    best = dict(zip(found.names, found.ten.argmax(1), strict=True))
    expected = [index.classes["ilsvrc_id"][best[name]] for name in sorted(found.names)]
    assert [int(line.split()[0]) for line in lines] == expected
