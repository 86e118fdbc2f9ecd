"""Trained networks as safetensors files, with all that is needed to use them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from alexnet.core.errors import UserError
from alexnet.core.files import exists, replacing
from alexnet.model.network import AlexNet
from alexnet.model.params import Model

Classes = list[tuple[str, str]]
Tensors = dict[str, Tensor]


def save_network(path: str | Path, network: AlexNet, classes: Classes, half: bool = False) -> None:
    """Write weights, mean image, the `model` section, `classes` (WNID, words) and their SHA-256 to `path`.

    Equal networks give equal bytes: the header has one entry, as several would have no fixed order.

    Args:
        half: whether to round the weights and the mean image to 16 bits, for a file of half the size.

    Raises:
        UserError: a weight is not finite, the disk is full or the folder cannot be written.
    """
    path, model = Path(path), network.model.model_dump()
    # The side of the input stands among the model's facts, as no file is complete without it.
    facts = {"columns": model.pop("columns"), "patch": network.input.side, **model}
    about = {"model": facts, "classes": classes}
    dtype = torch.float16 if half else None
    tensors = {name: tensor.to("cpu", dtype).contiguous() for name, tensor in network.state_dict().items()}
    _refuse_not_finite(path, tensors)
    about["sha256"] = _sha256_of(about, tensors)
    with replacing(path) as temporary:
        # The library's own writing raises another error where the disk is full.
        temporary.write_bytes(safetensors.torch.save(tensors, {"alexnet": json.dumps(about)}))


def load_network(path: str | Path) -> tuple[AlexNet, Classes]:
    """Read the network that `save_network` wrote, in evaluation mode on the CPU, and its classes.

    Raises:
        UserError: the file is missing, is no such file, is damaged, lacks tensors, or has a weight that is
            not finite.
    """
    path = Path(path)
    if not exists(path):
        raise UserError(
            f"{path}: no such file; train one (dvc repro train), restore it (dvc checkout) or name another"
        )
    try:
        about, tensors = _read(path)
        patch = about["model"].pop("patch")
        network = AlexNet(Model.model_validate(about["model"]), len(about["classes"]), patch)
        for name, tensor in network.state_dict().items():
            if name in tensors and tensors[name].dtype != tensor.dtype:
                raise ValueError(f"{name} is {tensors[name].dtype}, not {tensor.dtype}")
        network.load_state_dict(tensors)
        classes = [(str(wnid), str(words)) for wnid, words in about["classes"]]
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a network that this project wrote: {reason}") from None
    return network.eval(), classes


def _read(path: Path) -> tuple[dict[str, Any], Tensors]:
    """Return what a safetensors file says of its network, {} where nothing, and its tensors.

    Raises:
        UserError: its checksum differs, or a value is not finite.
        ValueError, OSError: it is no safetensors file, or cannot be read.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("alexnet", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None
    if not isinstance(about, dict):
        raise ValueError("its description is no mapping")
    # Files of an earlier version have no checksum.
    checksum = about.pop("sha256", None)
    if about.keys() - {"model", "classes"}:
        raise ValueError(f"unknown entries: {', '.join(about.keys() - {'model', 'classes'})}")
    if checksum is not None and checksum != _sha256_of(about, tensors):
        raise UserError(f"{path}: damaged: its content has another checksum. Copy or train it again.")
    _refuse_not_finite(path, tensors)
    halves = {name: tensor.float() for name, tensor in tensors.items() if tensor.dtype == torch.float16}
    return about, {**tensors, **halves}


def _sha256_of(about: dict[str, Any], tensors: Tensors) -> str:
    digest = hashlib.sha256(json.dumps(about).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _refuse_not_finite(path: Path, tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{path}: {name} holds values that are not finite: of no use. Train again.")


@torch.no_grad()
def start_from(path: Path, network: AlexNet, wnids: list[str]) -> str:
    """Replace the weights of `network`, whose classes are `wnids`, by those in `path`, layer by layer.

    Two layers may differ, and then keep their random weights (source files 146 and 146-2012-2011): fc8 if the
    classes differ, and conv6 if only one of the networks has it. The mean image stays that of the pictures
    to be trained on.

    Returns:
        Which layers were loaded, freshly drawn and not used, and which keys of `model` have another value in
        the file, but for conv6 and first weights.

    Raises:
        UserError: the file is missing, no such file or damaged, or a tensor is missing, of another shape
            or type, or not finite.
    """
    if not path.is_file():
        raise UserError(f"train.initial_weights: {path}: no such file; name one, or null to draw weights")
    try:
        about, found = _read(path)
    except (ValueError, OSError) as error:
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
            if tensor is None or (tensor.shape, tensor.dtype) != (parameter.shape, parameter.dtype):
                shape = "no such tensor" if tensor is None else f"{tuple(tensor.shape)} of {tensor.dtype}"
                raise UserError(
                    f"train.initial_weights: {path}: {layer.name}.{kind}: found {shape}; allowed:"
                    f" {tuple(parameter.shape)} of {parameter.dtype}. Make the `model` section as it was"
                    " there, except for conv6."
                )
            parameter.copy_(tensor)
        loaded.append(layer.name)
    said = [f"loaded {', '.join(loaded)}", f"freshly drawn: {', '.join(fresh) or 'nothing'}"]
    others = {name.rsplit(".", 1)[0] for name in found if not name.startswith("input.")}
    if unused := sorted(others - {layer.name for layer in network.layers}):
        said.append(f"not used: {', '.join(unused)}")
    there = about.get("model") or {}
    differs = [
        key
        for key, value in network.model.model_dump(mode="json").items()
        if key in there and there[key] != value and key != "conv6" and not key.startswith("initial_")
    ]
    if differs:
        said.append(f"trained there with another model.{', model.'.join(differs)}")
    return "; ".join(said)


def _of_other_classes(
    tensors: list[Tensor | None], weight: Tensor, theirs: list[str] | None, wnids: list[str]
) -> bool:
    found, bias = tensors
    if found is None or bias is None or found.shape[1:] != weight.shape[1:] or bias.shape != found.shape[:1]:
        return False
    return len(found) != len(weight) or (theirs is not None and theirs != wnids)
