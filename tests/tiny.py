"""Small networks, pictures and records that many tests share."""

import contextlib
import hashlib
import io
import resource
import signal
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from alexnet.core.errors import UserError
from alexnet.core.machine import Machine
from alexnet.core.params import Section, read
from alexnet.evaluation.evaluate import evaluate_network
from alexnet.evaluation.params import Evaluate
from alexnet.feed.order import Epoch
from alexnet.feed.params import Augment
from alexnet.model.initial import initialise
from alexnet.model.input import Batch, whole_pictures
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.parallel.columns import keep_column
from alexnet.parallel.mesh import Mesh
from alexnet.parallel.replica import open_replica_loader
from alexnet.store.records import Record, open_records, write_shard, write_tables
from alexnet.store.statistics import Statistics
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.measures import EpochRow
from alexnet.training.params import Train
from alexnet.training.trainer import Trainer

ROOT = Path(__file__).parents[1]
PAPER, SOURCE = (ROOT / f"profiles/imagenet-2012-{recipe}.yaml" for recipe in ("paper", "source"))
CPU = torch.device("cpu")
# With these a narrow network's signal neither fades nor explodes.
HE: dict[str, Any] = {"initial_weights": "he", "initial_biases": "zero", "input_divisor": 60.0}

S = TypeVar("S", bound=Section)
T = TypeVar("T")


def section(kind: type[S], profile: Path = PAPER, **changes: Any) -> S:
    """Return a section of a profile with some of its keys changed."""
    return kind.model_validate({**read(profile, kind).model_dump(), **changes})


def network_of(
    profile: Path = PAPER, classes: int = 7, seed: int = 1, patch: int = 224, sure: float = 1, **changes: Any
) -> AlexNet:
    """Return a narrow network that tells pictures apart, with a mean image that is not flat.

    The weights of its fc8 are `sure` times as large.
    """
    model = section(Model, profile, **{"width": 0.04, **HE, **changes})
    network = AlexNet(model, classes, patch)
    initialise(network, seed)
    draw = torch.Generator().manual_seed(seed)
    network.input.mean_image.copy_(100 + 50 * torch.rand(3, 256, 256, generator=draw))
    with torch.no_grad():
        network.fc8.weight.mul_(sure)
    return network


def coarse_pictures(count: int, squares: int = 16) -> NDArray[np.uint8]:
    """Return uint8 (count, 256, 256, 3) whose patches at different places differ in more than noise."""
    side = 256 // squares
    coarse = np.random.default_rng(5).integers(0, 256, (count, squares, squares, 3), np.uint8)
    return coarse.repeat(side, 1).repeat(side, 2)


def patches(pixels: NDArray[np.uint8] | Tensor, *places: tuple[int, int, bool]) -> Batch:
    """Return patches of (top, left, mirrored) `places`, or of the centre, as a loader gives them."""
    whole = torch.as_tensor(pixels)
    corners = places or [(16, 16, False)] * len(whole)
    top, left, mirrored = (torch.tensor(each) for each in zip(*corners, strict=True))
    return whole_pictures(whole)._replace(top=top, left=left, mirrored=mirrored)


def random_patches(count: int) -> Batch:
    """Return centre patches of noise."""
    draw = np.random.default_rng(11)
    return patches(draw.integers(0, 256, (count, 224, 224, 3), np.uint8))


def difference(found: Tensor, expected: Tensor) -> float:
    """Return the norm of the difference, relative to that of `expected`."""
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


def gradient_of(values: Tensor) -> Tensor:
    assert values.grad is not None
    return values.grad


class InMemory:
    """A loader of whole pictures that are held in memory."""

    def __init__(self, pixels: NDArray[np.uint8], batch_size: int = 2) -> None:
        self.pixels, self.batch_size = torch.from_numpy(pixels), batch_size
        self.asked: list[int] = []

    def batches(self, epoch: Epoch, first: int = 0) -> Iterator[Batch]:
        for start in range(first, len(epoch.order), self.batch_size):
            chosen = epoch.order[start : start + self.batch_size]
            self.asked.extend(chosen.tolist())
            yield whole_pictures(self.pixels[chosen])._replace(records=torch.from_numpy(chosen))


STATISTICS = Statistics(
    images=12,
    mean_image=np.full((3, 256, 256), 90, np.float32),
    channel_means=np.full(3, 90.0),
    covariance=np.diag([3000.0, 2000.0, 1000.0]),
    eigenvalues=np.array([3000.0, 2000.0, 1000.0]),
    eigenvectors=np.eye(3),
)


def write_two_colours(folder: Path, train: int, val: int) -> Path:
    """Write records of two classes, reddish and bluish noise, and return their folder."""
    draw, tables = np.random.default_rng(1), []
    for split, count in (("train", train), ("val", val)):
        coarse = draw.integers(0, 120, (count, 16, 16, 3))
        coarse[::2, :, :, 0] += 120
        coarse[1::2, :, :, 2] += 120
        smooth = [Image.fromarray(each).resize((256, 256)) for each in coarse.astype(np.uint8)]
        contents = [encoded(each, "JPEG") for each in smooth]
        tables += write_shards(folder, split, contents, [n % 2 for n in range(count)])
    write_tables(folder, pd.concat(tables, ignore_index=True))
    return folder


def write_shards(
    folder: Path,
    split: str,
    contents: list[bytes],
    labels: list[int],
    per_shard: int = 1000,
    encoding: str = "jpeg",
) -> list[pd.DataFrame]:
    """Write encoded pictures, named by split and number; return the rows that `write_tables` wants."""
    records = [
        Record(label, f"{split}-{number}", data)
        for number, (data, label) in enumerate(zip(contents, labels, strict=True))
    ]
    return [
        write_shard(folder, split, number, records[start : start + per_shard], encoding)
        for number, start in enumerate(range(0, len(records), per_shard))
    ]


def encoded(picture: NDArray[Any] | Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """Return a picture as a file of this `form`, written with Pillow's `options`."""
    content = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(content, form, **options)
    return content.getvalue()


@contextlib.contextmanager
def told(match: str | None = None) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """Expect an error for people that says this, in one line."""
    with pytest.raises(UserError, match=match) as caught:
        yield caught
    assert "\n" not in str(caught.value)


def untar(content: bytes) -> list[tuple[str, bytes]]:
    """Return the names and contents of a tar's members."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return [(member.name, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def flip(path: Path, place: int) -> None:
    """Change one bit of the byte at `place` of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def read_though_flipped(
    path: Path, places: Iterable[int], read: Callable[[Path], T], refusal: type[Exception] = UserError
) -> Iterator[T]:
    """Change one bit of the byte at each of the `places`, and yield what is read where it is not refused."""
    whole, draw = path.read_bytes(), np.random.default_rng(0)
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(content)
        with contextlib.suppress(refusal):
            yield read(path)


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Have the system refuse to let a file grow beyond `size` bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


# Where the cases are trained.
PLACE = Machine(loader="torch", workers=1, progress="none")
# Pictures of a batch; an odd number of classes, so that the columns' parts of fc8 differ.
CASE_BATCH, CASE_CLASSES = 5, 7


@dataclass(frozen=True)
class Case:
    """One training, told by its difference from a profile."""

    profile: Path
    model: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float64
    classes: int = CASE_CLASSES


def trainer_of(
    case: Case,
    mesh: Mesh,
    device: torch.device,
    folder: Path,
    state: str | Path,
    stop_asked: Callable[[], bool] = lambda: False,
    **others: Any,
) -> Trainer:
    """Return a trainer of `case` whose state lies in `folder` / `state`."""
    rates = {"learning_rate": 0.01, "bias_learning_rate": 0.01}
    settings = section(Train, case.profile, **{"epochs": 2, "batch_size": CASE_BATCH, **rates, **case.train})
    network = AlexNet(section(Model, case.profile, **{"width": 0.05, **HE, **case.model}), case.classes)
    initialise(network, settings.seed)
    network.input.mean_image.copy_(torch.from_numpy(STATISTICS.mean_image))
    keep_column(network, mesh)
    network.to(device, case.dtype)
    training, validation = open_records(folder, "train"), open_records(folder, "val")
    machine = others.get("machine", PLACE)
    known: dict[str, Any] = {
        "network": network,
        "training": training,
        "validation": validation,
        "training_loader": open_replica_loader(machine, training, settings.batch_size, device, mesh),
        "validation_loader": open_replica_loader(machine, validation, settings.batch_size, device, mesh),
        "statistics": STATISTICS,
        "train": settings,
        "augment": section(Augment, case.profile),
        "machine": PLACE,
        "checkpoints": Checkpoints(folder / state),
        "mesh": mesh,
        "seconds_between_questions": 0,
        "stop_asked": stop_asked,
    }
    return Trainer(**{**known, **others})


def untimed(row: EpochRow) -> dict[str, Any]:
    """Return the results of an epoch, but for the times that differ from run to run."""
    timed = ("seconds", "data_wait_seconds", "pictures_per_second")
    return {name: value for name, value in asdict(row).items() if name not in timed}


def evaluate_in(folder: Path, split: str, **elsewhere: Path) -> None:
    """Evaluate what lies in `folder` under the names of the arguments, but for what lies `elsewhere`."""
    names = ("index", "records", "skipped", "weights", "predictions", "metrics")
    settings = Evaluate.model_validate({"split": split, "ties": "against"})
    paths = {name: folder / name for name in names} | elsewhere
    evaluate_network(Mesh(), CPU, settings=settings, machine=PLACE, **paths)
