"""Classify picture files."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from alexnet.core.errors import UserError
from alexnet.core.places import PRETRAINED, WEIGHTS
from alexnet.core.terminal import say


def predict(
    pictures: Annotated[list[Path], typer.Argument(help="picture files")],
    weights: Annotated[Path, typer.Option(help="a trained network")] = WEIGHTS,
) -> None:
    """Print the five most likely labels of each picture with their probabilities.

    Where models/ has no network, pretrained/tiny-imagenet.safetensors is taken, if it exists.
    """
    from alexnet.classifier import Classifier

    # A link that leads nowhere is to a network that was removed from DVC's cache.
    if weights == WEIGHTS and not os.path.lexists(weights) and PRETRAINED.exists():
        say(
            f"{weights}: not there (dvc checkout restores one that was trained); {PRETRAINED} is taken,"
            " of the 200 classes of Tiny ImageNet"
        )
        weights = PRETRAINED
    classifier = Classifier.load(weights)
    failed = False
    for picture in pictures:
        try:
            guesses = classifier.predict(picture)
        except UserError as error:
            failed = True
            say(f"error: {error}", sys.stderr)
            continue
        say(str(picture))
        for guess in guesses:
            say(f"  {guess.probability:6.1%}  {guess.words} ({guess.wnid})")
    if failed:
        raise SystemExit(1)
