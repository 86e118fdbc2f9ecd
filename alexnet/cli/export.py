"""Write a trained network as ONNX, or at half its size."""

from pathlib import Path
from typing import Annotated

import typer

from alexnet.core.errors import UserError
from alexnet.core.places import WEIGHTS
from alexnet.core.terminal import say

ONNX = Path("models/alexnet.onnx")


def export(
    weights: Annotated[Path, typer.Option(help="a trained network")] = WEIGHTS,
    out: Annotated[Path, typer.Option(help="the file to write, .onnx or .safetensors")] = ONNX,
    one_patch: Annotated[
        bool, typer.Option("--one-patch", help="use the centre patch only; a tenth of the work")
    ] = False,
) -> None:
    """Write a network as one ONNX file: 256×256 pictures as bytes in, class probabilities out.

    With an --out that ends in .safetensors, write it as a file for this project, its weights in 16 bits.
    """
    from alexnet.model.weights import load_network, save_network

    if out.suffix not in (".onnx", ".safetensors"):
        raise UserError(f"--out: found {out}; allowed: a name that ends in .onnx or .safetensors")
    if one_patch and out.suffix != ".onnx":
        raise UserError(f"--one-patch: found --out {out}; allowed: only with a name that ends in .onnx")
    network, classes = load_network(weights)
    if out.suffix == ".safetensors":
        save_network(out, network, classes, half=True)
        say(f"{out}: {out.stat().st_size / 1e6:.1f} MB; weights and mean image in 16 bits")
        return
    from alexnet.foreign.onnx import export_onnx

    export_onnx(out, network, classes, 1 if one_patch else 10)
    size = out.stat().st_size / 1e6
    say(
        f"{out}: {size:.1f} MB; pictures uint8 (batch, 256, 256, 3) RGB in, probabilities (batch,"
        f" {len(classes)}) of {'the centre patch' if one_patch else 'ten patches'} out"
    )
