"""The command `alexnet`: describe a network, classify pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alexnet.errors import shown_plainly

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__)

WEIGHTS = Path("models/alexnet.safetensors")


@app.command()
@shown_plainly
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


@app.command()
@shown_plainly
def predict(
    pictures: Annotated[list[Path], typer.Argument(help="picture files")],
    weights: Annotated[Path, typer.Option(help="a trained network")] = WEIGHTS,
) -> None:
    """Print the five likeliest labels of each picture with their probabilities."""
    from alexnet.classifier import Classifier

    classifier = Classifier.load(weights)
    for picture in pictures:
        (guesses,) = classifier.predict([picture])
        print(picture)
        for guess in guesses:
            print(f"  {guess.probability:6.1%}  {guess.words} ({guess.wnid})")


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
