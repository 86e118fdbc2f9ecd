"""Speed of loading, beside torch's DataLoader with Pillow, and FFCV.

    python -m benchmarks.load [--pictures FOLDER]

All contestants do the same work on the same pictures in turns, with two threads (or worker processes):
256×256 records to float32 (batch, 3, 224, 224), a random patch, half of them mirrored, less the mean image's
centre, as the 2012 source has it (FFCV does not tell where its patch lies), plus a colour shift a picture.
"Pixels only" ends before the conversion to floats, which a GPU does.

FFCV is built once into an environment of its own (.state/ffcv); that takes Debian's libopencv-dev,
libturbojpeg0-dev and pkg-config. Where it can't be built this says so and goes on without.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from alexnet.core.errors import shown_plainly
from alexnet.core.machine import Machine
from alexnet.core.params import read
from alexnet.core.processes import keep_freed_memory
from alexnet.core.sizes import PATCH
from alexnet.feed.loader import open_loader
from alexnet.feed.order import Epoch, training_epoch
from alexnet.feed.params import Augment
from alexnet.ingest.decode import decode
from alexnet.ingest.resize import to_square
from alexnet.model.input import InputRule, whole_pictures
from alexnet.parallel.device import LARGEST_OF_A_STEP
from alexnet.store.records import Record, Records, encode, open_records, write_shard, write_tables
from benchmarks.preprocess import CHROMA, QUALITY, drawn, from_folder
from benchmarks.train_step import PROFILE
from benchmarks.turns import in_turns, ratios, spread

THREADS, BATCH = 2, 128
# The pictures are repeated to so many, for epochs that are long against their beginning.
RECORDS = 2048
# FFCV's process gets what ours and the workers of torch's get by a call.
KEEP_FREED_MEMORY = {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=2147483647"}
CPU = torch.device("cpu")
Loaders = Literal["auto", "dali", "torch"]


def write_store(folder: Path, squares: NDArray[np.uint8], encoding: str) -> Records:
    data = [s.tobytes() if encoding == "raw" else encode(s, QUALITY, CHROMA) for s in squares]
    shard = [Record(0, str(number), content) for number, content in enumerate(data)]
    write_tables(folder, write_shard(folder, "train", 0, shard, encoding))
    return open_records(folder, "train")


def ours(kind: Loaders, records: Records, rule: InputRule | None, pictures: int) -> Callable[[], float]:
    """Return what measures a loader of ours; without `rule`, pixels only, as a GPU gets them."""
    loader = open_loader(Machine(loader=kind, workers=THREADS), records, BATCH, CPU)
    augment = read(PROFILE, Augment)
    epochs = [training_epoch(1, n, len(records), augment) for n in range(1, 2 + pictures // len(records))]
    plan: Epoch = replace(epochs[0], order=np.concatenate([epoch.order for epoch in epochs])[:pictures])

    def measure() -> float:
        start = time.perf_counter()
        with torch.no_grad():
            for batch in loader.batches(plan):
                if rule:
                    rule(batch, torch.from_numpy(plan.noise[batch.records.numpy()]))
        return pictures / (time.perf_counter() - start)

    return measure


class PillowPictures(torch.utils.data.Dataset[Tensor]):
    """What a user of torch would write: a JPEG in, a float patch out, in a worker process."""

    def __init__(self, records: Records, mean: Tensor, pictures: int) -> None:
        self.jpegs = [records.stored(record).tobytes() for record in range(len(records))]
        self.mean, self.pictures = mean, pictures

    def __len__(self) -> int:
        return self.pictures

    def __getitem__(self, number: int) -> Tensor:
        with Image.open(io.BytesIO(self.jpegs[number % len(self.jpegs)])) as opened:
            pixels = np.asarray(opened.convert("RGB"))
        top, left, mirrored = (int(torch.randint(limit, ())) for limit in (33, 33, 2))
        patch = pixels[top : top + PATCH, left : left + PATCH]
        patch = patch[:, ::-1] if mirrored else patch
        values = torch.from_numpy(patch.transpose(2, 0, 1).astype(np.float32))
        values -= self.mean
        values += torch.randn(3)[:, None, None]
        return values


def keep_memory(worker: int) -> None:
    keep_freed_memory(LARGEST_OF_A_STEP)


def pillow(records: Records, mean: Tensor, pictures: int) -> Callable[[], float]:
    workers: dict[str, Any] = {
        "num_workers": THREADS,
        "worker_init_fn": keep_memory,
        "persistent_workers": True,
    }
    loader = torch.utils.data.DataLoader(
        PillowPictures(records, mean, pictures), BATCH, True, multiprocessing_context="spawn", **workers
    )
    # Its workers start with the first batch.
    next(iter(loader))

    def measure() -> float:
        start = time.perf_counter()
        for _ in loader:
            pass
        return pictures / (time.perf_counter() - start)

    return measure


class Ffcv:
    """FFCV in a process of its own, told what to measure line by line."""

    def __init__(self, python: Path, folder: Path) -> None:
        command: list[Any] = [
            python,
            Path(__file__).with_name("ffcv_side.py"),
            folder,
            str(BATCH),
            str(THREADS),
        ]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        environment = os.environ | KEEP_FREED_MEMORY
        self._process: Any = subprocess.Popen(command, text=True, env=environment, **pipes)
        while (line := self._read()) != "ready":
            if not line:
                raise OSError("FFCV is installed, but ended with an error")

    def measure(self, encoding: str, pictures: int) -> float:
        self._process.stdin.write(f"{encoding} {pictures}\n")
        self._process.stdin.flush()
        return float(self._read())

    def _read(self) -> str:
        return str(self._process.stdout.readline().strip())


def build_ffcv() -> Path:
    """Return a Python that has FFCV, which is built once; the OSError says why it can't be."""
    home = Path(".state/ffcv")
    python = home / "bin/python"
    if not (home / "built").exists():
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        for command in (
            [sys.executable, "-m", "venv", str(home)],
            [*pip, "setuptools", "wheel", "numpy", "pillow", "opencv-python-headless", "torch"],
            [*pip, "--no-build-isolation", "ffcv"],
        ):
            print(f"building FFCV: {' '.join(command[-3:])}", flush=True)
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                reason = [line for line in done.stderr.splitlines() if line.strip()][-1:]
                raise OSError(f"FFCV can't be built: {' '.join(reason)}")
        (home / "built").touch()
    return python


def compare(contestants: dict[str, Callable[[], float]], rounds: int) -> None:
    """Print every contestant's rate, after a turn that does not count, and how many times it ours is."""
    in_turns(contestants, 1)
    rates = in_turns(contestants, rounds)
    first = next(iter(rates))
    for name, own in rates.items():
        told = "" if name == first else f"; {first} / {name}: {spread(ratios(rates[first], own))}"
        print(f"{name}: {spread(own, ',.0f')} pictures/s{told}")


@shown_plainly
def main(
    pictures: Annotated[Path | None, typer.Option(help="a folder of pictures; default: generated")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="turns of every contestant")] = 5,
    count: Annotated[int, typer.Option(min=BATCH, help="pictures a turn")] = 4096,
    ffcv: Annotated[Path | None, typer.Option(help="a Python that has FFCV; default: build one")] = None,
) -> None:
    """Compare the loaders from JPEG and from raw records, all to float32 on the CPU."""
    files = drawn() if pictures is None else from_folder(pictures)
    squares = np.stack([to_square(decode(data)) for data in files])
    squares = squares[np.arange(max(RECORDS, len(squares))) % len(squares)]
    torch.set_num_threads(1)
    # As training on the CPU does; and so do all contestants.
    keep_freed_memory(LARGEST_OF_A_STEP)
    rule = InputRule("centre", 1.0)
    rule.mean_image.copy_(torch.from_numpy(squares.mean(0).transpose(2, 0, 1)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        np.save(folder / "pictures.npy", squares)
        jpeg, raw = (write_store(folder / name, squares, name) for name in ("jpeg", "raw"))
        peer = None
        try:
            peer = Ffcv(ffcv or build_ffcv(), folder)
        except OSError as error:
            print(f"without FFCV: {error}")
        mean = rule.means(whole_pictures(torch.empty(0)))
        print(f"{len(files)} pictures repeated to {len(squares):,}; {THREADS} threads, batches of {BATCH}")
        print("from JPEG records:")
        contestants = {
            "ours, DALI": ours("dali", jpeg, rule, count),
            "ours, threads": ours("torch", jpeg, rule, count),
            "ours, threads, pixels only": ours("torch", jpeg, None, count),
            "DataLoader, Pillow": pillow(jpeg, mean, count),
        }
        compare(contestants | ({"FFCV": partial(peer.measure, "jpeg", count)} if peer else {}), rounds)
        print("from raw records:")
        contestants = {"ours": ours("auto", raw, rule, count)}
        compare(contestants | ({"FFCV": partial(peer.measure, "raw", count)} if peer else {}), rounds)


if __name__ == "__main__":
    typer.run(main)
