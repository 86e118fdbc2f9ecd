"""Predictions as arrays: what is counted from them, kept, joined and averaged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from reference import literal_calibration_error, literal_credit, literally_wrong, softmax
from tiny import flip
from typer.testing import CliRunner

from alexnet.cli.main import app
from alexnet.core.errors import UserError
from alexnet.core.files import checksums_of, parse_checked_json, write_checked_json
from alexnet.evaluation.calibration import BINS
from alexnet.evaluation.intervals import exact_interval
from alexnet.evaluation.predictions import (
    CHECKED,
    NAMES_FILE,
    SERVER_FILE,
    Predictions,
    average_predictions,
    load_predictions,
    save_predictions,
)


def predictions_of(
    ten: NDArray[np.float64], one: NDArray[np.float64], labels: NDArray[np.int64]
) -> Predictions:
    pictures, classes = ten.shape
    names = np.array([f"{number:05d}.JPEG" for number in range(pictures)], dtype=object)
    words = tuple((f"n{label:08d}", f"class {label}") for label in range(classes))
    return Predictions(ten, one, labels, names, "val", words, tuple(range(1, classes + 1)))


def random_predictions(seed: int, pictures: int = 40, classes: int = 8) -> Predictions:
    draw = np.random.default_rng(seed)
    ten, one = softmax(draw.standard_normal((2, pictures, classes)) * 2)
    # The same pictures whatever the seed of the scores.
    labels = np.random.default_rng(99).integers(0, classes, pictures)
    return predictions_of(ten, one, labels)


@pytest.mark.parametrize("share_ties", [False, True])
def test_metrics_are_numpys_on_random_logits(share_ties: bool) -> None:
    draw = np.random.default_rng(3)
    # Few values, so that classes tie by one patch.
    logits = draw.integers(-3, 4, (10, 200, 20)).astype(np.float64)
    labels = draw.integers(0, 20, 200)
    logits[:, range(60), labels[:60]] = 4
    each = softmax(logits)
    ten, one = each.mean(0), each[4]
    metrics = predictions_of(ten, one, labels).metrics(share_ties)
    for suffix, scores in (("", ten), ("_one_patch", one)):
        for k in (1, 5):
            wrong = np.array(literally_wrong(scores, labels, k), np.float64)
            if share_ties:
                wrong = 1 - np.array([*map(literal_credit, scores.tolist(), labels, 200 * [k])])
            expected = wrong.mean()
            assert 0 < expected < 1
            assert metrics[f"top{k}_error{suffix}"] == pytest.approx(expected, abs=1e-12)
    expected_loss = -np.mean([np.log(ten[picture, label]) for picture, label in enumerate(labels)])
    assert metrics["loss"] == pytest.approx(expected_loss, rel=1e-12)
    expected_calibration = literal_calibration_error(ten, labels, BINS)
    assert metrics["calibration_error"] == pytest.approx(expected_calibration, rel=1e-9)
    assert (metrics["images"], metrics["split"]) == (200, "val")


def test_a_certain_and_wrong_prediction_has_a_finite_loss() -> None:
    scores = np.array([[1.0, 0.0]])
    loss = predictions_of(scores, scores, np.array([1])).metrics()["loss"]
    assert loss == pytest.approx(-np.log(np.finfo(np.float64).tiny), rel=1e-12)


def test_more_pictures_than_are_counted_at_once() -> None:
    made = random_predictions(1, pictures=2 * 4096 + 5, classes=6)
    assert made.wrong(1, False).tolist() == literally_wrong(made.ten, made.labels, 1)
    guesses, values = made.guesses()
    order = np.argsort(-made.ten, axis=1, kind="stable")[:, :5]
    assert np.array_equal(guesses, order)
    assert np.array_equal(values, np.take_along_axis(made.ten, order, 1))


def test_what_is_saved_is_loaded_to_the_last_bit(tmp_path: Path) -> None:
    made = random_predictions(2)
    save_predictions(tmp_path / "here", made)
    found = load_predictions(tmp_path / "here")
    for name in ("ten", "one", "labels", "names"):
        assert np.array_equal(getattr(found, name), getattr(made, name))
    assert (found.split, found.classes, found.ids) == (made.split, made.classes, made.ids)


def test_folders_that_hold_no_predictions_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"about\.json: no such file"):
        load_predictions(tmp_path)
    made = random_predictions(2)
    save_predictions(tmp_path, made)

    def put(ten: NDArray[np.float64]) -> None:
        np.save(tmp_path / "ten.npy", ten)
        about = parse_checked_json((tmp_path / "about.json").read_bytes())
        write_checked_json(tmp_path / "about.json", {**about, "sha256": checksums_of(tmp_path, CHECKED)})

    put(made.ten[:-1])
    with pytest.raises(UserError, match="40 pictures × 8 classes"):
        load_predictions(tmp_path)
    bad = made.ten.copy()
    bad[3, 1] = np.nan
    put(bad)
    with pytest.raises(UserError, match="NaN"):
        load_predictions(tmp_path)
    (tmp_path / "about.json").write_text("{")
    with pytest.raises(UserError, match="no predictions"):
        load_predictions(tmp_path)


@pytest.mark.parametrize("name", ["ten.npy", "one.npy", "pictures.parquet"])
def test_damaged_predictions_are_named(tmp_path: Path, name: str) -> None:
    save_predictions(tmp_path, random_predictions(1))
    flip(tmp_path / name, -200)
    with pytest.raises(UserError, match=f"{name} is damaged"):
        load_predictions(tmp_path)


def test_the_servers_file_has_five_ids_a_line_in_the_order_of_names(tmp_path: Path) -> None:
    made = random_predictions(3, pictures=4, classes=7)
    ids = (40, 7, 900, 1, 2, 3, 1000)
    names = np.array([f"ILSVRC2012_test_{number:08d}.JPEG" for number in (3, 1, 4, 2)], dtype=object)
    save_predictions(tmp_path, replace(made, names=names, ids=ids))
    lines = (tmp_path / SERVER_FILE).read_text().splitlines()
    for line, scores in zip(lines, made.ten[[1, 3, 0, 2]], strict=True):
        assert line.split() == [str(ids[label]) for label in np.argsort(-scores)[:5]]


def test_a_picture_that_could_not_be_read_keeps_its_line_on_the_server(tmp_path: Path) -> None:
    made = random_predictions(3, pictures=3, classes=7)
    names = np.array(["c", "a", "d"], dtype=object)
    save_predictions(tmp_path, replace(made, names=names, skipped=("b",)))
    lines = (tmp_path / SERVER_FILE).read_text().splitlines()
    usual = made.ten[0] + made.ten[1] + made.ten[2]
    for line, scores in zip(lines, (made.ten[1], usual, made.ten[0], made.ten[2]), strict=True):
        assert line.split() == [str(label + 1) for label in np.argsort(-scores)[:5]]
    assert load_predictions(tmp_path).skipped == ("b",)


def test_without_a_devkit_the_guesses_are_named_not_numbered(tmp_path: Path) -> None:
    made = replace(random_predictions(3, pictures=2, classes=7), ids=())
    save_predictions(tmp_path, made)
    assert not (tmp_path / SERVER_FILE).exists()
    lines = (tmp_path / NAMES_FILE).read_text().splitlines()
    for line, name in zip(lines, sorted(made.names), strict=True):
        scores = made.ten[made.names.tolist().index(name)]
        assert line.split() == [made.classes[label][0] for label in np.argsort(-scores)[:5]]
    assert load_predictions(tmp_path).ids == ()


def test_an_ensemble_averages_probabilities_from_the_stored_arrays(tmp_path: Path) -> None:
    several = [random_predictions(seed) for seed in (1, 2, 3)]
    folders = [tmp_path / str(number) for number in range(3)]
    for folder, one in zip(folders, several, strict=True):
        save_predictions(folder, one)
    together = average_predictions([load_predictions(folder) for folder in folders])
    expected = np.mean([one.ten for one in several], axis=0)
    np.testing.assert_allclose(together.ten, expected, rtol=1e-14)
    np.testing.assert_allclose(together.one, np.mean([one.one for one in several], 0), rtol=1e-14)

    words = ["ensemble", *map(str, folders), "--save", str(tmp_path / "mean")]
    printed = CliRunner().invoke(app, words).stdout
    error = np.mean(literally_wrong(expected, several[0].labels, 1))
    low, high = exact_interval(float(error), 40)
    assert f"3 averaged{' ' * (len(str(folders[0])) - 10)}  {error:.1%} ({low:.1%} to {high:.1%})" in printed
    assert load_predictions(tmp_path / "mean").metrics() == together.metrics()
    (tmp_path / "copy").symlink_to(folders[0])
    for twice in (folders[0], tmp_path / "copy"):
        told = CliRunner().invoke(app, ["ensemble", str(folders[0]), str(twice)])
        assert f"{folders[0]} and {twice} hold the same predictions" in told.stderr


def test_predictions_of_other_pictures_are_not_averaged() -> None:
    one = random_predictions(4)
    for change, what in (
        ({"split": "test"}, "split"),
        ({"names": one.names[::-1]}, "pictures"),
        ({"labels": (one.labels + 1) % 8}, "labels"),
        ({"classes": one.classes[::-1]}, "classes"),
    ):
        with pytest.raises(UserError, match=f"1 and 2 differ in their {what}"):
            average_predictions([one, replace(one, **change)])
