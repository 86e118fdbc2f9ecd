"""A trained network as people use it: picture files in, likeliest labels out."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet.core.errors import UserError
from alexnet.evaluation.predict import classify
from alexnet.ingest.decode import decode
from alexnet.ingest.resize import to_square
from alexnet.ingest.stored import BadPictureError
from alexnet.model.network import AlexNet
from alexnet.model.weights import Classes, load_network


class Guess(NamedTuple):
    """A label and its probability."""

    wnid: str
    words: str
    probability: float


@dataclass(frozen=True)
class Classifier:
    """A network and the names of its classes.

    Attributes:
        network: the `torch.nn.Module`; its ``input`` makes conv1's input of bytes.
        classes: WNID and words of each class, in label order.
    """

    network: AlexNet
    classes: Classes

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that the train stage wrote; see `load_network`."""
        return cls(*load_network(path))

    def predict(self, pictures: Iterable[str | Path], count: int = 5) -> list[list[Guess]]:
        """Return the `count` likeliest labels of each picture file, by ten patches.

        A picture is prepared as for training: shorter side to 256, central square.

        Raises:
            UserError: a file is missing or no picture.
        """
        return [self._guesses(Path(picture), count) for picture in pictures]

    def _guesses(self, path: Path, count: int) -> list[Guess]:
        picture = read_square(path)
        probabilities = classify(self.network, torch.from_numpy(picture.copy())[None])[0].numpy()
        best = np.argsort(-probabilities, kind="stable")[:count]
        named = zip((self.classes[label] for label in best), probabilities[best], strict=True)
        return [Guess(wnid, words, float(probability)) for (wnid, words), probability in named]


def read_square(path: Path) -> NDArray[np.uint8]:
    """Return a picture file as records hold it, uint8 (256, 256, 3).

    Raises:
        UserError: the file is missing or no picture.
    """
    try:
        return to_square(decode(path.read_bytes()))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except BadPictureError as error:
        raise UserError(f"{path}: {error}") from None
