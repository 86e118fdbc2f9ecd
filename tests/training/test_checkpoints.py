"""States are whole or absent, few, and found by how far they got."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import flip

from alexnet.training.checkpoints import Checkpoints


def state(epoch: int, consumed: int) -> dict[str, int]:
    return {"epoch": epoch, "consumed": consumed}


def test_the_furthest_within_the_epochs_is_newest(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.newest(5) is None
    checkpoints.save(state(2, 128))
    checkpoints.save(state(3, 0))
    assert checkpoints.newest(5) == state(3, 0)
    assert checkpoints.newest(1) is None
    assert checkpoints.newest(2) == state(3, 0)


def test_few_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for epoch in range(1, 6):
        checkpoints.save(state(epoch, 0))
    assert {path.name[:11] for path in tmp_path.iterdir()} == {"epoch-00004", "epoch-00005"}


def test_a_shorter_training_leaves_the_states_of_a_longer_one(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for place in ((8, 0), (9, 0), (9, 16), (2, 0), (3, 0), (4, 0)):
        checkpoints.save(state(*place))
    assert checkpoints.newest(3) == state(4, 0)
    assert checkpoints.newest(20) == state(9, 16)
    assert [checkpoints.go_beyond(epochs) for epochs in (3, 8, 9)] == [True, True, False]
    checkpoints.save(state(10, 0))
    assert len(list(tmp_path.iterdir())) == 2


def test_states_are_forgotten_only_where_all_epochs_were_done(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state(2, 128))
    checkpoints.save(state(3, 0))
    checkpoints.forget_ended(3)
    assert checkpoints.newest(3) == state(3, 0)
    checkpoints.forget_ended(1)
    assert len(list(tmp_path.iterdir())) == 2
    checkpoints.forget_ended(2)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_write_left_is_dropped(tmp_path: Path) -> None:
    leftover = tmp_path / "epoch-00001-000000064.pt.partial"
    leftover.write_bytes(b"half a state")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.newest(5) is None
    checkpoints.save(state(1, 128))
    assert not leftover.exists()


def with_tensors(epoch: int) -> dict[str, object]:
    weights = torch.arange(5000, dtype=torch.float32) * epoch
    return {"epoch": epoch, "consumed": 0, "weights": {"conv1.weight": weights}}


def cut(path: Path, place: int) -> None:
    path.write_bytes(path.read_bytes()[:place])


@pytest.mark.parametrize("damage", [flip, cut])
def test_a_damaged_state_is_named_and_the_one_before_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path, int], None]
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(with_tensors(1))
    checkpoints.save(with_tensors(2))
    (newest,) = tmp_path.glob("epoch-00002-*.pt")
    damage(newest, newest.stat().st_size // 2)
    found = checkpoints.newest(5)
    assert found is not None
    assert found["epoch"] == 1
    assert f"{newest}: damaged" in capsys.readouterr().out
    assert [path.name for path in tmp_path.glob("*.damaged")] == [newest.with_suffix(".damaged").name]


def test_equal_states_give_equal_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        Checkpoints(tmp_path / folder).save(with_tensors(1))
    (a,), (b,) = ((tmp_path / folder).iterdir() for folder in ("a", "b"))
    assert a.name == b.name
    assert a.read_bytes() == b.read_bytes()


def test_two_are_kept_after_the_clock_was_set_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for epoch in (1, 2):
        checkpoints.save(state(epoch, 0))
    for path in tmp_path.iterdir():
        os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 3600 * 10**9))
    for epoch in (3, 4):
        checkpoints.save(state(epoch, 0))
    assert {path.name[:11] for path in tmp_path.iterdir()} == {"epoch-00003", "epoch-00004"}
