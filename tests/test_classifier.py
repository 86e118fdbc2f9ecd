"""A trained network in one's own code: the forms of a picture, features, module and transform."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import coarse_pictures, network_of, told

import alexnet
from alexnet.classifier import Classifier
from alexnet.model.weights import save_network

NAMES = [(f"n{number:08d}", f"class {number}") for number in range(7)]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"
    save_network(path, network_of(), NAMES)
    return alexnet.load(path)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "cat.jpg"
    Image.fromarray(coarse_pictures(1)[0]).resize((400, 300)).save(path)
    return path


FORMS: dict[str, Callable[[Path], Any]] = {
    "str": str,
    "Path": Path,
    "Pillow": Image.open,
    "array": lambda path: np.asarray(Image.open(path)),
    "tensor": lambda path: torch.tensor(np.asarray(Image.open(path))),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_picture_in_any_form_gives_the_same(
    form: Callable[[Path], Any], network: Classifier, picture: Path
) -> None:
    expected = network.predict(picture)
    assert [round(guess.probability, 6) for guess in expected] != [round(1 / 7, 6)] * 5
    assert network.predict(form(picture)) == expected
    assert network.predict([form(picture), picture], 2) == [expected[:2]] * 2
    one = network.features(form(picture))
    assert one.shape == (network.module.layers[-1].inputs,)
    np.testing.assert_array_equal(network.features([form(picture), picture]), [one, one])
    assert network.features([]).shape == (0, *one.shape)
    np.testing.assert_array_equal(network.transform(form(picture)), network.transform(picture))


def test_what_yields_pictures_is_several(network: Classifier) -> None:
    first, second = coarse_pictures(2)
    expected = [network.predict(first), network.predict(second)]
    assert expected[0] != expected[1]
    assert network.predict(picture for picture in (first, second)) == expected
    assert network.predict([]) == []


def test_module_and_transform_give_the_logits_of_the_centre_patch(network: Classifier, picture: Path) -> None:
    with Image.open(picture) as opened:
        square = np.asarray(opened.resize((341, 256)).crop((42, 0, 298, 256)))
    # By the paper's words, on a picture that is 256×256 already.
    centre = square[16:240, 16:240].transpose(2, 0, 1).astype(np.float32)
    mean = network.module.input.mean_image[:, 16:240, 16:240].numpy()
    inputs = network.transform(square)
    np.testing.assert_allclose(inputs[0], (centre - mean) / 60, rtol=1e-6)
    with torch.no_grad():
        logits = network.module(inputs)
        torch.testing.assert_close(logits, network.module.from_inputs(inputs))
        several = network.module(torch.cat([inputs, network.transform(picture)]))
    assert several.shape == (2, 7)
    torch.testing.assert_close(several[:1], logits)
    hidden = network.module.fc8(torch.from_numpy(network.features(square))[None])
    torch.testing.assert_close(hidden, logits)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (np.zeros((4, 5)), "float64 (4, 5)"),
        (np.zeros((4, 5), np.uint8), "uint8 (4, 5)"),
        (np.zeros((0, 5, 3), np.uint8), "uint8 (0, 5, 3)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "uint8 (3, 8, 8)"),
        ([7], "found int"),
        (coarse_pictures(2), "uint8 (2, 256, 256, 3)"),
        ("absent.jpg", "absent.jpg: cannot be read: No such file"),
        (Path(__file__), "no picture format that is known"),
    ],
    ids=str,
)
def test_what_is_no_picture_is_refused_in_one_line(wrong: Any, found: str, network: Classifier) -> None:
    with told(re.escape(found)):
        network.predict(wrong)
