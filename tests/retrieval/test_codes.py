"""Features of fc7, and their codes: better than chance and than no learning, and the same again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import CPU, InMemory, coarse_pictures, hashes, largest_file, network_of

from alexnet.core.errors import UserError
from alexnet.retrieval.codes import train_encoder
from alexnet.retrieval.features import features_of_picture, features_of_records
from alexnet.retrieval.library import FEATURES, Library, load_library, save_library
from alexnet.retrieval.params import Retrieve
from alexnet.retrieval.retrieve import _others
from alexnet.retrieval.search import by_code, nearest, pack, recall


def test_features_are_fc7_of_the_centre() -> None:
    network, pixels, chosen = network_of(input_divisor=1.0), coarse_pictures(5), np.array([4, 0, 2])
    out = np.zeros((3, network.fc7.out_features), np.float32)
    features_of_records(network, InMemory(pixels), chosen, 5, out, "none")
    outputs: list[torch.Tensor] = []
    network.fc7.register_forward_hook(lambda module, given, output: outputs.append(output))
    for row, picture in zip(out, pixels[chosen], strict=True):
        centred = picture.astype(np.float32).transpose(2, 0, 1) - network.input.mean_image.numpy()
        inputs = torch.from_numpy(centred[:, 16:240, 16:240].copy())[None]
        with torch.no_grad():
            network.eval().from_inputs(inputs)
        # As printed, dropout halves the outputs at test.
        expected = outputs[-1][0].clamp(min=0).numpy() / 2
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(features_of_picture(network, picture)[0], expected, rtol=1e-4, atol=1e-4)
        assert row.std() > 0


SETTINGS = Retrieve(code_bits=16, steps=5, batch_size=32, queries=10, seed=1)


def clustered(count: int = 400, dimensions: int = 60) -> NDArray[np.float32]:
    """Pictures that vary along a few directions, as those of a trained network do."""
    draw = np.random.default_rng(5)
    inner = draw.standard_normal((count, 6)) @ draw.standard_normal((6, dimensions))
    return np.maximum(inner + 0.1 * draw.standard_normal((count, dimensions)), 0).astype(np.float32)


def test_learned_codes_find_more_than_untrained_ones() -> None:
    features = clustered()
    exact = nearest(features, features[:40], 6).records
    found = {}
    for steps in (1, 60):
        encoder = train_encoder(features, SETTINGS.model_copy(update={"steps": steps}), CPU)
        packed = encoder.codes(features)
        found[steps] = recall(exact, by_code(packed, packed[:40], 30))
    chance = 30 / 400
    assert found[60] > found[1] > chance
    assert found[60] > 0.5


def test_a_query_is_no_candidate_of_its_own() -> None:
    candidates = np.array([[3, 1, 2], [0, 5, 6]])
    own = np.array([1, 9])
    assert _others(candidates, candidates, own).tolist() == [[3, 2], [0, 5]]
    assert _others(candidates / 2, candidates, own).tolist() == [[1.5, 1], [0, 2.5]]
    assert _others(candidates, candidates, None) is candidates


def test_equal_seeds_give_equal_codes() -> None:
    features = clustered()
    first, again = (train_encoder(features, SETTINGS, CPU).codes(features) for _ in range(2))
    assert np.array_equal(first, again)
    other = train_encoder(features, SETTINGS.model_copy(update={"seed": 2}), CPU).codes(features)
    assert not np.array_equal(first, other)


def test_codes_are_the_signs_of_the_encoder() -> None:
    features = clustered()
    encoder = train_encoder(features, SETTINGS, CPU)
    inputs = (torch.from_numpy(features) - encoder.mean) / encoder.scale
    with torch.no_grad():
        expected = pack((encoder.encoder(inputs) > 0).numpy())
    assert np.array_equal(encoder.codes(features), expected)


def library_of(folder: Path) -> tuple[Library, Path]:
    features = clustered(120)
    encoder = train_encoder(features, SETTINGS, CPU)
    names = np.array([f"{number}.jpg" for number in range(120)], dtype=object)
    classes = [("n1", "a"), ("n2", "b"), ("n3", "c")]
    library = Library(features, encoder.codes(features), encoder, names, np.arange(120) % 3, classes)
    folder.mkdir()
    np.save(folder / FEATURES, features)
    weights = folder.parent / "weights"
    weights.write_bytes(b"weights")
    save_library(folder, library, weights)
    return library, weights


def test_a_library_that_is_kept_finds_the_same(tmp_path: Path) -> None:
    made, weights = library_of(tmp_path / "library")
    found = load_library(tmp_path / "library", weights)
    queries = made.features[:4] + np.float32(0.01)
    assert np.array_equal(found.encoder.codes(made.features), made.codes)
    for search in ("neighbours", "neighbours_by_code"):
        before, after = (getattr(one, search)(queries, 6) for one in (made, found))
        assert np.array_equal(before.records, after.records)
        assert (before.records[:, 0] == np.arange(4)).all()
    assert (found.names.tolist(), found.classes) == (made.names.tolist(), made.classes)


def test_a_library_on_a_full_disk_stays_as_it_was(tmp_path: Path) -> None:
    library, weights = library_of(tmp_path / "library")
    before = hashes(tmp_path / "library")
    # The codes fit, the encoder does not.
    with largest_file(2000), pytest.raises(UserError, match=r"encoder.*cannot be written: File too large"):
        save_library(tmp_path / "library", library, weights)
    assert hashes(tmp_path / "library") == before


def test_libraries_that_are_none_or_of_other_weights_are_told(tmp_path: Path) -> None:
    _, weights = library_of(tmp_path / "library")
    other = tmp_path / "other"
    other.write_bytes(b"other weights")
    with pytest.raises(UserError, match=r"made with other weights than .*dvc repro retrieve"):
        load_library(tmp_path / "library", other)
    with pytest.raises(UserError, match=r"gone: no such file"):
        load_library(tmp_path / "library", tmp_path / "gone")
    features = np.load(tmp_path / "library" / FEATURES)
    np.save(tmp_path / "library" / FEATURES, features[:-1])
    with pytest.raises(UserError, match=r"features\.npy is damaged"):
        load_library(tmp_path / "library", weights)
    np.save(tmp_path / "library" / FEATURES, features)
    np.save(tmp_path / "library" / "codes.npy", np.zeros((3, 1), np.uint64))
    with pytest.raises(UserError, match=r"codes\.npy is damaged"):
        load_library(tmp_path / "library", weights)
    (tmp_path / "library" / "encoder.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="no features that this project wrote"):
        load_library(tmp_path / "library", weights)
    with pytest.raises(UserError, match=r"about\.json: no such file; run the retrieve stage"):
        load_library(tmp_path / "nothing", weights)
