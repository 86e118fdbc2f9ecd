"""A trained network as people use it in their own code: pictures in, likeliest labels or features out."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from alexnet.core.errors import UserError
from alexnet.evaluation.predict import classify
from alexnet.ingest.decode import decode, pixels_of
from alexnet.ingest.resize import to_square
from alexnet.ingest.stored import BadPictureError
from alexnet.model.input import whole_pictures
from alexnet.model.network import AlexNet
from alexnet.model.patches import centre_patch
from alexnet.model.weights import Classes, load_network
from alexnet.retrieval.features import features_of_picture

if TYPE_CHECKING:
    from typing_extensions import TypeIs

# A file, an image of Pillow, or uint8 (height, width, 3) in RGB.
Picture = str | Path | Image.Image | NDArray[np.uint8] | Tensor


class Guess(NamedTuple):
    """A label and its probability."""

    wnid: str
    words: str
    probability: float


@dataclass(frozen=True)
class Classifier:
    """A network and the names of its classes.

    Every picture is prepared as for training: shorter side to 256, central square. All is computed on the
    device on which `module` is.

    Attributes:
        module: the `torch.nn.Module`, which gives logits (batch, classes) of what `transform` returns.
        classes: WNID and words of each class, in label order.
    """

    module: AlexNet
    classes: Classes

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that the train stage wrote; see `load_network`."""
        return cls(*load_network(path))

    # A str is also an iterable of str.
    @overload
    def predict(self, pictures: Picture, count: int = 5) -> list[Guess]: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, pictures: Iterable[Picture], count: int = 5) -> list[list[Guess]]: ...

    def predict(
        self, pictures: Picture | Iterable[Picture], count: int = 5
    ) -> list[Guess] | list[list[Guess]]:
        """Return the `count` likeliest labels by ten patches, the likeliest first.

        Args:
            pictures: one picture, for which one list of guesses is returned, or several: a list of lists.

        Raises:
            UserError: a file is missing or no picture, or an array is not uint8 (height, width, 3).
        """
        if _is_one(pictures):
            return self._guesses(pictures, count)
        return [self._guesses(picture, count) for picture in pictures]

    def features(self, pictures: Picture | Iterable[Picture]) -> NDArray[np.float32]:
        """Return fc7's activations of the centre patch, (d,) of one picture, (pictures, d) of several.

        Raises:
            UserError: see `predict`.
        """
        several = [pictures] if _is_one(pictures) else pictures
        found = [features_of_picture(self.module, _square_of(picture)) for picture in several]
        if _is_one(pictures):
            return found[0][0]
        neurons = self.module.layers[-1].inputs
        return np.concatenate([np.empty((0, neurons), np.float32), *found])

    def transform(self, picture: Picture) -> Tensor:
        """Return what `module` takes for the centre patch of a picture, float32 (1, 3, side, side).

        Raises:
            UserError: see `predict`.
        """
        patch = centre_patch(whole_pictures(self._pixels(picture)), self.module.input.side)
        inputs: Tensor = self.module.input(patch)
        return inputs

    def _guesses(self, picture: Picture, count: int) -> list[Guess]:
        probabilities = classify(self.module, self._pixels(picture))[0].cpu().numpy()
        best = np.argsort(-probabilities, kind="stable")[:count]
        named = zip((self.classes[label] for label in best), probabilities[best], strict=True)
        return [Guess(wnid, words, float(probability)) for (wnid, words), probability in named]

    def _pixels(self, picture: Picture) -> Tensor:
        """Return uint8 (1, 256, 256, 3) on the device of `module`."""
        square = torch.from_numpy(_square_of(picture).copy())[None]
        return square.to(next(self.module.parameters()).device)


def _is_one(pictures: Picture | Iterable[Picture]) -> "TypeIs[Picture]":
    # A str, an image and an array could be iterated too; what is no picture at all is refused as one.
    known = str | bytes | Path | Image.Image | np.ndarray | Tensor
    return isinstance(pictures, known) or not isinstance(pictures, Iterable)


def _square_of(picture: Picture) -> NDArray[np.uint8]:
    """Return a picture as records hold it, uint8 (256, 256, 3)."""
    name = picture if isinstance(picture, str | Path) else type(picture).__name__
    try:
        if isinstance(picture, str | Path):
            return to_square(decode(Path(picture).read_bytes()))
        return to_square(pixels_of(picture) if isinstance(picture, Image.Image) else _as_rgb(picture))
    except OSError as error:
        raise UserError(f"{name}: cannot be read: {error.strerror}") from None
    except BadPictureError as error:
        raise UserError(f"{name}: {error}") from None


def _as_rgb(picture: NDArray[np.uint8] | Tensor) -> NDArray[np.uint8]:
    pixels = picture.cpu().numpy() if isinstance(picture, Tensor) else picture
    if not isinstance(pixels, np.ndarray):
        found = f"{type(pixels).__name__}"
    elif pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        found = f"{pixels.dtype} {pixels.shape}"
    else:
        return pixels
    raise UserError(
        f"picture: found {found}; allowed: a path, an image of Pillow, or an array or tensor of uint8"
        " (height, width, 3) in RGB"
    )
