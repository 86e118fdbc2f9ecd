"""Describe a trained network, or the one that a parameter file asks for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alexnet.core.places import PARAMS_FILE, WEIGHTS
from alexnet.core.terminal import say

if TYPE_CHECKING:
    from alexnet.model.params import Model


def describe(
    params: Annotated[
        Path | None,
        typer.Option(
            help="the parameter file with the model section to describe; without this option and --classes,"
            f" the trained network is described, or {PARAMS_FILE} where there is none"
        ),
    ] = None,
    weights: Annotated[Path, typer.Option(help="the trained network")] = WEIGHTS,
    classes: Annotated[
        int | None,
        typer.Option(min=1, help="describe the network of the parameter file with so many classes, not 1000"),
    ] = None,
    columns: Annotated[bool, typer.Option("--columns", help="also print what two devices exchange")] = False,
) -> None:
    """Print the network layer by layer: kernels, output size, parameters, and the inputs of each column."""
    from alexnet.core.files import exists
    from alexnet.core.params import read
    from alexnet.model.network import layers
    from alexnet.model.params import Model
    from alexnet.model.weights import load_network

    if params is None and classes is None and (exists(weights) or weights != WEIGHTS):
        network, named = load_network(weights)
        model, outputs, found = network.model, network.classes, network.layers
        say(f"{weights}: trained, {len(named):,} classes")
    else:
        model, outputs = read(params or PARAMS_FILE, Model), classes or 1000
        found = layers(model, outputs)
        say(f"{params or PARAMS_FILE}: with {outputs:,} classes")
    say(f"{'layer':7}{'kernels':>8}  {'size':16}{'sees':14}{'output':22}{'parameters':>12}")
    total = 0
    for layer in found:
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
        say(f"{left}{output:22}{layer.parameters:>12,}")
    halves = "half of each layer's kernels in each column" if model.columns == 2 else "one column"
    say(f"{total:,} parameters in all; {halves}")
    if columns and model.columns == 2:
        _describe_exchanges(model, outputs)


def _describe_exchanges(model: "Model", classes: int) -> None:
    from alexnet.parallel.columns import exchanges

    say("")
    say("With a column on each of two devices, each sends the other, in bytes per picture:")
    say(f"{'':34}{'forward':>10}{'backward':>10}")
    found = exchanges(model, classes)
    for exchange in found:
        say(f"{exchange.what:34}{exchange.forward:>10,}{exchange.backward:>10,}")
    forward, backward = sum(e.forward for e in found), sum(e.backward for e in found)
    say(f"{'in all, in float32':34}{forward:>10,}{backward:>10,}")
    say("Of more devices each also adds its column's gradients to the other pairs', once per batch.")
