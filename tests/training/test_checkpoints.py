"""States are whole or absent, few, and found by how far they got."""

from pathlib import Path

from alexnet.training.checkpoints import KEPT, Checkpoints


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
    assert len(list(tmp_path.iterdir())) == KEPT


def test_what_a_killed_write_left_is_dropped(tmp_path: Path) -> None:
    leftover = tmp_path / "epoch-00001-000000064.pt.partial"
    leftover.write_bytes(b"half a state")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.newest(5) is None
    checkpoints.save(state(1, 128))
    assert not leftover.exists()
