"""Files that are whole or absent, whoever else writes them."""

import errno
import fcntl
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import largest_file, read_though_flipped

from alexnet.core.errors import HeldError, UserError
from alexnet.core.files import (
    STALE_SECONDS,
    new_array,
    parse_checked_json,
    partial_of,
    read_arrays,
    read_csv,
    read_parquet,
    replacing,
    sole_writer,
    state_of,
    write_checked_json,
    write_table,
)
from alexnet.core.reading import read_rows


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
    places = np.random.default_rng(0).integers(path.stat().st_size, size=75)
    found = list(read_though_flipped(path, places, read_parquet, ValueError))
    assert all(each.columns.tolist() != ["label", "name"] or each.equals(table) for each in found)
    assert len(found) < 25


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


def test_where_nothing_can_be_written_the_first_error_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", read_only)
    monkeypatch.setattr(Path, "write_text", read_only)
    with (
        pytest.raises(UserError, match=r"x: cannot be written: Read-only"),
        replacing(tmp_path / "x") as made,
    ):
        made.write_text("content")


def test_an_array_for_which_the_disk_is_too_small(tmp_path: Path) -> None:
    path, shape = tmp_path / "array.npy", (100, 1000)
    with new_array(path, shape, np.float32) as array:
        array[:] = 1
    told = r"array\.npy: cannot be written: File too large"
    with (
        largest_file(300_000),
        pytest.raises(UserError, match=told),
        new_array(path, shape, np.float32) as array,
    ):
        array[:] = 2
    assert (np.load(path) == 1).all()
    assert [found.name for found in tmp_path.iterdir()] == ["array.npy"]


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_csv_is_a_formula(sign: str, tmp_path: Path) -> None:
    texts = [f"{sign}1+1", f"'{sign}1", f"''{sign}1", "'usual'", "it's", "", "a=b"]
    table = pd.DataFrame({f"{sign}name": texts, "number": np.arange(7) - 3.5})
    path = tmp_path / "table.csv"
    write_table(path, table)
    raw = pd.read_csv(path, keep_default_na=False)
    assert not [text for text in [*raw.columns, *raw.iloc[:, 0]] if text.startswith(sign)]
    assert raw["number"].tolist() == table["number"].tolist()
    pd.testing.assert_frame_equal(read_csv(path, keep_default_na=False), table)
    rows = [list(row.values()) for row in read_rows(path, dict[str, str], [f"{sign}name"])]
    assert [name for name, _ in rows] == texts


def test_arrays_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alexnet.core.files.MAX_ARRAYS_BYTES", 10**6)
    np.savez_compressed(tmp_path / "bomb.npz", zeros=np.zeros(10**6, np.uint8))
    with pytest.raises(ValueError, match="unpacks to more than 1,000,000 bytes"):
        read_arrays(tmp_path / "bomb.npz")


def test_no_damage_to_checked_json_is_overlooked(tmp_path: Path) -> None:
    """Whatever byte is flipped: an error, or the same values."""
    path = tmp_path / "x.json"
    content = {"words": ["kôt", "a b"], "rate": 0.123456789, "count": 7, "none": None}
    write_checked_json(path, content)

    def read(path: Path) -> Any:
        return parse_checked_json(path.read_bytes())

    assert read(path) == content
    for found in read_though_flipped(path, range(path.stat().st_size), read, ValueError):
        # A checksum of another name is no checksum, and one key more.
        assert content.items() <= found.items()


def test_who_waits_for_another_process_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        sole_writer(tmp_path, 0),
        pytest.raises(HeldError, match=r"held by another process for 0\.3 s"),
        sole_writer(tmp_path, 0.3),
    ):
        pass
    assert capsys.readouterr().out == f"{tmp_path}: held by another process; waiting for it, 0.3 s at most\n"


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", without)
    told = r"lock: cannot be locked \(Function not implemented\), which the file system of this folder"
    with pytest.raises(UserError, match=told), sole_writer(tmp_path, 5.0):
        pass


def test_a_folder_of_another_user_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "glob", forbidden)
    with pytest.raises(UserError, match=r"x: cannot be written: Permission denied"):
        write_checked_json(tmp_path / "x", {})


def test_the_state_of_files_shows_every_way_of_changing_them(tmp_path: Path) -> None:
    path, other = tmp_path / "x", tmp_path / "y"
    path.write_bytes(b"content")
    before, about = state_of([path]), path.stat()
    assert state_of([path]) == before
    path.write_bytes(b"another")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    written = state_of([path])
    shutil.copy2(path, other)
    other.replace(path)
    assert len({before, written, state_of([path])}) == 3
