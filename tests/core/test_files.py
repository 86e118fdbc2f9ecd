"""Files that are whole or absent, whoever else writes them."""

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alexnet.core.files import STALE_SECONDS, partial_of, read_parquet, replacing, sole_writer, write_table


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with replacing(path) as first:
        first.write_text("one")
        with replacing(path) as second:
            second.write_text("two")
        assert path.read_text() == "two"
        assert first.read_text() == "one"
    assert path.read_text() == "one"
    assert [found.name for found in tmp_path.iterdir()] == ["x"]


def test_a_writer_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("before")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [found.name for found in tmp_path.iterdir()] == ["x"]
    assert path.read_text() == "before"


def test_old_leftovers_of_the_same_name_go(tmp_path: Path) -> None:
    old, young, other = (partial_of(tmp_path / name) for name in ("x", "x", "x2"))
    folder = partial_of(tmp_path / "x")
    folder.mkdir()
    long_ago = time.time() - 2 * STALE_SECONDS
    for path in (old, young, other):
        path.touch()
    for path in (old, other, folder):
        os.utime(path, (long_ago, long_ago))
    partial_of(tmp_path / "x")
    assert sorted(tmp_path.iterdir()) == sorted([young, other])


def test_no_damage_to_a_table_is_overlooked(tmp_path: Path) -> None:
    """Whatever byte is flipped: an error, the same values, or a column of another name."""
    path = tmp_path / "table.parquet"
    table = pd.DataFrame({"label": np.arange(300) % 7, "name": [f"picture {n}" for n in range(300)]})
    write_table(path, table)
    whole, draws, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(300):
        content = bytearray(whole)
        content[int(draws.integers(len(whole)))] ^= 1 << int(draws.integers(8))
        path.write_bytes(content)
        try:
            found = read_parquet(path)
        except ValueError:
            refused += 1
            continue
        assert found.columns.tolist() != ["label", "name"] or found.equals(table)
    assert refused > 200


def test_a_folder_that_its_holder_removes_is_made_again_by_the_next(tmp_path: Path) -> None:
    folder, waiting = tmp_path / "state", threading.Event()

    def hold() -> list[str]:
        waiting.set()
        with sole_writer(folder, 5.0):
            (folder / "work").touch()
            return sorted(path.name for path in folder.iterdir())

    with ThreadPoolExecutor(1) as pool:
        with sole_writer(folder, 5.0):
            (folder / "earlier").touch()
            found = pool.submit(hold)
            waiting.wait()
            time.sleep(0.1)
            shutil.rmtree(folder)
        assert found.result() == ["lock", "work"]
