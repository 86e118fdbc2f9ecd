"""Take over Caffe's bvlc_alexnet."""

from pathlib import Path
from typing import Annotated

import typer

from alexnet.core.terminal import say


def import_caffe(
    npz: Annotated[
        Path, typer.Argument(help="a file with the arrays conv1_0 (weights), conv1_1 (biases) … fc8_1")
    ],
    out: Annotated[Path, typer.Option(help="the network to write")] = Path("models/caffe.safetensors"),
    classes: Annotated[
        Path | None, typer.Option(help="Caffe's synset_words.txt: a WNID and words per line, in label order")
    ] = None,
) -> None:
    """Turn Caffe's bvlc_alexnet into a network for the other commands and alexnet.load()."""
    from alexnet.foreign.caffe import network_of, read_classes, read_npz
    from alexnet.model.weights import save_network

    network = network_of(read_npz(npz), npz)
    save_network(out, network, read_classes(classes, network.classes))
    parameters = sum(layer.parameters for layer in network.layers)
    say(f"{out}: {parameters:,} parameters, {network.classes} classes, 227×227 pixels in")
