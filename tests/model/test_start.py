"""Training on from weights in a file: what is taken, what is drawn, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import tiny
import torch

from alexnet.core.errors import UserError
from alexnet.model.network import AlexNet
from alexnet.model.weights import save_network, start_from

CLASSES = [("n01", "one"), ("n02", "two"), ("n03", "three")]
WNIDS = [wnid for wnid, _ in CLASSES]
ALL = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]


def network_of(seed: int, classes: int = 3, **changes: Any) -> AlexNet:
    network = tiny.network_of(classes=classes, seed=seed, **changes)
    network.input.mean_image.fill_(seed)
    return network


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, AlexNet]:
    path, network = tmp_path / "first.safetensors", network_of(1)
    save_network(path, network, CLASSES)
    return path, network


def assert_layers(network: AlexNet, expected: dict[str, AlexNet]) -> None:
    for layer, weight, bias in network.layer_parameters():
        source = dict(expected[layer.name].named_parameters())
        assert torch.equal(weight, source[f"{layer.name}.weight"]), layer.name
        assert torch.equal(bias, source[f"{layer.name}.bias"]), layer.name


@pytest.mark.parametrize(
    ("changes", "wnids", "drawn"),
    [
        ({}, WNIDS, []),
        ({}, ["n01", "n02"], ["fc8"]),
        ({}, ["n01", "n02", "n09"], ["fc8"]),
        ({}, ["n02", "n01", "n03"], ["fc8"]),
        ({}, ["n01", "n02", "n03", "n04"], ["fc8"]),
        ({"conv6": True}, WNIDS, ["conv6"]),
    ],
)
def test_what_fits_is_loaded_and_the_rest_and_the_mean_image_stay(
    saved: tuple[Path, AlexNet], changes: dict[str, Any], wnids: list[str], drawn: list[str]
) -> None:
    path, first = saved
    network, fresh = (network_of(2, len(wnids), **changes) for _ in range(2))
    loaded = [name for name in ALL if name not in drawn]
    start = start_from(path, network, wnids)
    assert start == f"loaded {', '.join(loaded)}; freshly drawn: {', '.join(drawn) or 'nothing'}"
    assert_layers(network, {**dict.fromkeys(loaded, first), **dict.fromkeys(drawn, fresh)})
    assert (network.input.mean_image == 2).all()


def test_keys_of_the_network_that_differ_are_named(tmp_path: Path) -> None:
    path = tmp_path / "first.safetensors"
    save_network(path, network_of(1, activation="tanh"), CLASSES)
    start = start_from(path, network_of(2, initial_weights="paper"), WNIDS)
    assert start.endswith("; trained there with another model.activation")


def test_a_conv6_that_is_left_out_is_named(tmp_path: Path) -> None:
    path, first = tmp_path / "first.safetensors", network_of(1, conv6=True)
    save_network(path, first, CLASSES)
    network = network_of(2)
    assert start_from(path, network, WNIDS).endswith("; freshly drawn: nothing; not used: conv6")
    assert_layers(network, dict.fromkeys(ALL, first))


def test_a_file_without_class_names_is_taken_by_its_shapes(tmp_path: Path) -> None:
    path, first = tmp_path / "bare.safetensors", network_of(1)
    safetensors.torch.save_file({name: p.detach() for name, p in first.named_parameters()}, path)
    network = network_of(2)
    assert start_from(path, network, ["a", "b", "c"]).endswith("; freshly drawn: nothing")
    assert_layers(network, dict.fromkeys(ALL, first))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda tensors: tensors.pop("conv3.bias"), r"conv3\.bias: found no such tensor; allowed: \(16,\)"),
        (lambda tensors: tensors.pop("fc8.weight"), r"fc8\.weight: found no such tensor"),
        (lambda tensors: tensors.update({"fc7.weight": torch.zeros(3, 5)}), r"fc7\.weight: found \(3, 5\)"),
        (lambda tensors: tensors.update({"fc8.weight": torch.zeros(9, 5)}), r"fc8\.weight: found \(9, 5\)"),
        (lambda tensors: tensors.update({"fc8.bias": torch.zeros(9)}), r"fc8\.bias: found \(9,\)"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(saved: tuple[Path, AlexNet], spoil: Any, message: str) -> None:
    path, _ = saved
    tensors = safetensors.torch.load_file(path)
    spoil(tensors)
    safetensors.torch.save_file(tensors, path)
    with tiny.told(rf"first\.safetensors.*{message}"):
        start_from(path, network_of(2), WNIDS)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 something else"])
def test_what_is_no_such_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"train\.initial_weights: .*other\.safetensors: (no such|not a)"):
        start_from(path, network_of(2), WNIDS)


def test_damaged_weights_are_not_started_from(saved: tuple[Path, AlexNet]) -> None:
    path, _ = saved
    tiny.flip(path, -1)
    with pytest.raises(UserError, match="damaged"):
        start_from(path, network_of(2), WNIDS)
