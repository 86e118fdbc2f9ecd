"""The exported graph, run by another program, against the network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
import torch
from documents import example
from numpy.typing import NDArray
from PIL import Image
from tiny import PAPER, SOURCE, coarse_pictures

import alexnet
from alexnet.evaluation.predict import classify
from alexnet.foreign.onnx import export_onnx
from alexnet.model.input import whole_pictures
from alexnet.model.network import AlexNet
from alexnet.model.patches import centre_patch
from alexnet.model.weights import save_network

CLASSES = [(f"n{number:08d}", f"class {number}") for number in range(12)]


def network_of(profile: Path = PAPER, sure: float = 20, **changes: Any) -> AlexNet:
    """A network that tells pictures apart: its fc8 makes much of fc7."""
    return tiny.network_of(profile, len(CLASSES), sure=sure, width=0.06, **changes).eval()


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
def test_ten_patches_give_the_same_top_5(profile: Path, changes: dict[str, Any], tmp_path: Path) -> None:
    network, path = network_of(profile, **changes), tmp_path / "network.onnx"
    export_onnx(path, network, CLASSES, patches=10)
    # Another batch than the graph was traced with.
    batch = coarse_pictures(3, 8)
    found, expected = run(path, batch), classify(network, torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6)
    top5 = [np.argsort(-probabilities, kind="stable")[:, :5] for probabilities in (found, expected)]
    assert (top5[0] == top5[1]).all()
    # Not the same for any picture, or a graph that ignores its input would do.
    assert len({tuple(row) for row in top5[0]}) > 1


def test_one_patch_is_the_centre_and_the_file_is_valid_and_names_its_classes(tmp_path: Path) -> None:
    network, path = network_of(), tmp_path / "network.onnx"
    export_onnx(path, network, CLASSES, patches=1)
    batch = coarse_pictures(2, 8)
    with torch.no_grad():
        centres = centre_patch(whole_pictures(torch.from_numpy(batch)), network.input.side)
        expected = network(centres).softmax(1).numpy()
    np.testing.assert_allclose(run(path, batch), expected, rtol=2e-4, atol=1e-6)
    assert np.abs(expected - classify(network, torch.from_numpy(batch)).numpy()).max() > 1e-3

    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert [tuple(entry) for entry in json.loads(about["classes"])] == CLASSES
    assert [file.name for file in tmp_path.iterdir()] == ["network.onnx"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network that is sure, in both forms."""
    folder, network = tmp_path_factory.mktemp("exported"), network_of(sure=400)
    save_network(folder / "models/alexnet.safetensors", network, CLASSES)
    export_onnx(folder / "models/alexnet.onnx", network, CLASSES, patches=10)
    return folder


@pytest.mark.parametrize("size", [(600, 1000), (200, 150)], ids=str)
def test_the_documented_example_gives_our_probabilities(
    exported: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(coarse_pictures(1, 8)[0]).resize(size).save(exported / "cat.jpg", quality=90)
    monkeypatch.chdir(exported)
    shown: dict[str, Any] = {}
    exec(compile(example("onnxruntime"), "using.md", "exec"), shown)
    guesses = alexnet.load("models/alexnet.safetensors").predict("cat.jpg", len(CLASSES))
    ours = {guess.wnid: guess.probability for guess in guesses}
    expected = [ours[wnid] for wnid, _ in CLASSES]
    np.testing.assert_allclose(shown["probabilities"][0], expected, rtol=0, atol=1e-3)
    # A network that is never sure would agree with anything.
    assert max(expected) > 0.5
