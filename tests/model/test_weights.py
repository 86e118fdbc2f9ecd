"""Weights on disk: round trip, equal bytes, and files that are not ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from alexnet.core.errors import UserError
from alexnet.core.params import read
from alexnet.model.initial import initialise
from alexnet.model.input import Patches
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.model.weights import load_network, save_network

PROFILES = Path(__file__).parents[2] / "profiles"
CLASSES = [("n02085620", "Chihuahua"), ("n02123045", "tabby, tabby cat"), ("n07753592", 'banana "plátano"')]


def network_of(seed: int = 1, **changes: Any) -> AlexNet:
    he = {"width": 0.04, "initial_weights": "he", "input_divisor": 60.0}
    settings = read(PROFILES / "imagenet-2012-source.yaml", Model).model_dump()
    network = AlexNet(Model.model_validate({**settings, **he, **changes}), len(CLASSES))
    initialise(network, seed)
    draw = torch.Generator().manual_seed(seed)
    network.input.mean_image.copy_(100 + 50 * torch.rand(3, 256, 256, generator=draw))
    return network.eval()


@torch.no_grad()
def logits_of(network: AlexNet) -> Tensor:
    pixels = torch.randint(
        0, 256, (2, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    corner = torch.full((2,), 16)
    logits: Tensor = network(network.input(Patches(pixels, corner, corner, torch.tensor([False, True]))))
    return logits


@pytest.mark.parametrize("changes", [{}, {"columns": 1, "conv6": True, "mean": "patch"}])
def test_what_is_loaded_computes_what_was_saved(tmp_path: Path, changes: dict[str, Any]) -> None:
    network = network_of(**changes)
    path = tmp_path / "deep" / "network.safetensors"
    save_network(path, network, CLASSES)
    loaded, classes = load_network(path)
    assert torch.equal(logits_of(loaded), logits_of(network))
    assert classes == CLASSES
    assert loaded.model == network.model
    assert not loaded.training
    assert torch.equal(loaded.input.mean_image, network.input.mean_image)


def test_a_network_that_is_saved_stays_as_it_was(tmp_path: Path) -> None:
    network = network_of().train()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    save_network(tmp_path / "network.safetensors", network, CLASSES)
    assert network.training
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())


def test_equal_networks_give_equal_bytes_and_others_do_not(tmp_path: Path) -> None:
    contents = []
    for number, seed in enumerate((1, 1, 2)):
        save_network(tmp_path / str(number), network_of(seed), CLASSES)
        contents.append((tmp_path / str(number)).read_bytes())
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]
    save_network(tmp_path / "0", network_of(), CLASSES)
    assert (tmp_path / "0").read_bytes() == contents[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]


def missing_tensor(path: Path) -> None:
    rewrite(path, lambda tensors: tensors.pop("conv3.bias"))


def misshapen_tensor(path: Path) -> None:
    rewrite(path, lambda tensors: tensors.update({"fc7.weight": torch.zeros(3, 5)}))


def another_tensor(path: Path) -> None:
    rewrite(path, lambda tensors: tensors.update({"conv9.weight": torch.zeros(3)}))


def rewrite(path: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    with safetensors.safe_open(path, "pt") as file:
        about = file.metadata()
    tensors = safetensors.torch.load(path.read_bytes())
    change(tensors)
    safetensors.torch.save_file(tensors, path, about)


def no_safetensors(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 this is something else entirely")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def foreign(path: Path) -> None:
    safetensors.torch.save_file({"conv1.weight": torch.zeros(3)}, path)


def foreign_about(path: Path) -> None:
    safetensors.torch.save_file({"conv1.weight": torch.zeros(3)}, path, {"alexnet": "not JSON"})


def older_settings(path: Path) -> None:
    with safetensors.safe_open(path, "pt") as file:
        about = file.metadata()["alexnet"].replace('"columns": 2', '"columns": 3')
    tensors = safetensors.torch.load(path.read_bytes())
    safetensors.torch.save_file(tensors, path, {"alexnet": about})


@pytest.mark.parametrize(
    "spoil",
    [
        missing_tensor,
        misshapen_tensor,
        another_tensor,
        no_safetensors,
        empty,
        half,
        foreign,
        foreign_about,
        older_settings,
        Path.unlink,
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_a_file_that_is_no_network_is_named(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = tmp_path / "network.safetensors"
    save_network(path, network_of(), CLASSES)
    spoil(path)
    with pytest.raises(UserError, match=r"network\.safetensors") as caught:
        load_network(path)
    assert "\n" not in str(caught.value)


def test_the_message_names_the_tensor_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    save_network(path, network_of(), CLASSES)
    missing_tensor(path)
    with pytest.raises(UserError, match=r"conv3\.bias"):
        load_network(path)
