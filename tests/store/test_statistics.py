"""Mean image, covariance and colour noise against NumPy in float64 and the formulas as printed."""

import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from tiny import read_though_flipped, section, told, write_shards

from alexnet.core.errors import UserError
from alexnet.feed.colour import colour_shift
from alexnet.feed.params import Augment
from alexnet.store.records import encode, open_records, write_tables
from alexnet.store.statistics import (
    SUMS,
    Statistics,
    Sums,
    measure_statistics,
    read_statistics,
    write_statistics,
)

Floats = npt.NDArray[np.float64]
PICTURES = 23

# What the authors shipped with cuda-convnet2, in 0-255: standard deviations along the components.
AUTHORS = np.array([121.78, 37.09, 19.72])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of coloured noise in three shards with its sums, and other pictures as val."""
    folder = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(0)
    mixing = np.array([[50, 12, 5], [48, -4, -9], [45, -15, 4]])
    contents, sums = [], Sums()
    for _ in range(PICTURES):
        coarse = rng.normal(0, 1, (16, 16, 3)) @ mixing.T + [130, 110, 90] + rng.normal(0, 15, 3)
        pixels = np.kron(coarse, np.ones((16, 16, 1))).clip(0, 255).astype(np.uint8)
        contents.append(encode(pixels, 95, "4:4:4", "raw"))
        sums.add_picture(pixels)
    white = encode(np.full((256, 256, 3), 255, np.uint8), 95, "4:4:4", "raw")
    rows = write_shards(folder, "train", contents, [0] * PICTURES, 10, "raw")
    rows += write_shards(folder, "val", [white], [0], encoding="raw")
    sums.write(folder / SUMS)
    write_tables(folder, pd.concat(rows, ignore_index=True))
    return folder


@pytest.fixture(scope="module")
def pixels(folder: Path) -> npt.NDArray[np.uint8]:
    """Return (pictures, 256, 256, 3) of the training records."""
    records = open_records(folder, "train")
    return np.stack([records.stored(record) for record in range(len(records))])


@pytest.fixture(scope="module")
def found(folder: Path) -> Statistics:
    return measure_statistics(folder)


# --- what is measured -----------------------------------------------------------------------------


def test_what_is_measured_is_numpys(found: Statistics, pixels: npt.NDArray[np.uint8]) -> None:
    assert found.images == PICTURES
    expected = pixels.astype(np.float64).mean(0).transpose(2, 0, 1)
    assert found.mean_image.shape == (3, 256, 256)
    assert found.mean_image.dtype == np.float32
    np.testing.assert_allclose(found.mean_image, expected, rtol=1e-6)
    values = pixels.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(found.channel_means, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(values, rowvar=False, bias=True), rtol=1e-9)
    vectors, eigenvalues = found.eigenvectors, found.eigenvalues
    np.testing.assert_allclose(vectors @ np.diag(eigenvalues) @ vectors.T, found.covariance, rtol=1e-9)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(eigenvalues, np.sort(np.linalg.eigvalsh(found.covariance))[::-1])
    assert all(column[np.abs(column).argmax()] > 0 for column in vectors.T)


def test_sums_stay_exact_beyond_what_float32_can_hold() -> None:
    sums, white = Sums(), np.full((256, 256, 3), 255, np.uint8)
    pictures = 2**24 // 255 + 500
    for _ in range(pictures):
        sums.add_picture(white)
    total = Sums()
    total.add(sums)
    assert (total.pixels == 255 * pictures).all()
    assert (total.products == 255**2 * 256**2 * pictures).all()


def test_summary_has_the_named_units(found: Statistics) -> None:
    summary = found.summary().model_dump()
    assert summary["images"] == PICTURES
    deviations = np.array(summary["standard_deviations"])
    np.testing.assert_allclose(deviations**2, found.eigenvalues, rtol=1e-4)
    np.testing.assert_allclose(summary["eigenvalues_unit"], (deviations / 255) ** 2, rtol=1e-3)
    np.testing.assert_allclose(summary["channel_means"], found.channel_means, atol=1e-4)
    # One eigenvector a row, as people read them.
    np.testing.assert_allclose(summary["eigenvectors"][0], found.eigenvectors[:, 0], atol=1e-6)


def equal(one: Statistics, other: Statistics) -> bool:
    return all(np.array_equal(value, other.__dict__[name]) for name, value in one.__dict__.items())


def test_sums_of_other_pictures_are_refused(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    Sums().write(other / SUMS)
    with told(r"sums\.npz: sums of 0 training pictures, but 23 are there\. Run dvc repro -f preprocess"):
        measure_statistics(other)


def test_file_round_trip(found: Statistics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_statistics(tmp_path / "one.npz", found)
    again = read_statistics(tmp_path / "one.npz")
    assert equal(again, found)
    assert isinstance(again.images, int)
    for name in ("mean_image", "channel_means", "covariance", "eigenvalues", "eigenvectors"):
        assert getattr(again, name).dtype == getattr(found, name).dtype
    # DVC compares files, so the time of writing must not be in them.
    monkeypatch.setattr("time.time", lambda: 1e9)
    write_statistics(tmp_path / "two.npz", found)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_no_damage_is_overlooked(found: Statistics, tmp_path: Path) -> None:
    """Whatever byte is flipped and wherever the file is cut: the same statistics, or an error."""
    path = tmp_path / "statistics.npz"
    write_statistics(path, found)
    whole = path.read_bytes()
    anywhere = np.random.default_rng(0).integers(0, len(whole), 25)
    # All of the headers, and places anywhere.
    places = [*range(0, 300, 4), *range(len(whole) - 900, len(whole), 4), *anywhere]
    same = [equal(read, found) for read in read_though_flipped(path, places, read_statistics)]
    assert all(same)
    assert len(same) < len(places) / 2
    for place in places[::10]:
        path.write_bytes(whole[:place])
        with pytest.raises(UserError):
            read_statistics(path)


def test_a_missing_file_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro rgb_pca"):
        read_statistics(tmp_path / "statistics.npz")


# --- colour noise ---------------------------------------------------------------------------------

Form = Literal["paper", "source-2012", "none"]


def statistics_of(deviations: Floats) -> Statistics:
    """Return statistics with these standard deviations (0-255) along three skew axes."""
    axes, _ = np.linalg.qr(np.array([[0.58, 0.72, 0.4], [0.58, 0.0, -0.8], [0.57, -0.69, 0.41]]))
    return Statistics(
        images=1,
        mean_image=np.zeros((3, 256, 256), np.float32),
        channel_means=np.zeros(3),
        covariance=axes @ np.diag(deviations**2) @ axes.T,
        eigenvalues=deviations**2,
        eigenvectors=axes,
    )


def normal(count: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(5).standard_normal((count, 3), dtype=np.float32)


def shifted(form: Form, known: Statistics, noise: npt.NDArray[np.float32]) -> tuple[Floats, float]:
    shift, divisor = colour_shift(noise, known, section(Augment, colour_noise=form), 1)
    assert shift is not None
    assert shift.dtype == np.float32
    return shift.astype(np.float64), divisor


def test_paper_is_the_printed_formula_with_pixels_from_0_to_1(found: Statistics) -> None:
    noise = normal(50)
    shift, divisor = shifted("paper", found, noise)
    unit = np.linalg.eigvalsh(found.covariance / 255**2)[::-1]
    for row, numbers in zip(shift, noise.astype(float), strict=True):
        parts = [found.eigenvectors[:, i] * 0.1 * numbers[i] * unit[i] for i in range(3)]
        np.testing.assert_allclose(row, 255 * np.sum(parts, axis=0), rtol=1e-5, atol=1e-6)
    assert divisor == 1


def test_source_is_deviations_in_grey_levels_and_a_divisor(found: Statistics) -> None:
    noise = normal(50)
    shift, divisor = shifted("source-2012", found, noise)
    for row, numbers in zip(shift, noise.astype(float), strict=True):
        parts = [
            0.1 * numbers[i] * np.sqrt(found.eigenvalues[i]) * found.eigenvectors[:, i] for i in range(3)
        ]
        np.testing.assert_allclose(row, np.sum(parts, axis=0), rtol=1e-5, atol=1e-5)
    assert divisor == 1.1


def test_grey_levels_with_the_authors_values() -> None:
    known = statistics_of(AUTHORS)
    noise = np.array([[1, 0, 0]], np.float32)
    assert np.linalg.norm(shifted("paper", known, noise)[0]) == pytest.approx(5.8, abs=0.05)
    assert np.linalg.norm(shifted("source-2012", known, noise)[0]) == pytest.approx(12.2, abs=0.05)


def test_the_standard_deviation_of_alpha_is_a_knob(found: Statistics) -> None:
    noise = normal(4)
    usual, _ = shifted("paper", found, noise)
    doubled, _ = colour_shift(noise, found, section(Augment, colour_noise="paper", colour_noise_std=0.2), 1)
    assert doubled is not None
    np.testing.assert_allclose(doubled, 2 * usual, rtol=1e-5)
    for deviation, expected in ((0.0, 1.0), (0.2, 1.2)):
        knobs = section(Augment, colour_noise="source-2012", colour_noise_std=deviation)
        assert colour_shift(noise, found, knobs, 1)[1] == expected


@pytest.mark.parametrize("form", ["paper", "source-2012"])
def test_the_noise_ends_after_its_last_epoch(found: Statistics, form: Form) -> None:
    knobs = section(Augment, colour_noise=form, colour_noise_last_epoch=3)
    always = section(Augment, colour_noise=form)
    for epoch in (1, 2, 3):
        shift, divisor = colour_shift(normal(2), found, knobs, epoch)
        expected, usual = colour_shift(normal(2), found, always, epoch)
        np.testing.assert_array_equal(shift, expected)
        assert divisor == usual
    for epoch in (4, 90):
        assert colour_shift(normal(2), found, knobs, epoch) == (None, 1.0)
        assert colour_shift(normal(2), found, always, epoch)[0] is not None


def test_no_noise_when_off(found: Statistics) -> None:
    assert colour_shift(normal(2), found, section(Augment, colour_noise="none"), 1) == (None, 1.0)
