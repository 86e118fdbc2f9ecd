"""What the tests of this folder pack pictures into, and how a refusal is checked."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from alexnet.core.errors import UserError
from alexnet.ingest.params import Data
from alexnet.ingest.selection import select_pictures
from alexnet.store.index import Index

Members = list[tuple[str, bytes]]
Build = Callable[..., Index]


def tar(members: Iterable[tuple[str, bytes]], mode: str = "w") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode, format=tarfile.USTAR_FORMAT) as archive:  # type: ignore[call-overload]
        for name, member in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(member)
            archive.addfile(entry, io.BytesIO(member))
    return content.getvalue()


def untar(content: bytes) -> Members:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return [(member.name, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]


def unpack(root: Path, files: dict[str, bytes]) -> Path:
    """Write `files` below `root`."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def pack(root: Path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """Write `files` into a zip in `root`."""
    root.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(root / "all.zip", "w", method) as packed:
        packed.mkdir("ILSVRC")
        for member, content in files.items():
            packed.writestr(member, content)
    return root


def builder(state: Path, data: Data) -> Build:
    """Return a function that indexes a folder by `data`, some of its keys changed."""

    def build(root: Path, **changes: Any) -> Index:
        return select_pictures(root, Data.model_validate(data.model_dump() | changes), state)

    return build


def refused(build: Build, root: Path, *parts: str, **changes: Any) -> None:
    """Check that indexing `root` is refused in one line that has all `parts`."""
    with pytest.raises(UserError) as caught:
        build(root, **changes)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
