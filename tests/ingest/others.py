"""Pictures of four classes in parquet files and in WebDataset's shards, as others publish them."""

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import archives
import pyarrow as pa
import pyarrow.parquet as pq
from archives import tar, unpack

# The label of a class is its place here, which is not that of its name in sorted order.
WNIDS = ["n00000003", "n00000001", "n00000004", "n00000002"]
WORDS = ["tea", "car, auto", "dog", "cat"]
TRAIN, VAL = [0, 1, 2, 3, 2, 1, 0, 3, 3, 2], [3, 1, 0, 2]


def picture(label: int, number: int = 0) -> bytes:
    return archives.picture(WNIDS[label], 9 + number)


def parquet(
    path: Path, labels: list[int], names: Sequence[str | None] = (), about: dict[str, Any] | None = None
) -> None:
    """Write pictures of `labels`, three in each group of rows."""
    images = [
        {"bytes": picture(label % 4, number) if label >= 0 else archives.picture(str(name)), "path": name}
        for number, (label, name) in enumerate(zip(labels, names or [None] * len(labels), strict=True))
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(images, kind), "label": pa.array(labels, pa.int64())})
    if about:
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=3)


NAMED = {"info": {"features": {"label": {"names": WORDS, "_type": "ClassLabel"}}}}


def wnid_names(labels: list[int]) -> list[str]:
    return [f"{WNIDS[label]}_{number}_{WNIDS[label]}.JPEG" for number, label in enumerate(labels)]


def tables(root: Path, about: dict[str, Any] | None = NAMED, wnids: bool = False) -> None:
    """Write both splits as parquet files, whose pictures have no names or such with WNIDs."""
    for split, labels in (("train", TRAIN), ("validation", VAL)):
        names = wnid_names(labels) if wnids else ()
        parquet(root / f"data/{split}-00000-of-00001.parquet", labels, names, about)


def shard(labels: list[int], label_of: Callable[[int], tuple[str, bytes]]) -> bytes:
    members = []
    for number, label in enumerate(labels):
        suffix, content = label_of(label)
        # The label may come before its picture.
        pair = [(f"{number:06d}.png", picture(label, number)), (f"{number:06d}.{suffix}", content)]
        members += pair[:: 1 if number % 2 else -1]
    return tar(members)


FORMS: dict[str, Callable[[int], tuple[str, bytes]]] = {
    "number": lambda label: ("cls", f"{label}\n".encode()),
    "name": lambda label: ("cls", WNIDS[label].encode()),
    "json": lambda label: ("json", json.dumps({"label": label, "caption": "x.y"}).encode()),
    "wnid": lambda label: ("json", json.dumps({"label": 7, "wnid": WNIDS[label]}).encode()),
}


def shards(root: Path, form: str = "number", packed: bool = False) -> Path:
    """Write both splits as WebDataset's shards, two of them for training, whose labels have this form."""
    labels = {"train-0000": TRAIN[:6], "train-0001": TRAIN[6:], "validation-00": VAL}
    tars = {f"imagenet1k-{name}.tar": shard(of, FORMS[form]) for name, of in labels.items()}
    return unpack(root, {f"{n}.gz": gzip.compress(c) for n, c in tars.items()} if packed else tars)
