"""Describe the network that a parameter file asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def describe(
    params: Annotated[Path, typer.Option(help="whose model section to describe")] = Path("params.yaml"),
    classes: Annotated[int, typer.Option(min=1, help="outputs of fc8")] = 1000,
) -> None:
    """Print the network layer by layer: kernels, output, parameters, and which column sees what."""
    from alexnet.model.network import layers
    from alexnet.params.base import read
    from alexnet.params.model import Model

    model = read(params, Model)
    print(f"{'layer':7}{'kernels':>8}  {'size':16}{'sees':14}{'output':22}{'parameters':>12}")
    total = 0
    for layer in layers(model, classes):
        total += layer.parameters
        size, output = "", f"{layer.outputs}"
        if layer.is_convolution:
            depth = layer.fan_in // layer.kernel**2
            size = f"{layer.kernel}×{layer.kernel}×{depth}"
            size += f", {layer.stride}" if layer.stride > 1 else ""
            output = f"{layer.size}×{layer.size}×{layer.outputs}"
            if layer.pooled:
                output += f" → {layer.pooled}×{layer.pooled}"
        left = f"{layer.name:7}{layer.outputs:>8}  {size:16}{layer.sees:14}"
        print(f"{left}{output:22}{layer.parameters:>12,}")
    halves = "half of each layer's kernels in each column" if model.columns == 2 else "one column"
    print(f"{total:,} parameters in all; {halves}")
