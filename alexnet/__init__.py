"""AlexNet (Krizhevsky, Sutskever, Hinton, 2012), reproduced.

>>> network = alexnet.load("models/alexnet.safetensors")
>>> network.predict("cat.jpg")
"""

from pathlib import Path
from typing import TYPE_CHECKING

from alexnet.core.environment import prepare_environment

if TYPE_CHECKING:
    from alexnet.classifier import Classifier

__all__ = ["__version__", "load"]

__version__ = "0.1.0"

prepare_environment()


def load(path: str | Path) -> "Classifier":
    """Return the trained network in the safetensors file at `path`, ready to classify pictures.

    Raises:
        alexnet.core.errors.UserError: the file is missing or not of this project.
    """
    # Imported here so that stages that need no network don't wait for torch.
    from alexnet.classifier import Classifier

    return Classifier.load(path)
