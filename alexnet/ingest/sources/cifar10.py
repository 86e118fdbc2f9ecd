"""CIFAR-10's archives as published, binary or Python; both give the same listing.

A picture is 3072 bytes: red, green and blue planes of 32×32. The Python archive's batches are
pickles; their arrays hold the same bytes in a row, so pictures are read from it without unpickling.
"""

import gzip
import hashlib
import io
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from alexnet.core.errors import UserError
from alexnet.ingest.raw_files import open_whole
from alexnet.ingest.sources.archives import AGAIN
from alexnet.ingest.sources.listing import Listing, Scan, as_pictures, with_words

BINARY = "cifar-10-binary.tar.gz"
PYTHON = "cifar-10-python.tar.gz"
# As printed on https://www.cs.toronto.edu/~kriz/cifar.html
MD5 = {BINARY: "c32a1d4ab5d03f1284b67883e8d87530", PYTHON: "c58f30108f718f92721af3b95e74349a"}
BATCHES = {f"data_batch_{number}": "train" for number in range(1, 6)} | {"test_batch": "test"}
PICTURE = 32 * 32 * 3
# What NumPy's arrays are made of, under its old name and its new.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


def list_cifar10(root: Path, scan: Scan) -> Listing:
    """List the pictures of a CIFAR-10 archive in `root`, as ``train`` and ``test``.

    Raises:
        UserError: the archive is missing, or not the published one.
    """
    path = next((root / name for name in (BINARY, PYTHON) if (root / name).is_file()), None)
    if path is None:
        raise UserError(f"data_root {root}: neither {BINARY} nor {PYTHON} is there")
    found = scan(path, _read_binary if path.name == BINARY else _read_python)
    parts = found["container"].str.partition("/")
    pictures = as_pictures(found, "train", path.name, parts[2], "gzip", "planes").assign(split=parts[0])
    return Listing("cifar-10", with_words(sorted(parts[2].unique()), {}), pictures)


def _read_binary(path: Path) -> pd.DataFrame:
    """List the archive as `scan_tar` does; the container is SPLIT/CLASS, offsets count unpacked bytes."""
    contents = _members(path)
    names = _one(path, contents, "batches.meta.txt")[0].decode().split()
    rows: list[tuple[str, str, int, int]] = []
    for batch in BATCHES:
        content, start = _one(path, contents, f"{batch}.bin")
        step = PICTURE + 1
        if len(content) % step:
            raise UserError(f"{path}: {batch}.bin has {len(content)} bytes, no multiple of {step}. {AGAIN}")
        labels = list(content[::step])
        rows += _rows(path, batch, labels, names, start + 1, step)
    return pd.DataFrame(rows, columns=["container", "name", "offset", "size"])


def _read_python(path: Path) -> pd.DataFrame:
    """As `_read_binary`, of the archive of pickles."""
    contents = _members(path)
    meta = _unpickle(path, "batches.meta", _one(path, contents, "batches.meta")[0])
    names = [name.decode() for name in meta[b"label_names"]]
    rows: list[tuple[str, str, int, int]] = []
    for batch in BATCHES:
        content, start = _one(path, contents, batch)
        table = _unpickle(path, batch, content)
        pixels, labels = table[b"data"], table[b"labels"]
        place = content.find(pixels.tobytes()) if isinstance(pixels, np.ndarray) else -1
        if place < 0 or pixels.shape != (len(labels), PICTURE) or pixels.dtype != np.uint8:
            raise UserError(f"{path}: {batch} holds no array of {len(labels)} × {PICTURE} bytes. {AGAIN}")
        rows += _rows(path, batch, labels, names, start + place, PICTURE)
    return pd.DataFrame(rows, columns=["container", "name", "offset", "size"])


def _members(path: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and place (in the unpacked tar) of each file, once the checksum is right."""
    with open_whole(path) as file:
        packed = file.read()
    found = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    if found != MD5[path.name]:
        raise UserError(f"{path}: MD5 is {found}, published is {MD5[path.name]}. {AGAIN}")
    try:
        whole = gzip.decompress(packed)
        with tarfile.open(fileobj=io.BytesIO(whole), mode="r:") as tar:
            files = [member for member in tar if member.isreg()]
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}). {AGAIN}") from None
    places = {file.name.rpartition("/")[2]: (file.offset_data, file.size) for file in files}
    return {name: (whole[start : start + size], start) for name, (start, size) in places.items()}


def _one(path: Path, contents: dict[str, tuple[bytes, int]], name: str) -> tuple[bytes, int]:
    if name not in contents:
        raise UserError(f"{path}: {name} missing inside. {AGAIN}")
    return contents[name]


def _rows(
    path: Path, batch: str, labels: list[int], names: list[str], start: int, step: int
) -> list[tuple[str, str, int, int]]:
    wrong = [label for label in labels if not 0 <= label < len(names)]
    if wrong:
        raise UserError(f"{path}: {batch} has the label {wrong[0]}; allowed: 0 to {len(names) - 1}")
    return [
        (f"{BATCHES[batch]}/{names[label]}", f"{batch}/{number:05d}", start + number * step, PICTURE)
        for number, label in enumerate(labels)
    ]


class _ArraysOnly(pickle.Unpickler):
    """Makes NumPy arrays and plain values; anything else that a pickle could call is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _unpickle(path: Path, name: str, content: bytes) -> Any:
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:
        # A broken pickle raises anything.
        raise UserError(f"{path}: {name} cannot be read ({error}). {AGAIN}") from None
