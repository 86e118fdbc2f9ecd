"""The exported graph, run by another program, against the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from alexnet.core.params import read
from alexnet.evaluation.patches import classify
from alexnet.foreign.onnx import export_onnx
from alexnet.model.initial import initialise
from alexnet.model.input import Patches
from alexnet.model.network import AlexNet
from alexnet.model.params import Model

PROFILES = Path(__file__).parents[2] / "profiles"
PAPER, SOURCE = "imagenet-2012-paper.yaml", "imagenet-2012-source.yaml"
CLASSES = [(f"n{number:08d}", f"class {number}") for number in range(12)]


def network_of(profile: str, **changes: Any) -> AlexNet:
    """A network that tells pictures apart: He's weights, and an fc8 that makes much of fc7."""
    settings = read(PROFILES / profile, Model).model_dump()
    he = {"width": 0.06, "initial_weights": "he", "initial_biases": "zero", "input_divisor": 60.0}
    network = AlexNet(Model.model_validate({**settings, **he, **changes}), len(CLASSES))
    initialise(network, 1)
    with torch.no_grad():
        network.fc8.weight.mul_(20)
    network.input.mean_image.copy_(
        100 + 50 * torch.rand(3, 256, 256, generator=torch.Generator().manual_seed(2))
    )
    return network.eval()


def pictures(count: int) -> NDArray[np.uint8]:
    """Coarse patterns, so that patches of one picture differ and pictures more so."""
    coarse = np.random.default_rng(3).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return coarse.repeat(32, 1).repeat(32, 2)


def run(path: Path, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"pictures": batch})
    return np.asarray(found)


@pytest.mark.parametrize(
    ("profile", "changes"),
    [
        (PAPER, {}),
        (SOURCE, {"dropout": {"rate": 0.5, "form": "inverted"}, "conv6": True}),
        (PAPER, {"mean": "none", "activation": "abs_tanh", "pooling": "2/2", "columns": 1, "patch": 227}),
    ],
    ids=["paper", "source", "others"],
)
def test_ten_patches_give_the_same_top_5(profile: str, changes: dict[str, Any], tmp_path: Path) -> None:
    network, path = network_of(profile, **changes), tmp_path / "network.onnx"
    export_onnx(path, network, CLASSES)
    # Another batch than the graph was traced with.
    batch = pictures(3)
    found, expected = run(path, batch), classify(network, torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6)
    top5 = [np.argsort(-probabilities, kind="stable")[:, :5] for probabilities in (found, expected)]
    assert (top5[0] == top5[1]).all()
    # Not the same for any picture, or a graph that ignores its input would do.
    assert len({tuple(row) for row in top5[0]}) > 1


def test_one_patch_is_the_centre(tmp_path: Path) -> None:
    network, path = network_of(PAPER), tmp_path / "network.onnx"
    export_onnx(path, network, CLASSES, patches=1)
    batch = pictures(2)
    corner = torch.full((2,), 16)
    centre = Patches(
        torch.from_numpy(batch[:, 16:240, 16:240].copy()), corner, corner, torch.zeros(2, dtype=torch.bool)
    )
    with torch.no_grad():
        expected = network(network.input(centre)).softmax(1).numpy()
    np.testing.assert_allclose(run(path, batch), expected, rtol=2e-4, atol=1e-6)
    assert np.abs(expected - classify(network, torch.from_numpy(batch)).numpy()).max() > 1e-3


def test_the_file_is_valid_and_names_its_classes(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    export_onnx(path, network_of(PAPER), CLASSES, patches=1)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert [tuple(entry) for entry in json.loads(about["classes"])] == CLASSES
    assert [path.name for path in tmp_path.iterdir()] == ["network.onnx"]
