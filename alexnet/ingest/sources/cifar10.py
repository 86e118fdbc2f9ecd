"""CIFAR-10's archives as published, binary or Python; both give the same listing.

A picture is 3072 bytes: red, green and blue planes of 32×32. The Python archive's batches are
pickles; their arrays hold the same bytes in a row, so pictures are read from it without unpickling.
"""

import gzip
import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.ingest.raw_files import open_whole
from alexnet.ingest.sources.archives import AGAIN
from alexnet.ingest.sources.listing import MEMBERS, Listing, Member, Scan, as_pictures, with_words

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
    """List the pictures of a CIFAR-10 archive in `root`, as ``train`` and ``test``."""
    path = next((root / name for name in (BINARY, PYTHON) if (root / name).is_file()), None)
    if path is None:
        raise UserError(f"data_root {root}: neither {BINARY} nor {PYTHON} is there")
    found = scan(path, _read_binary if path.name == BINARY else _read_python)
    parts = found["container"].str.partition("/")
    pictures = as_pictures(found, parts[0], path.name, parts[2], "gzip").assign(form="planes")
    return Listing("cifar-10", with_words(sorted(parts[2].unique()), {}), pictures)


def _read_binary(path: Path) -> pd.DataFrame:
    """List the archive as `scan_tar` does; the container is SPLIT/CLASS, offsets count unpacked bytes."""
    contents = _published(path)
    names = contents["batches.meta.txt"][0].decode().split()
    rows: list[Member] = []
    for batch in BATCHES:
        content, start = contents[f"{batch}.bin"]
        # A byte with the label stands before each picture.
        rows += _rows(batch, list(content[:: PICTURE + 1]), names, start + 1, PICTURE + 1)
    return pd.DataFrame(rows, columns=MEMBERS)


def _read_python(path: Path) -> pd.DataFrame:
    """As `_read_binary`, of the archive of pickles."""
    contents = _published(path)
    names = [name.decode() for name in _unpickled(contents["batches.meta"][0])[b"label_names"]]
    rows: list[Member] = []
    for batch in BATCHES:
        content, start = contents[batch]
        table = _unpickled(content)
        place = content.index(table[b"data"].tobytes())
        rows += _rows(batch, table[b"labels"], names, start + place, PICTURE)
    return pd.DataFrame(rows, columns=MEMBERS)


def _published(path: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and place (in the unpacked tar) of each file; the checksum says that all are sound."""
    with open_whole(path) as file:
        packed = file.read()
    found = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    if found != MD5[path.name]:
        raise UserError(f"{path}: MD5 is {found}, published is {MD5[path.name]}. {AGAIN}")
    whole = gzip.decompress(packed)
    with tarfile.open(fileobj=io.BytesIO(whole), mode="r:") as tar:
        files = [member for member in tar if member.isreg()]
    starts = {file.name.rpartition("/")[2]: (file.offset_data, file.size) for file in files}
    return {name: (whole[start : start + size], start) for name, (start, size) in starts.items()}


def _rows(batch: str, labels: list[int], names: list[str], start: int, step: int) -> list[Member]:
    return [
        (f"{BATCHES[batch]}/{names[label]}", f"{batch}/{number:05d}", start + number * step, PICTURE)
        for number, label in enumerate(labels)
    ]


class _ArraysOnly(pickle.Unpickler):
    """Makes NumPy arrays and plain values; anything else that a pickle could call is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise UserError(f"{PYTHON}: a pickle in it asks for {module}.{name}; not read. {AGAIN}")
        return super().find_class(module, name)


def _unpickled(content: bytes) -> Any:
    return _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
