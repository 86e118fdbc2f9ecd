"""Pictures that show their class, what they are packed into, and how labels and refusals are checked."""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tiny import encoded, told

from alexnet.core.files import add_to_tar
from alexnet.core.machine import Machine, Shuffle
from alexnet.ingest.decode import read_picture
from alexnet.ingest.params import Data, Preprocess
from alexnet.ingest.prepare import Outcome, prepare
from alexnet.ingest.selection import select_pictures
from alexnet.sample.files import generate
from alexnet.sample.params import Sample
from alexnet.store.index import UNKNOWN, Index

DATA = Data(layout="auto", classes="all", per_class="all", held_out=0.25, seed=1)
SETTINGS = Preprocess(
    encoding="jpeg", jpeg_quality=95, chroma="4:2:0", shard_pictures=4, seed=1, max_bad_fraction=0
)
Members = list[tuple[str, bytes]]
Build = Callable[..., Index]


def colour(shown: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(hashlib.sha256(shown.encode()).digest()[:3], np.uint8)


def picture(shown: str, width: int = 9, form: str = "PNG") -> bytes:
    """Return a picture of one colour, which tells the class `shown`."""
    return encoded(np.tile(colour(shown), (7, width, 1)), form)


def check_every_label(
    root: Path, index: Index, counts: dict[str, int], shown: Mapping[str, str] | None = None
) -> None:
    """Check that each picture shows the class that its label names, or what that stands for in `shown`.

    One without a label shows its own name.
    """
    wnids = index.classes["wnid"].tolist()
    assert wnids == sorted(wnids)
    row: Any
    # In any order, as the pictures of a shard are read.
    for row in index.pictures.sample(frac=1, random_state=1).itertuples():
        pixels = read_picture(root, row)
        meant = row.name if row.label == UNKNOWN else wnids[row.label]
        expected = colour(shown.get(meant, meant) if shown else meant)
        np.testing.assert_array_equal(pixels[0, 0], expected, err_msg=row.name)
    assert index.pictures["split"].value_counts().to_dict() == counts
    assert not index.pictures.duplicated(["split", "name"]).any()


def official_files(root: Path, **changes: int) -> Path:
    """Write the official files of three classes, or of a set of other sizes, into `root`."""
    sizes = {"seed": 1, "classes": 3, "first_class": 0, "train_per_class": 4, "val_per_class": 2}
    generate(root, Sample.model_validate(sizes | changes), "none")
    return root


def in_parts(root: Path) -> Path:
    """Write the official files into `root`, each tar in parts."""
    for whole in official_files(root).glob("*.tar"):
        content = whole.read_bytes()
        for number, start in enumerate(range(0, len(content), 70_001), 1):
            (root / f"{whole.name}.{number:03d}").write_bytes(content[start : start + 70_001])
        whole.unlink()
    return root


def tar(members: Iterable[tuple[str, bytes]], mode: str = "w") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode, format=tarfile.USTAR_FORMAT) as archive:  # type: ignore[call-overload]
        for name, member in members:
            add_to_tar(archive, name, member)
    return content.getvalue()


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


def builder(state: Path) -> Build:
    """Return a function that indexes a folder by `DATA`, some of its keys changed."""

    def build(root: Path, **changes: Any) -> Index:
        return select_pictures(root, Data.model_validate(DATA.model_dump() | changes), state)

    return build


def store(
    root: Path | str,
    index: Index,
    folder: Path,
    state: Path,
    pool: AbstractContextManager[Executor] | None = None,
    *,
    shuffle: Shuffle = "seek",
    timeout: float = 2,
    **changes: Any,
) -> Outcome:
    """Write the store of `index` into `folder`, by `SETTINGS` with some of its keys changed."""
    options = {"shuffle": shuffle, "workers": 1, "timeout_seconds": timeout}
    machine = Machine.model_validate({"data_root": str(root), "progress": "none", **options})
    with pool or ThreadPoolExecutor(1) as workers:
        return prepare(index, SETTINGS.model_copy(update=changes), machine, folder, state, workers)


def refused(build: Build, root: Path, *parts: str, **changes: Any) -> None:
    """Check that indexing `root` is refused in one line that has all `parts`."""
    with told() as caught:
        build(root, **changes)
    for part in parts:
        assert part in str(caught.value)
