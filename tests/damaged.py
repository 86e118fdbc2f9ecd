"""Randomly damaged files of every kind that is read, and what comes of reading them.

`python tests/damaged.py --files 1000 --seed 1` damages so many of each kind and prints a table: how often one
was read all the same, skipped by name, or refused in one line. tests/ingest/test_damaged.py does a few.
"""

import argparse
import faulthandler
import json
import random
import sys
import tarfile
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tiny import ROOT, STATISTICS, encoded, network_of

from alexnet.core.errors import UserError
from alexnet.core.files import add_to_tar
from alexnet.core.params import load_parameters, read
from alexnet.evaluation.predictions import Predictions, load_predictions, save_predictions
from alexnet.foreign.caffe import read_npz
from alexnet.ingest.decode import decode, read_picture
from alexnet.ingest.params import Data
from alexnet.ingest.selection import select_pictures
from alexnet.ingest.sources.ilsvrc import ILSVRC_2012, Devkit
from alexnet.ingest.stored import BadPictureError
from alexnet.model.params import Model
from alexnet.model.weights import load_network, save_network
from alexnet.sample.files import generate
from alexnet.sample.params import Sample
from alexnet.store.statistics import read_statistics, write_statistics

READ, SKIPPED, REFUSED, TRACEBACK = "read", "skipped by name", "refused in one line", "traceback"
OUTCOMES = (READ, SKIPPED, REFUSED, TRACEBACK)
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "JPEG2000")

Use = Callable[[Path], object]


def picture(form: str, size: int = 40) -> bytes:
    waves = np.add.outer(np.arange(size), np.arange(size))[..., None] * np.array([3, 5, 7])
    return encoded((waves % 256).astype(np.uint8), form)


def index_and_read(path: Path) -> None:
    """Index what lies beside `path` and read every picture of it; the first that is bad is told."""
    root = path.parent
    data = Data(layout="auto", classes="all", per_class="all", held_out=0.2, seed=1)
    index = select_pictures(root, data, root.parent / "state")
    for row in index.pictures.itertuples():
        read_picture(root, row)


def kinds(folder: Path) -> dict[str, tuple[Path, Use]]:
    """Make a sound file of each kind in `folder`; return where it lies and what reads it."""
    found: dict[str, tuple[Path, Use]] = {}
    for form in FORMATS:
        path = folder / f"picture.{form}"
        path.write_bytes(picture(form))
        found[form] = (path, lambda path: decode(path.read_bytes()))
    (folder / "zip").mkdir()
    with zipfile.ZipFile(folder / "zip/all.zip", "w") as packed:
        for name in ("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png"):
            packed.writestr(name, picture("PNG"))
    found["zip"] = (folder / "zip/all.zip", index_and_read)
    official = folder / "official"
    generate(official, Sample(seed=1, classes=2, first_class=0, train_per_class=2, val_per_class=1), "none")
    found["tar"] = (official / ILSVRC_2012.val, index_and_read)
    found["tar.gz"] = (official / ILSVRC_2012.devkit, index_and_read)
    with tarfile.open(official / ILSVRC_2012.devkit) as kit:
        kit.extractall(folder, filter="data")
    meta = folder / ILSVRC_2012.devkit_data / "meta.mat"
    found["mat"] = (meta, lambda path: Devkit.read(path.parent, ILSVRC_2012))
    for name in ("train/a/1.png", "train/b/1.png", *(f"val/{n}.png" for n in range(4))):
        (folder / "flat" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "flat" / name).write_bytes(picture("PNG"))
    (folder / "flat/val.csv").write_text("".join(f"{n}.png,{'ab'[n % 2]}\n" for n in range(4)))
    found["CSV"] = (folder / "flat/val.csv", index_and_read)
    found["parquet"] = (_parquet(folder / "parquet"), index_and_read)
    found["webdataset"] = (_shards(folder / "webdataset"), index_and_read)
    write_statistics(folder / "statistics.npz", STATISTICS)
    found["npz"] = (folder / "statistics.npz", read_statistics)
    found["npz of others"] = (folder / "caffe.npz", read_npz)
    np.savez(folder / "caffe.npz", conv1_0=np.zeros((9, 3, 11, 11), np.float32))
    scores, labels = np.full((8, 2), 0.5), np.zeros(8, np.int64)
    names = np.array([f"{n}.png" for n in range(8)], dtype=object)
    classes = (("n1", "a"), ("n2", "b"))
    save_predictions(folder / "found", Predictions(scores, scores, labels, names, "val", classes, ()))
    found["npy"] = (folder / "found/ten.npy", lambda path: load_predictions(path.parent))
    found["JSON"] = (folder / "found/about.json", lambda path: load_predictions(path.parent))
    network = network_of(classes=2, width=0.05)
    save_network(folder / "weights.safetensors", network, [("n1", "a"), ("n2", "b")])
    found["safetensors"] = (folder / "weights.safetensors", load_network)
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    found["YAML"] = (folder / "params.yaml", lambda path: (load_parameters(path), read(path, Model)))
    return found


def _parquet(folder: Path) -> Path:
    folder.mkdir()
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for split in ("train", "val"):
        images = [{"bytes": picture("PNG"), "path": f"{n}.png"} for n in range(6)]
        table = pa.table({"image": pa.array(images, kind), "label": pa.array([0, 1] * 3)})
        about = json.dumps({"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "b"]}}}})
        pq.write_table(table.replace_schema_metadata({"huggingface": about}), folder / f"{split}-0.parquet")
    return folder / "train-0.parquet"


def _shards(folder: Path) -> Path:
    folder.mkdir()
    for split in ("train", "val"):
        with tarfile.open(folder / f"x-{split}-0.tar", "w") as tar:
            for number in range(4):
                add_to_tar(tar, f"{number}.png", picture("PNG"))
                add_to_tar(tar, f"{number}.json", json.dumps({"label": number % 2}).encode())
    return folder / "x-train-0.tar"


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Return `content` with some bytes changed, cut out, put in or repeated, mostly near the beginning."""
    spoilt = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        place = int(len(spoilt) * draw.random() ** draw.choice((1, 1, 3, 8)))
        way = draw.randrange(5)
        if way <= 1 and place < len(spoilt):
            spoilt[place] = draw.choice((0, 255, draw.randrange(256), spoilt[place] ^ 1 << draw.randrange(8)))
        elif way == 2:
            del spoilt[place : place + draw.choice((1, 4, 100))]
        elif way == 3:
            spoilt[place:place] = draw.randbytes(draw.choice((1, 4, 100)))
        else:
            spoilt[place:place] = spoilt[place : place + draw.choice((4, 64))]
    if draw.random() < 0.1:
        del spoilt[draw.randrange(len(spoilt) + 1) :]
    return bytes(spoilt)


def outcome_of(path: Path, use: Use, content: bytes) -> str:
    """Write `content` to `path`, use it, and return what came of it."""
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            use(path)
    except BadPictureError:
        return SKIPPED
    except UserError:
        # `alexnet.core.terminal.say` shows it in one line, whatever a name in it holds.
        return REFUSED
    except Exception:
        traceback.print_exc()
        return TRACEBACK
    return READ


def main() -> None:
    """Damage as many files as asked, and print what came of it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=1000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    # A crash of a library shows where it happened.
    faulthandler.enable()
    print(f"{'kind':20}{'damaged':>10}" + "".join(f"{outcome:>22}" for outcome in OUTCOMES))
    with tempfile.TemporaryDirectory(prefix="damaged-") as folder:
        for kind, (path, use) in kinds(Path(folder)).items():
            whole, found = path.read_bytes(), Counter[str]()
            assert outcome_of(path, use, whole) == READ, kind
            for number in range(given.files):
                draw = random.Random(f"{given.seed} {kind} {number}")
                outcome = outcome_of(path, use, damaged(whole, draw))
                if outcome == TRACEBACK:
                    print(f"{kind} {number}", file=sys.stderr)
                found[outcome] += 1
            path.write_bytes(whole)
            counts = "".join(f"{found[outcome]:>22}" for outcome in OUTCOMES)
            print(f"{kind:20}{given.files:>10}{counts}", flush=True)


if __name__ == "__main__":
    main()
