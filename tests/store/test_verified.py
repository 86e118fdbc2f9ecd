"""Shards are compared with their checksums before they are used, and again when they were touched."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import flip, write_two_colours

from alexnet.core import files
from alexnet.core.errors import UserError
from alexnet.store import verified
from alexnet.store.verified import noting_verified, refuse_damaged_shards


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose checksum was computed, as they come."""
    names: list[str] = []
    sha256_of: Callable[[Path], str] = files.sha256_of

    def noted(path: Path) -> str:
        names.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(verified, "sha256_of", noted)
    return names


def shards_read(hashed: list[str]) -> int:
    found = sum(name.endswith(".tar") for name in hashed)
    hashed.clear()
    return found


def test_a_changed_byte_is_found_even_if_the_time_is_the_same(tmp_path: Path, hashed: list[str]) -> None:
    records, state = write_two_colours(tmp_path / "records", 4, 2), tmp_path / "state"
    refuse_damaged_shards(records, state)
    assert shards_read(hashed) > 1
    refuse_damaged_shards(records, state)
    assert shards_read(hashed) == 0
    shard = sorted(records.glob("*.tar"))[0]
    about = shard.stat()
    flip(shard, about.st_size // 2)
    os.utime(shard, ns=(about.st_atime_ns, about.st_mtime_ns))
    for _ in range(2):
        with pytest.raises(UserError, match=rf"{shard.name}: damaged"):
            refuse_damaged_shards(records, state)
    shard.unlink()
    with pytest.raises(UserError, match=rf"{shard.name}: cannot be read"):
        refuse_damaged_shards(records, state)


def test_a_shard_that_is_written_while_shards_are_compared_is_compared_again(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records, state = write_two_colours(tmp_path / "records", 4, 2), tmp_path / "state"

    def touched_after(path: Path) -> str:
        found = files.sha256_of(path)
        os.utime(path)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(verified, "sha256_of", touched_after)
        refuse_damaged_shards(records, state)
    hashed.clear()
    refuse_damaged_shards(records, state)
    assert shards_read(hashed) > 1


def test_a_shard_that_is_written_while_alexnet_data_verify_reads_is_compared_again(
    tmp_path: Path, hashed: list[str]
) -> None:
    records, state = write_two_colours(tmp_path / "records", 4, 2), tmp_path / "state"
    with noting_verified(records, state):
        flip(sorted(records.glob("*.tar"))[0], 700)
    with pytest.raises(UserError, match="damaged"):
        refuse_damaged_shards(records, state)


def test_a_large_store_is_not_read_but_that_is_said(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records, state = write_two_colours(tmp_path / "records", 4, 2), tmp_path / "state"
    monkeypatch.setattr(verified, "CHEAP_BYTES", 1000)
    refuse_damaged_shards(records, state)
    assert shards_read(hashed) == 0
    assert "not compared with their checksums since they were made or moved" in capsys.readouterr().out
    with noting_verified(records, state):
        pass
    refuse_damaged_shards(records, state)
    assert capsys.readouterr().out == ""


def test_where_nothing_can_be_noted_shards_are_compared_each_time(tmp_path: Path, hashed: list[str]) -> None:
    records = write_two_colours(tmp_path / "records", 4, 2)
    for _ in range(2):
        refuse_damaged_shards(records, Path("/proc/state"))
        assert shards_read(hashed) > 1


def test_what_cannot_be_read_of_a_note_is_found_out_again(tmp_path: Path, hashed: list[str]) -> None:
    records, state = write_two_colours(tmp_path / "records", 4, 2), tmp_path / "state"
    refuse_damaged_shards(records, state)
    (note,) = state.iterdir()
    note.write_bytes(b"\xff")
    hashed.clear()
    refuse_damaged_shards(records, state)
    assert shards_read(hashed) > 1
    note.unlink()
    note.mkdir()
    refuse_damaged_shards(records, state)
    assert shards_read(hashed) > 1
