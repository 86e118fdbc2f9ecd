"""`alexnet data verify` names every kind of damage; `alexnet data show` draws what the loader gives."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from archives import builder, official_files, store
from conftest import ROOT
from PIL import Image
from tiny import flip
from typer.testing import CliRunner

from alexnet.cli.main import app
from alexnet.core.files import sha256_of
from alexnet.core.params import read
from alexnet.feed.contact_sheet import GAP, HEADING
from alexnet.feed.order import training_epoch
from alexnet.feed.params import Augment
from alexnet.store.index import read_index, write_index
from alexnet.store.records import SHARDS, TABLE, decoded, open_records
from alexnet.store.statistics import SUMS, Sums, measure_statistics, write_statistics
from alexnet.training.params import Train


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with records, index, skipped.csv and statistics.npz; not to be written to."""
    folder = tmp_path_factory.mktemp("whole")
    index = builder(folder / "state")(official_files(folder / "raw", train_per_class=5))
    # Its bytes are gone once it is indexed.
    index.pictures.loc[0, "size"] = 0
    write_index(folder / "index", index)
    found = read_index(folder / "index")
    outcome = store(folder / "raw", found, folder / "records", folder / "s", max_bad_fraction=0.1)
    write_statistics(folder / "statistics.npz", measure_statistics(folder / "records"))
    outcome.skipped.to_csv(folder / "skipped.csv", index=False)
    return folder


@pytest.fixture
def own(whole: Path, tmp_path: Path) -> Path:
    """Return a copy that the test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "own"))


def verify(folder: Path) -> tuple[int, str]:
    options = [f"--{name}={folder / name}" for name in ("records", "index")]
    done = CliRunner().invoke(app, ["data", "verify", *options, f"--skipped={folder / 'skipped.csv'}"])
    return done.exit_code, done.output


def test_a_whole_store_is_found_so(whole: Path) -> None:
    status, said = verify(whole)
    assert status == 0, said
    assert "every shard, picture and label is as it should be" in said


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def relabel(path: Path) -> None:
    table = pd.read_parquet(path)
    table.loc[3, "label"] = (table["label"][3] + 1) % 3
    table.to_parquet(path, index=False)


DAMAGE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "a changed byte": (
        lambda own: flip(own / "records/train-00001.tar", 700),
        ["train-00001.tar: its SHA-256 is not the one listed"],
    ),
    "a cut shard": (
        lambda own: (own / "records/val-00000.tar").write_bytes(b"x" * 600),
        ["val-00000.tar: 600 bytes, listed are"],
    ),
    "a missing shard": (
        lambda own: (own / "records/train-00002.tar").unlink(),
        ["train-00002.tar: missing, with 4 pictures"],
    ),
    "a strange shard": (
        lambda own: shutil.copy(own / "records/val-00000.tar", own / "records/val-00077.tar"),
        ["val-00077.tar: not listed in shards.csv"],
    ),
    "a wrong label in the table": (
        lambda own: relabel(own / "records" / TABLE),
        [".tar: holds other pictures or labels than records.parquet says", "labelled"],
    ),
    "no sums": (lambda own: (own / "records" / SUMS).unlink(), ["sums.npz: missing; run the preprocess"]),
    "cut sums": (lambda own: cut(own / "records" / SUMS), ["sums.npz: cannot be read"]),
    "sums without their products": (
        lambda own: np.savez(own / "records" / SUMS, images=14),
        ["sums.npz: cannot be read"],
    ),
    "sums of other pictures": (
        lambda own: Sums().write(own / "records" / SUMS),
        ["sums.npz: sums of 0 training pictures, but 14 are there"],
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(own: Path, damage: str) -> None:
    spoil, parts = DAMAGE[damage]
    spoil(own)
    status, said = verify(own)
    assert status == 1
    assert "Traceback" not in said
    for part in [*parts, "problems. Run dvc repro -f preprocess"]:
        assert part in said


def test_a_shard_that_cannot_be_read_does_not_hide_the_others(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: Path) -> str:
        if path.name == "train-00000.tar":
            raise OSError(errno.EIO, "Input/output error")
        return sha256_of(path)

    monkeypatch.setattr("alexnet.ingest.verify.sha256_of", failing)
    flip(own / "records/val-00000.tar", 700)
    status, said = verify(own)
    assert status == 1
    assert "train-00000.tar: cannot be read: Input/output error" in said
    assert "val-00000.tar: its SHA-256 is not the one listed" in said


@pytest.mark.parametrize("table", [TABLE, SHARDS])
def test_a_cut_table_is_named(own: Path, table: str) -> None:
    whole = (own / "records" / table).read_bytes()
    for end in (0, 4, 12, len(whole) // 2, len(whole) - 80):
        (own / "records" / table).write_bytes(whole[:end])
        status, said = verify(own)
        assert status == 1
        assert "Traceback" not in said
        assert table in said
        assert "dvc repro -f preprocess" in said


def test_no_store_at_all(tmp_path: Path, whole: Path) -> None:
    shutil.copytree(whole / "index", tmp_path / "index")
    status, said = verify(tmp_path)
    assert status == 1
    assert "dvc repro preprocess" in said


def test_the_contact_sheet_shows_what_the_loader_gives(whole: Path, tmp_path: Path) -> None:
    options = [f"--{name}={whole / name}" for name in ("records", "index")]
    options += [f"--statistics={whole / 'statistics.npz'}", f"--params={ROOT / 'params.yaml'}"]
    options += ["--epoch=3", "--pictures=4", f"--out={tmp_path / 'sheet.png'}"]
    done = CliRunner().invoke(app, ["data", "show", *options])
    assert done.exit_code == 0, done.output
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    records = open_records(whole / "records", "train")
    augment, seed = read(ROOT / "params.yaml", Augment), read(ROOT / "params.yaml", Train).seed
    plan = training_epoch(seed, 3, len(records), augment)
    shifts = set()
    for row, record in enumerate(plan.order[:4]):
        top = HEADING + row * (256 + HEADING)

        def cell(column: int, top: int = top) -> Any:
            left = GAP if column == 0 else GAP + 256 + GAP + (column - 1) * (224 + GAP)
            side = 256 if column == 0 else 224
            return sheet[top : top + side, left : left + side]

        picture = decoded(records, record)
        y, x = plan.top[record], plan.left[record]
        patch = picture[y : y + 224, x : x + 224]
        np.testing.assert_array_equal(cell(0), picture)
        np.testing.assert_array_equal(cell(1), picture[16:240, 16:240])
        np.testing.assert_array_equal(cell(2), patch)
        np.testing.assert_array_equal(cell(3), patch[:, ::-1])
        inner = (patch > 60) & (patch < 195)
        difference = (cell(4) - patch)[inner.all(2)]
        # One and the same shift for every pixel of a picture.
        assert len(np.unique(difference, axis=0)) == 1
        shifts.add(tuple(difference[0]))
        trained = cell(4)[:, ::-1] if plan.mirrored[record] else cell(4)
        np.testing.assert_array_equal(cell(6), trained)
        assert np.abs(cell(5) - patch).mean() > 0
    assert len(shifts) > 1
