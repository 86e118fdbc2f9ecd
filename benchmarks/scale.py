"""How preparing grows: time and memory from 1,000 pictures up, and an index of ImageNet's size.

    python -m benchmarks.scale [--pictures FOLDER] [--largest 100000]

The pictures are repeated to the size asked for. The index is of made tars in the official layout,
with as many members as ILSVRC-2012, each of a hundred bytes.
"""

import gzip
import io
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
import typer
from ruamel.yaml import YAML

from alexnet.core.errors import UserError, shown_plainly
from alexnet.core.files import add_to_tar, write_text
from alexnet.core.machine import Machine, Shuffle
from alexnet.core.params import read
from alexnet.core.processes import executor
from alexnet.ingest.params import Data, Preprocess
from alexnet.ingest.prepare import prepare
from alexnet.ingest.selection import select_pictures
from alexnet.ingest.sources.ilsvrc import ILSVRC_2012
from alexnet.store.index import COLUMNS, Index, write_index
from benchmarks.preprocess import drawn, from_folder
from benchmarks.turns import in_own_process, spread

ROOT = Path(__file__).parent.parent
PARAMS = ROOT / "params.yaml"
TRAIN, VAL, CLASSES = 1_281_167, 50_000, 1000
SHARDS = -(-TRAIN // 1024) + -(-VAL // 1024)


def write_one_file(path: Path, files: list[bytes]) -> Index:
    """Write `files` one behind the other, and return their index, without names and splits."""
    content = b"".join(files)
    # What is there already keeps its time, by which a stopped preprocessing knows its pictures again.
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)
    sizes = np.array([len(data) for data in files])
    pictures = pd.DataFrame({"label": np.zeros(len(files), np.int32), "path": path.name})
    pictures = pictures.assign(packing="none", form="file", offset=np.cumsum(sizes) - sizes, size=sizes)
    return Index(pictures, pd.DataFrame({"wnid": ["n1"], "words": ["all"]}))


def repeated(index: Index, count: int) -> Index:
    """Repeat the pictures of `index` to `count`, nine in ten of them for training."""
    chosen = index.pictures.iloc[np.arange(count) % len(index.pictures)]
    names = [f"{number:08d}" for number in range(count)]
    split = np.where(np.arange(count) % 10 == 9, "val", "train")
    return Index(chosen.assign(name=names, split=split)[COLUMNS], index.classes)


def prepare_once(root: Path, index: Index, workers: int, shuffle: Shuffle) -> tuple[float, float]:
    """Prepare `index`; return seconds and the largest worker's peak memory in bytes."""
    settings = read(PARAMS, Preprocess)
    machine = Machine(data_root=str(root), workers=workers, shuffle=shuffle, progress="none")
    with tempfile.TemporaryDirectory(dir=root) as temporary:
        folder = Path(temporary)
        start = time.perf_counter()
        with executor(machine) as pool:
            prepare(index, settings, machine, folder / "records", folder / "state", pool)
        seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def measured(root: Path, index: Index, count: int, workers: int, shuffle: Shuffle) -> float:
    """Print what preparing `count` pictures took; return pictures/s."""
    seconds, memory = in_own_process(prepare_once, root, repeated(index, count), workers, shuffle)
    print(
        f"  {count:,} pictures, {workers} workers, {shuffle}: {seconds:.1f} s,"
        f" {count / seconds:.0f} pictures/s, {memory / 1e6:.0f} MB at most in a worker",
        flush=True,
    )
    return count / seconds


def growth(files: list[bytes], largest: int, folder: Path) -> None:
    index = write_one_file(folder / "pictures", files)
    workers = len(os.sched_getaffinity(0))
    print("growth (start-up of the workers included):")
    count = 1000
    while count <= largest:
        measured(folder, index, count, workers, "seek")
        count *= 10
    measured(folder, index, min(10_000, largest), workers, "scatter")
    # So many that starting the workers, a second or two, hardly counts.
    middle = min(20_000, largest)
    rates = [[measured(folder, index, middle, number, "seek") for number in (1, 2)] for _ in range(3)]
    print(f"  two workers / one, in 3 rounds: {spread([two / one for one, two in rates])}")


def write_shards_of_others(root: Path, files: list[bytes], count: int, form: str) -> None:
    """Write `count` pictures of two classes, `files` over and over, as parquet or WebDataset's shards."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for split, total in (("train", count * 9 // 10), ("val", count // 10)):
        for start in range(0, total, 5000):
            numbers = range(start, min(start + 5000, total))
            if form == "parquet":
                images = [{"bytes": files[n % len(files)], "path": f"{n:08d}.jpg"} for n in numbers]
                labels = pa.array([n % 2 for n in numbers])
                table = pa.table({"image": pa.array(images, kind), "label": labels})
                pq.write_table(table, root / f"{split}-{start:08d}.parquet", row_group_size=100)
                continue
            with tarfile.open(root / f"x-{split}-{start:08d}.tar", "w") as tar:
                for n in numbers:
                    add_to_tar(tar, f"{n:08d}.jpg", files[n % len(files)])
                    add_to_tar(tar, f"{n:08d}.cls", b"%d" % (n % 2))


def index_and_prepare(root: Path, workers: int) -> tuple[float, float, float]:
    """Return the seconds of indexing and of preparing, and the peak memory in bytes of any process."""
    data = read(PARAMS, Data)
    with tempfile.TemporaryDirectory() as state:
        start = time.perf_counter()
        index = select_pictures(root, data, Path(state))
        indexed = time.perf_counter() - start
    seconds, workers_peak = prepare_once(root, index, workers, "seek")
    own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return indexed, seconds, max(workers_peak, own_peak)


def shards_of_others(files: list[bytes], largest: int, folder: Path) -> None:
    workers = len(os.sched_getaffinity(0))
    for form in ("parquet", "webdataset"):
        print(f"{form}:")
        for count in (largest // 10, largest):
            with tempfile.TemporaryDirectory(dir=folder) as temporary:
                root = Path(temporary)
                # Not here: a process that is started inherits the peak of its parent.
                in_own_process(write_shards_of_others, root, files, count, form)
                indexed, seconds, peak = in_own_process(index_and_prepare, root, workers)
            print(
                f"  {count:,} pictures: indexed in {indexed:.1f} s, prepared by {workers} workers at"
                f" {count / seconds:.0f} pictures/s, {peak / 1e6:.0f} MB at most in a process",
                flush=True,
            )


def tar_of(members: Iterable[tuple[str, bytes]]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            add_to_tar(tar, name, data)
    return content.getvalue()


def write_official_files(root: Path) -> None:
    """Write tars and devkit in the official layout, with members of 100 bytes."""
    draw, data = np.random.default_rng(0), bytes(100)
    wnids = [f"n{number:08d}" for number in np.sort(draw.choice(10**8, CLASSES, replace=False))]
    ids = draw.permutation(CLASSES)
    with tarfile.open(root / ILSVRC_2012.train, "w", format=tarfile.USTAR_FORMAT) as train:
        for number, wnid in enumerate(wnids):
            count = TRAIN // CLASSES + (number < TRAIN % CLASSES)
            add_to_tar(train, f"{wnid}.tar", tar_of((f"{wnid}_{n}.JPEG", data) for n in range(count)))
    val = tar_of((f"ILSVRC2012_val_{number:08d}.JPEG", data) for number in range(1, VAL + 1))
    (root / ILSVRC_2012.val).write_bytes(val)
    fields = [(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "num_children")]
    rows = sorted((int(id_) + 1, wnid, f"words of {wnid}", 0) for id_, wnid in zip(ids, wnids, strict=True))
    meta = io.BytesIO()
    scipy.io.savemat(meta, {"synsets": np.array(rows, dtype=fields)[:, None]})  # type: ignore[arg-type]
    truth = "".join(f"{id_}\n" for id_ in draw.integers(1, CLASSES + 1, VAL)).encode()
    devkit = {"meta.mat": meta.getvalue(), ILSVRC_2012.truth("val"): truth}
    packed = tar_of((ILSVRC_2012.devkit_data + name, content) for name, content in devkit.items())
    (root / ILSVRC_2012.devkit).write_bytes(gzip.compress(packed))


def index_of_imagenets_size(root: Path, folder: Path) -> None:
    for how in ("headers read", "remembered"):
        start = time.perf_counter()
        index = select_pictures(root, read(PARAMS, Data), folder / "state")
        write_index(folder / "index", index)
        seconds = time.perf_counter() - start
        print(f"index of {len(index.pictures):,} pictures, {how}: {seconds:.1f} s", flush=True)


def nothing_to_do(root: Path, folder: Path) -> None:
    """Time `dvc repro` in a copy of the project where every stage is done, on that index."""
    for name in ("alexnet", "stages", "profiles"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("params.yaml", "dvc.yaml", ".dvcignore", ".gitignore", "experiments/pages.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "machine.yaml").write_text(f"data_root: {root}\n")
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": programs, "DVC_NO_ANALYTICS": "1"}

    def run(*command: str) -> float:
        start = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise UserError(f"{' '.join(command)}: {done.stderr.strip()}")
        return time.perf_counter() - start

    run("git", "init", "-q")
    run("dvc", "init", "-q")
    run("dvc", "repro", "index")
    stages = YAML(typ="safe").load((folder / "dvc.yaml").read_text())["stages"]
    for name in list(stages)[list(stages).index("preprocess") :]:
        for out in stages[name]["outs"]:
            path = folder / (out if isinstance(out, str) else next(iter(out)))
            # As many files as ImageNet's shards; in all other places one stands for what is there.
            numbers = range(SHARDS if path.name == "records" else 1)
            for file in [path] if path.suffix else [path / f"{number:05d}" for number in numbers]:
                write_text(file, file.name)
    run("dvc", "commit", "-f")
    seconds = spread([run("dvc", "repro") for _ in range(3)], ".1f")
    print(f"dvc repro with nothing to do, in 3 rounds: {seconds} s")


@shown_plainly
def main(
    pictures: Annotated[Path | None, typer.Option(help="a folder of pictures; default: generated")] = None,
    largest: Annotated[int, typer.Option(min=1000, help="pictures in the largest store")] = 10_000,
) -> None:
    """Measure growth, and what an index of 1,331,167 pictures costs."""
    files = drawn() if pictures is None else from_folder(pictures)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        growth(files, largest, folder)
        shards_of_others(files, largest, folder)
        root, project = folder / "imagenet", folder / "project"
        root.mkdir()
        project.mkdir()
        write_official_files(root)
        index_of_imagenets_size(root, folder)
        nothing_to_do(root, project)


if __name__ == "__main__":
    typer.run(main)
