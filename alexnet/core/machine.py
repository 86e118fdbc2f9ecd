"""`machine.yaml`: what belongs to a machine and changes results by rounding only; not tracked by DVC."""

import contextlib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from alexnet.core.errors import UserError
from alexnet.core.params import Strict, load_yaml, validate
from alexnet.core.places import SAMPLE, copied_project
from alexnet.core.progress import Style

Shuffle = Literal["seek", "scatter"]


class Machine(Strict):
    """Where the raw data lies and how the work is spread; every key has a default."""

    data_root: Annotated[str, Field(min_length=1)] = str(SAMPLE)
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = "auto"
    scheduler: str = Field(default="local", pattern=r"^(local|(tcp|tls|ucx)://.+)$")
    shuffle: Shuffle = "seek"
    devices: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    backend: Literal["auto", "nccl", "gloo"] = "auto"
    loader: Literal["auto", "dali", "torch"] = "auto"
    hardware_decoder_load: float = Field(default=0.65, ge=0, le=1)
    compile: Literal["auto", "cuda-graphs"] | bool = "auto"
    deterministic: bool = False
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    progress: Style = "auto"
    checkpoint_minutes: float = Field(default=5.0, gt=0)
    timeout_seconds: float = Field(default=600.0, gt=0, le=1e6)

    @property
    def worker_count(self) -> int:
        """The number of worker processes or threads: `workers`, or the cores this process may use."""
        return usable_cores() if self.workers == "auto" else self.workers


def is_url(data_root: str) -> bool:
    """Whether the raw files lie behind a URL, such as ``s3://bucket/imagenet``, and not in a folder here."""
    return "://" in data_root


def usable_cores(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many cores this process may use: those it runs on, or its container's share if less."""
    cores = len(os.sched_getaffinity(0))
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with contextlib.suppress(OSError, ValueError):
            quota, period = " ".join((groups / name).read_text() for name in names).split()[:2]
            if int(quota) > 0:
                cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


def refuse_unless_shareable(devices: int, columns: int, name: str) -> None:
    """Check that a network of `columns` columns can be distributed over `devices`.

    Raises:
        UserError: they are more than one and odd, and the network has two columns; names `name`.
    """
    if devices > 1 and devices % columns:
        raise UserError(
            f"{name}: found {devices}; allowed: 1 or an even number, since the two columns of the network"
            " (model.columns: 2) take a device each"
        )


def read_machine(path: Path) -> Machine:
    """Read `machine.yaml`; a missing file means the defaults.

    In a copy in which DVC runs an experiment, the project's own file is read, and a relative `data_root` is
    relative to the project.

    Raises:
        UserError: a key is unknown, mistyped or out of range.
    """
    project = copied_project()
    if project is None or path.exists() or path.is_absolute():
        return validate(load_yaml(path) if path.exists() else {}, Machine, path, "")
    original = project / path
    found = validate(load_yaml(original) if original.exists() else {}, Machine, original, "")
    root = Path(found.data_root)
    # The sample is made anew in the copy, by its own parameters.
    own = is_url(found.data_root) or found.data_root.startswith("~") or root.is_absolute() or root == SAMPLE
    return found if own else found.model_copy(update={"data_root": str(project / root)})
