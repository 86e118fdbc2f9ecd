"""Trained networks as safetensors files that carry all that is needed to use them."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch

from alexnet.errors import UserError
from alexnet.files import replacing
from alexnet.model.network import AlexNet
from alexnet.params.model import Model

Classes = list[tuple[str, str]]


def save(path: Path, network: AlexNet, classes: Classes) -> None:
    """Write weights, mean image, the `model` section and `classes` (WNID, words) to `path`.

    Equal networks give equal bytes: the header is one text, since several have no fixed order.
    """
    about = json.dumps({"model": network.model.model_dump(), "classes": classes})
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replacing(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, {"alexnet": about})


def load(path: Path) -> tuple[AlexNet, Classes]:
    """Read the network that `save` wrote, in evaluation mode on the CPU, and its classes.

    Raises:
        UserError: the file is missing, is no such file, or lacks tensors.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; train one (dvc repro train) or name another")
    try:
        content = path.read_bytes()
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["alexnet"])
        network = AlexNet(Model.model_validate(about["model"]), len(about["classes"]))
        network.load_state_dict(safetensors.torch.load(content))
    except (KeyError, safetensors.SafetensorError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a network that this project wrote: {reason}") from None
    return network.eval(), [(wnid, words) for wnid, words in about["classes"]]
