"""Trained networks as safetensors files, with all that is needed to use them."""

import json
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from alexnet.core.errors import UserError
from alexnet.core.files import replacing
from alexnet.model.network import AlexNet
from alexnet.model.params import Model

Classes = list[tuple[str, str]]


def save_network(path: Path, network: AlexNet, classes: Classes) -> None:
    """Write weights, mean image, the `model` section and `classes` (WNID, words) to `path`.

    Equal networks give equal bytes: the header has one entry, as several would have no fixed order.
    """
    model = network.model.model_dump()
    # The side of the input stands among the model's facts, as no file is complete without it.
    facts = {"columns": model.pop("columns"), "patch": network.input.side, **model}
    about = json.dumps({"model": facts, "classes": classes})
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replacing(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, {"alexnet": about})


def load_network(path: Path) -> tuple[AlexNet, Classes]:
    """Read the network that `save_network` wrote, in evaluation mode on the CPU, and its classes.

    Raises:
        UserError: the file is missing, is something else, or lacks tensors.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; train one (dvc repro train) or name another")
    try:
        content = path.read_bytes()
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["alexnet"])
        patch = about["model"].pop("patch")
        network = AlexNet(Model.model_validate(about["model"]), len(about["classes"]), patch)
        network.load_state_dict(safetensors.torch.load(content))
    except (KeyError, safetensors.SafetensorError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a network that this project wrote: {reason}") from None
    return network.eval(), [(wnid, words) for wnid, words in about["classes"]]


@dataclass(frozen=True)
class Start:
    """Which layers of a network came from a file, which are freshly drawn, and which were not used."""

    loaded: list[str]
    fresh: list[str]
    unused: list[str]

    def __str__(self) -> str:
        unused = f"; not used: {', '.join(self.unused)}" if self.unused else ""
        fresh = ", ".join(self.fresh) or "nothing"
        return f"loaded {', '.join(self.loaded)}; freshly drawn: {fresh}{unused}"


@torch.no_grad()
def start_from(path: Path, network: AlexNet, wnids: list[str]) -> Start:
    """Replace the weights of `network`, whose classes are `wnids`, by those in `path`, layer by layer.

    Fine-tuning needs two differences (source files 146 and 146-2012-2011), where a layer stays as it was
    drawn: fc8 of other classes, and a conv6 that only one of the two networks has. The mean image stays
    that of the pictures to be trained on.

    Raises:
        UserError: the file is missing or something else, or a tensor is missing or of another shape.
    """
    if not path.exists():
        raise UserError(f"train.initial_weights: {path}: no such file; name one, or null to draw weights")
    try:
        with safetensors.safe_open(path, "pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = json.loads((file.metadata() or {}).get("alexnet", "{}"))
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"train.initial_weights: {path}: not a safetensors file: {error}") from None
    theirs = [wnid for wnid, _ in about["classes"]] if "classes" in about else None
    loaded, fresh = [], []
    for layer, weight, bias in network.layer_parameters():
        tensors = [found.get(f"{layer.name}.{kind}") for kind in ("weight", "bias")]
        other_classes = layer.name == "fc8" and _of_other_classes(tensors, weight, theirs, wnids)
        if other_classes or (layer.name == "conv6" and tensors == [None, None]):
            fresh.append(layer.name)
            continue
        for kind, tensor, parameter in zip(("weight", "bias"), tensors, (weight, bias), strict=True):
            if tensor is None or tensor.shape != parameter.shape:
                shape = "no such tensor" if tensor is None else str(tuple(tensor.shape))
                raise UserError(
                    f"train.initial_weights: {path}: {layer.name}.{kind}: found {shape}; allowed:"
                    f" {tuple(parameter.shape)}. Make the `model` section as it was there, except for conv6."
                )
            parameter.copy_(tensor)
        loaded.append(layer.name)
    own = {layer.name for layer in network.layers}
    others = {name.rsplit(".", 1)[0] for name in found if not name.startswith("input.")}
    return Start(loaded, fresh, sorted(others - own))


def _of_other_classes(
    tensors: list[Tensor | None], weight: Tensor, theirs: list[str] | None, wnids: list[str]
) -> bool:
    found, bias = tensors
    if found is None or bias is None or found.shape[1:] != weight.shape[1:] or bias.shape != found.shape[:1]:
        return False
    return len(found) != len(weight) or (theirs is not None and theirs != wnids)
