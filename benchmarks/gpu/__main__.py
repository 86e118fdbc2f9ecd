"""The command of `benchmarks.gpu`."""

import os
import re
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from alexnet.core.errors import UserError, shown_plainly
from alexnet.core.files import sole_writer

RESULTS = Path("benchmarks/results")


@shown_plainly
def main(
    rehearse: Annotated[bool, typer.Option("--rehearse", help="all steps at toy size on the CPU")] = False,
    # Not called --only: torch's compiler takes what follows that for a name, and writes it into its code.
    steps: Annotated[
        list[str] | None,
        typer.Option(help="only the steps with this text in their names; several times: with any"),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="measure what has figures, too")] = False,
    photographs: Annotated[Path | None, typer.Option(help="raw files, trained on as by folder.yaml")] = None,
    tiny_imagenet: Annotated[Path | None, typer.Option(help="the raw files of Tiny ImageNet")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="of trainings; default: the recipes'")] = None,
    price: Annotated[float | None, typer.Option(min=0, help="of an hour of the device, for the cost")] = None,
    results: Annotated[Path | None, typer.Option(help="a folder; default: benchmarks/results")] = None,
) -> None:
    """Measure what has not been measured on this GPU, and keep each figure at once."""
    if rehearse:
        if again or photographs or tiny_imagenet or epochs or price:
            raise UserError("--rehearse: generates its pictures; allowed beside it are --steps and --results")
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        with tempfile.TemporaryDirectory() as name:
            _rehearse(Path(name), results or Path(name), tuple(steps or ()))
        return
    import torch

    # Not above: every process that is started imports this module first.
    from benchmarks.gpu.bench import Bench, Scale
    from benchmarks.gpu.plan import plan
    from benchmarks.gpu.steps import measure

    if not torch.cuda.is_available():
        raise UserError(
            f"torch {torch.__version__} finds no GPU; needed is one, and a build of torch for it. The same"
            " steps at toy size on the CPU: python -m benchmarks.gpu --rehearse"
        )
    for option, folder in (("photographs", photographs), ("tiny-imagenet", tiny_imagenet)):
        if folder is not None and not folder.is_dir():
            raise UserError(f"--{option}: {folder}: no such folder; needed is one of raw files")
    device, work = torch.cuda.get_device_name(), Path(".state/gpu").resolve()
    name = re.sub("[^A-Za-z0-9]+", "-", device)
    file = ((results or RESULTS) / f"{name}.json").resolve()
    pictures = [folder and folder.resolve() for folder in (photographs, tiny_imagenet)]
    bench = Bench(Scale(), work, file, pictures[0], pictures[1], epochs, price)
    with sole_writer(work, 0):
        shutil.rmtree(bench.trials, ignore_errors=True)
        measure(partial(plan, bench), work, file, device, _drivers(), tuple(steps or ()), again)


def _rehearse(work: Path, results: Path, only: tuple[str, ...]) -> None:
    from alexnet.sample.files import generate
    from benchmarks.gpu.bench import TOY, Bench
    from benchmarks.gpu.plan import plan
    from benchmarks.gpu.steps import measure
    from benchmarks.preprocess import SAMPLE

    sample, file = work / "sample", (results / "rehearsal.json").resolve()
    generate(sample, SAMPLE.model_copy(update={"train_per_class": 4}), "none")
    bench = Bench(TOY, work, file, sample, sample, 1, 1.0)
    measure(partial(plan, bench), work, file, "CPU", {}, only)


def _drivers() -> dict[str, Any]:
    import torch

    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.partition("\n")[0]
    except OSError:
        driver = "not known without nvidia-smi"
    return {"CUDA": torch.version.cuda, "driver": driver}


if __name__ == "__main__":
    typer.run(main)
