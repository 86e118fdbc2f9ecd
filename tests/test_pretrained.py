"""The network that comes with the repository, and its card."""

import re

import numpy as np
from conftest import ROOT
from safetensors import safe_open
from tiny import coarse_pictures

import alexnet
from alexnet.core.files import sha256_of
from alexnet.core.places import PRETRAINED

FILE = ROOT / PRETRAINED
CARD = (FILE.parent / "README.md").read_text(encoding="utf-8")


def test_it_is_small_in_half_precision_and_the_file_that_the_card_describes() -> None:
    assert FILE.stat().st_size <= 16e6
    assert sha256_of(FILE) in CARD
    with safe_open(FILE, framework="numpy") as tensors:
        kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys() if name.endswith("weight")}  # noqa: SIM118
        assert kinds == {"F16"}
        parameters = sum(
            int(np.prod(tensors.get_slice(name).get_shape()))
            for name in tensors.keys()  # noqa: SIM118
            if name.endswith(("weight", "bias"))
        )
    assert f"{parameters:,} parameters" in CARD


def test_it_tells_pictures_apart_and_names_tiny_imagenets_classes() -> None:
    network = alexnet.load(FILE)
    assert len(network.classes) == len({wnid for wnid, _ in network.classes}) == 200
    assert all(re.fullmatch(r"n\d{8}", wnid) and words for wnid, words in network.classes)
    first, second = network.predict(list(coarse_pictures(2)), 200)
    assert [guess.wnid for guess in first] != [guess.wnid for guess in second]
    assert abs(sum(guess.probability for guess in first) - 1) < 1e-6
    assert network.features(coarse_pictures(1)[0]).std() > 0
