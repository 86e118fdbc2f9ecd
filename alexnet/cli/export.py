"""Write a trained network as ONNX."""

from pathlib import Path
from typing import Annotated

import typer

from alexnet.core.places import WEIGHTS
from alexnet.core.terminal import say


def export(
    weights: Annotated[Path, typer.Option(help="a trained network")] = WEIGHTS,
    out: Annotated[Path, typer.Option(help="the ONNX file to write")] = Path("models/alexnet.onnx"),
    one_patch: Annotated[
        bool, typer.Option("--one-patch", help="use the centre patch only; a tenth of the work")
    ] = False,
) -> None:
    """Write a network as one ONNX file: 256×256 pictures as bytes in, class probabilities out."""
    from alexnet.foreign.onnx import export_onnx
    from alexnet.model.weights import load_network

    network, classes = load_network(weights)
    export_onnx(out, network, classes, 1 if one_patch else 10)
    size = out.stat().st_size / 1e6
    say(
        f"{out}: {size:.1f} MB; pictures uint8 (batch, 256, 256, 3) RGB in, probabilities (batch,"
        f" {len(classes)}) of {'the centre patch' if one_patch else 'ten patches'} out"
    )
