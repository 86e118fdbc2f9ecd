"""Find the training pictures that a network finds most like some picture files."""

from pathlib import Path
from typing import Annotated

import typer

from alexnet.core.places import RETRIEVAL, WEIGHTS
from alexnet.core.terminal import say


def neighbors(
    pictures: Annotated[list[Path], typer.Argument(help="picture files")],
    count: Annotated[int, typer.Option(min=1, help="number of neighbours of each picture")] = 6,
    by_code: Annotated[bool, typer.Option(help="search only those with the nearest binary codes")] = False,
    weights: Annotated[Path, typer.Option(help="a trained network")] = WEIGHTS,
    library: Annotated[Path, typer.Option(help="the folder written by the retrieve stage")] = RETRIEVAL,
) -> None:
    """Print the nearest training pictures by Euclidean distance of fc7's activations, the nearest first."""
    from alexnet.classifier import Classifier
    from alexnet.retrieval.library import load_library

    classifier = Classifier.load(weights)
    found = load_library(library, weights)
    search = found.neighbours_by_code if by_code else found.neighbours
    for picture in pictures:
        hits = search(classifier.features([picture]), count)
        say(str(picture))
        for record, distance in zip(hits.records[0], hits.distances[0], strict=True):
            wnid, words = found.classes[found.labels[record]]
            say(f"  {distance:9.3f}  {found.names[record]}  {words} ({wnid})")
