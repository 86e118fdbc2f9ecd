"""Weights on disk: round trip, equal bytes, and files that are not ours."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import tiny
import torch
from tiny import SOURCE, coarse_pictures, read_though_flipped
from torch import Tensor

from alexnet.core.errors import UserError
from alexnet.model.input import whole_pictures
from alexnet.model.network import AlexNet
from alexnet.model.patches import ten_patches
from alexnet.model.weights import load_network, save_network

CLASSES = [("n02085620", "Chihuahua"), ("n02123045", "tabby, tabby cat"), ("n07753592", 'banana "plátano"')]


def network_of(seed: int = 1, **changes: Any) -> AlexNet:
    return tiny.network_of(SOURCE, len(CLASSES), seed, **changes).eval()


@torch.no_grad()
def logits_of(network: AlexNet) -> Tensor:
    side = network.input.side
    logits: Tensor = network(ten_patches(whole_pictures(torch.from_numpy(coarse_pictures(2))), side))
    return logits


@pytest.mark.parametrize("changes", [{}, {"columns": 1, "conv6": True, "mean": "patch", "patch": 227}])
def test_what_is_loaded_computes_what_was_saved(tmp_path: Path, changes: dict[str, Any]) -> None:
    network = network_of(**changes)
    path = tmp_path / "deep" / "network.safetensors"
    save_network(path, network, CLASSES)
    loaded, classes = load_network(path)
    assert torch.equal(logits_of(loaded), logits_of(network))
    assert classes == CLASSES
    assert (loaded.model, loaded.input.side) == (network.model, network.input.side)
    assert not loaded.training
    assert torch.equal(loaded.input.mean_image, network.input.mean_image)


def test_half_the_precision_is_half_the_size_and_rounds(tmp_path: Path) -> None:
    network = network_of()
    network.input.mean_image.copy_(100 + 50 * torch.rand(3, 256, 256))
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_network(whole, network, CLASSES)
    save_network(half, network, CLASSES, half=True)
    assert half.stat().st_size < 0.51 * whole.stat().st_size
    loaded, classes = load_network(half)
    assert classes == CLASSES
    for name, values in network.state_dict().items():
        found = loaded.state_dict()[name]
        assert found.dtype == torch.float32
        assert torch.equal(found, values.half().float())
    expected = logits_of(network).softmax(1)
    torch.testing.assert_close(logits_of(loaded).softmax(1), expected, rtol=0, atol=1e-3)


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


def rewritten(change: Callable[[dict[str, Tensor]], Any], **model: Any) -> Callable[[Path], None]:
    """Return what changes a file's tensors and its network's settings, and drops its checksum.

    Earlier versions had none.
    """

    def rewrite(path: Path) -> None:
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["alexnet"])
        del about["sha256"]
        about["model"] |= model
        tensors = safetensors.torch.load(path.read_bytes())
        change(tensors)
        safetensors.torch.save_file(tensors, path, {"alexnet": json.dumps(about)})

    return rewrite


def about(text: str | None) -> Callable[[Path], None]:
    """Return what writes a tensor and `text` as if it were the network's description."""
    metadata = None if text is None else {"alexnet": text}
    return lambda path: safetensors.torch.save_file({"conv1.weight": torch.zeros(3)}, path, metadata)


SPOILT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a missing tensor": (rewritten(lambda tensors: tensors.pop("conv3.bias")), r"conv3\.bias"),
    "a misshapen one": (rewritten(lambda tensors: tensors.update({"fc7.weight": torch.zeros(3, 5)})), "fc7"),
    "another": (rewritten(lambda tensors: tensors.update({"conv9.weight": torch.zeros(3)})), "conv9"),
    "another type": (
        rewritten(lambda tensors: tensors.update({"fc8.bias": tensors["fc8.bias"].double()})),
        r"fc8\.bias is torch\.float64",
    ),
    "no number": (
        rewritten(lambda tensors: tensors["fc8.bias"].fill_(math.nan)),
        r"fc8\.bias holds values that are not finite",
    ),
    "no safetensors": (lambda path: path.write_bytes(b"PK\x03\x04 this is something else"), "not a network"),
    "nothing": (lambda path: path.write_bytes(b""), "not a network"),
    "half": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "not a network"),
    "foreign": (about(None), "not a network"),
    "foreign metadata": (about("not JSON"), "not a network"),
    "metadata that is null": (about("null"), "not a network"),
    "metadata that is a list": (about("[1]"), "not a network"),
    "classes that are none": (about('{"model": {"patch": 224}, "classes": 3}'), "not a network"),
    "impossible settings": (rewritten(lambda tensors: None, columns=3), "columns"),
    "absent": (Path.unlink, "no such file; train one"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_file_that_is_no_network_is_named(tmp_path: Path, name: str) -> None:
    path, (spoil, message) = tmp_path / "network.safetensors", SPOILT[name]
    save_network(path, network_of(), CLASSES)
    spoil(path)
    with tiny.told(rf"network\.safetensors: .*{message}"):
        load_network(path)


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path, network = tmp_path / "network.safetensors", network_of()
    save_network(path, network, CLASSES)
    rewritten(lambda tensors: None)(path)
    assert torch.equal(logits_of(load_network(path)[0]), logits_of(network))


def test_no_damage_is_overlooked(tmp_path: Path) -> None:
    """Whatever byte is flipped, the file is refused or the network is the same."""
    path, network = tmp_path / "network.safetensors", network_of()
    save_network(path, network, CLASSES)
    whole, draws = path.read_bytes(), np.random.default_rng(0)
    length = 8 + int.from_bytes(whole[:8], "little")
    # The header is small, so half of the flips are drawn there.
    places = [*draws.integers(0, length, 15), *draws.integers(length, len(whole), 15)]
    loaded = list(read_though_flipped(path, places, load_network))
    for found, classes in loaded:
        assert classes == CLASSES
        for name, values in network.state_dict().items():
            torch.testing.assert_close(found.state_dict()[name], values, rtol=0, atol=0)
    assert len(loaded) < 5


def test_weights_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    network = network_of()
    network.input.mean_image.fill_(math.inf)
    with pytest.raises(UserError, match="not finite"):
        save_network(tmp_path / "network.safetensors", network, CLASSES)
    assert list(tmp_path.iterdir()) == []


def test_weights_on_a_full_disk_leave_those_of_before(tmp_path: Path) -> None:
    path, network = tmp_path / "x.safetensors", tiny.network_of()
    classes = [(f"n{number}", "word") for number in range(7)]
    save_network(path, network, classes)
    before = path.read_bytes()
    with tiny.largest_file(10_000), pytest.raises(UserError, match="cannot be written: File too large"):
        save_network(path, network, classes)
    assert [found.name for found in tmp_path.iterdir()] == ["x.safetensors"]
    assert path.read_bytes() == before
