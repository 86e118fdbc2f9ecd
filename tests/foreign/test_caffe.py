"""bvlc_alexnet's arithmetic, in NumPy by itself, against the network that its arrays become.

The real weights were not at hand: these are random arrays of bvlc_alexnet's shapes, narrower.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import coarse_pictures, patches, told
from typer.testing import CliRunner

from alexnet.cli.main import app
from alexnet.core.errors import UserError
from alexnet.evaluation.predict import classify
from alexnet.foreign import caffe
from alexnet.foreign.caffe import model_of, network_of, read_classes, read_npz
from alexnet.model.network import layers
from alexnet.model.weights import load_network

Array = NDArray[Any]
CLASSES = 7
# Kernels of a net a twelfth as wide; outputs, inputs of one group, kernel.
SHAPES = {
    "conv1": (8, 3, 11),
    "conv2": (22, 4, 5),
    "conv3": (32, 22, 3),
    "conv4": (32, 16, 3),
    "conv5": (22, 16, 3),
}
FULL = {"fc6": (342, 22 * 36), "fc7": (342, 342), "fc8": (CLASSES, 342)}


def arrays_of(mean: bool = True) -> dict[str, Array]:
    """Weights that neither let the signal vanish nor make it explode, and biases that weigh in."""
    draw, arrays = np.random.default_rng(1), {}
    for name, (outputs, inputs, kernel) in SHAPES.items():
        fan_in = inputs * kernel**2
        # conv1 sees grey levels, the others what a norm or ReLU leaves.
        deviation = np.sqrt(2 / fan_in) / (10 if name == "conv1" else 1)
        arrays[f"{name}_0"] = deviation * draw.standard_normal((outputs, inputs, kernel, kernel))
        arrays[f"{name}_1"] = 0.3 * draw.standard_normal(outputs)
    for name, shape in FULL.items():
        arrays[f"{name}_0"] = np.sqrt(2 / shape[1]) * draw.standard_normal(shape)
        arrays[f"{name}_1"] = 0.3 * draw.standard_normal(shape[0])
    if mean:
        arrays["mean"] = draw.uniform(90, 130, (3, 256, 256))
    return {name: values.astype(np.float32) for name, values in arrays.items()}


def convolution(maps: Array, weight: Array, bias: Array, stride: int = 1, pad: int = 0) -> Array:
    """Caffe's: maps (channels, side, side); groups follow from the kernels' depth."""
    groups = len(maps) // weight.shape[1]
    padded = np.pad(maps, ((0, 0), (pad, pad), (pad, pad)))
    outputs = []
    for inputs, kernels in zip(np.split(padded, groups), np.split(weight, groups), strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(inputs, weight.shape[2:], (1, 2))
        outputs.append(np.einsum("cyxij,kcij->kyx", windows[:, ::stride, ::stride], kernels))
    return np.concatenate(outputs) + bias[:, None, None]


def norm(maps: Array) -> Array:
    """Caffe's ACROSS_CHANNELS: over all maps of both groups, α ÷ 5, k = 1."""
    result = np.empty_like(maps)
    for i in range(len(maps)):
        near = maps[max(0, i - 2) : i + 3]
        result[i] = maps[i] / (1 + 1e-4 / 5 * (near**2).sum(0)) ** 0.75
    return result


def pool(maps: Array) -> Array:
    side = (maps.shape[1] - 3) // 2 + 1
    return np.array(
        [
            [[m[2 * y : 2 * y + 3, 2 * x : 2 * x + 3].max() for x in range(side)] for y in range(side)]
            for m in maps
        ]
    )


def caffe_logits(arrays: dict[str, Array], picture: Array, top: int, left: int, mirrored: bool) -> Array:
    """bvlc_alexnet at test: a 227×227 crop in blue, green, red, its mean subtracted, then mirrored."""
    w = {name: values.astype(np.float64) for name, values in arrays.items()}
    crop = picture[top : top + 227, left : left + 227, ::-1].transpose(2, 0, 1).astype(np.float64)
    data = crop - w["mean"][:, top : top + 227, left : left + 227]
    if mirrored:
        data = data[:, :, ::-1]
    maps = pool(norm(np.maximum(convolution(data, w["conv1_0"], w["conv1_1"], stride=4), 0)))
    maps = pool(norm(np.maximum(convolution(maps, w["conv2_0"], w["conv2_1"], pad=2), 0)))
    for name in ("conv3", "conv4", "conv5"):
        maps = np.maximum(convolution(maps, w[f"{name}_0"], w[f"{name}_1"], pad=1), 0)
    hidden = pool(maps).reshape(-1)
    for name in ("fc6", "fc7"):
        hidden = np.maximum(w[f"{name}_0"] @ hidden + w[f"{name}_1"], 0)
    logits: Array = w["fc8_0"] @ hidden + w["fc8_1"]
    return logits


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "bvlc_alexnet.npz"
    np.savez(path, **arrays_of())  # type: ignore[arg-type]
    return path


PLACES = [(14, 14, False), (0, 29, True), (29, 3, False)]


def test_the_network_computes_what_caffe_would(npz: Path) -> None:
    network = network_of(read_npz(npz), npz).double()
    whole = coarse_pictures(len(PLACES))
    cut = [
        picture[top : top + 227, left : left + 227][:, :: -1 if mirrored else 1]
        for picture, (top, left, mirrored) in zip(whole, PLACES, strict=True)
    ]
    with torch.no_grad():
        found = network(patches(np.stack(cut), *PLACES)).numpy()
    expected = np.stack(
        [caffe_logits(arrays_of(), picture, *place) for picture, place in zip(whole, PLACES, strict=True)]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert np.ptp(expected, axis=0).max() > 0.1


def test_blobs_of_four_dimensions_and_a_mean_of_three_numbers(npz: Path, tmp_path: Path) -> None:
    arrays = arrays_of()
    old = {name: values.reshape((1,) * (4 - values.ndim) + values.shape) for name, values in arrays.items()}
    old["mean"] = np.array([10, 20, 30], np.float32)
    network = network_of(old, npz)
    assert torch.equal(network.fc6.weight, torch.from_numpy(arrays["fc6_0"]))
    assert network.input.mean_image[:, 7, 9].tolist() == [30, 20, 10]
    without = network_of(arrays_of(mean=False), npz)
    assert without.input.mean_image[:, 0, 0].tolist() == pytest.approx([122.67891, 116.66877, 104.00699])


def test_the_full_size_has_the_papers_parameters() -> None:
    described = layers(model_of(1.0), 1000, 227)
    assert [layer.size for layer in described if layer.is_convolution] == [55, 27, 13, 13, 13]
    assert sum(layer.parameters for layer in described) == 60_965_224
    # 227 pixels are all seen: no position reaches past the edge.
    assert not any(layer.overhang for layer in described)


def test_the_command_writes_what_can_be_loaded(npz: Path, tmp_path: Path) -> None:
    names, out = tmp_path / "synset_words.txt", tmp_path / "network.safetensors"
    names.write_text("".join(f"n{number:08d} word {number}, other\n" for number in range(CLASSES)))
    done = CliRunner().invoke(app, ["import-caffe", str(npz), "--out", str(out), "--classes", str(names)])
    assert done.exit_code == 0, done.output
    assert "7 classes, 227×227" in done.output
    network, classes = load_network(out)
    assert classes[3] == ("n00000003", "word 3, other")
    picture = torch.from_numpy(coarse_pictures(1))
    expected = classify(network_of(read_npz(npz), npz), picture)
    assert torch.equal(classify(network, picture), expected)


def drop(name: str) -> Any:
    return lambda arrays: arrays.pop(name)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop("conv4_1"), "conv4_1: missing; found: conv1_0"),
        (drop("conv1_0"), "conv1_0: missing"),
        (drop("fc8_1"), "fc8_1: missing"),
        (
            lambda arrays: arrays.update(fc7_0=np.zeros((3, 5))),
            r"fc7_0: found shape \(3, 5\); allowed: \(342",
        ),
        (lambda arrays: arrays.update(conv1_0=np.zeros(())), r"conv1_0: found shape \(\)"),
        (lambda arrays: arrays.update(mean=np.zeros(4)), r"mean: found shape \(4,\)"),
        (lambda arrays: arrays.update(conv9_0=np.zeros(4)), "conv9_0: unknown array"),
    ],
)
def test_arrays_that_do_not_fit_are_named(spoil: Any, message: str) -> None:
    arrays = arrays_of()
    spoil(arrays)
    with told(rf"bvlc\.npz: {message}"):
        network_of(arrays, Path("bvlc.npz"))


def test_arrays_that_would_fill_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caffe, "MAX_BYTES", 1000)
    np.savez_compressed(tmp_path / "large.npz", conv1_0=np.zeros(1000, np.float32))
    with pytest.raises(UserError, match=r"large\.npz: .*unpacks to more than 1,000 bytes"):
        read_npz(tmp_path / "large.npz")


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    text, pickled = tmp_path / "text.npz", tmp_path / "pickled.npz"
    text.write_text("no arrays")
    np.savez(pickled, conv1_0=np.array([{}], object))
    for path in (text, pickled, tmp_path / "absent.npz"):
        with pytest.raises(UserError, match=path.name):
            read_npz(path)
    names = tmp_path / "names.txt"
    names.write_text("n1 one\n")
    with pytest.raises(UserError, match=r"names\.txt: found 1 classes; allowed: 7"):
        read_classes(names, 7)
