"""The figures: what lies where in them, and what is measured for them."""

import io
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from made import epoch, made_predictions, two_columns
from numpy.typing import NDArray
from PIL import Image

from alexnet.evaluation.calibration import reliability
from alexnet.report import canvas
from alexnet.report.canvas import DARK, LIGHT, Theme
from alexnet.report.photographs import GAP
from alexnet.report.topics.calibration import reliability_diagram
from alexnet.report.topics.classes import PAIRS, by_likeness, confusion, confusion_matrix, most_confused
from alexnet.report.topics.curves import charts, curves
from alexnet.report.topics.guesses import with_guesses
from alexnet.report.topics.kernels import colour_specificity, kernels, specificity
from alexnet.report.topics.neighbours import beside_six

HISTORY = [epoch(number) for number in range(1, 5)]
LOSS, _ = charts(10)


def pixels(image: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGBA"))


def test_pngs_carry_no_version_or_date() -> None:
    png = curves(HISTORY, LOSS, 60, LIGHT)
    assert set(Image.open(io.BytesIO(png)).info) <= {"dpi"}


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_a_chart_of_few_colours_looks_as_one_of_all(theme: Theme, monkeypatch: pytest.MonkeyPatch) -> None:
    # Many bins are empty.
    found = reliability(np.linspace(0.45, 0.95, 40), np.arange(40) % 3 > 0)
    few = reliability_diagram(found, 100, theme)
    assert Image.open(io.BytesIO(few)).mode == "P"
    monkeypatch.setattr(Image.Image, "quantize", lambda image, *_, **__: image)
    full = reliability_diagram(found, 100, theme)
    moved = np.abs(pixels(few).astype(int) - pixels(full))
    assert moved.max() <= 8
    assert len(few) < 0.6 * len(full)


def test_the_dark_figures_background_is_the_dark_pages() -> None:
    style = (ROOT / "alexnet/report/page.css").read_text()
    assert f"--paper: {DARK.paper};" in style[style.index("prefers-color-scheme: dark") :]


def test_column_1_lies_above_column_2() -> None:
    picture = pixels(kernels(two_columns(), columns=2, pixels=2))
    # 20 kernels a column: two rows of at most 16. 11 weights a side, gaps of 1, 4 between columns.
    assert picture.shape == (2 * (23 + 4 + 23), 2 * (16 * 12 - 1), 4)
    top, gap, bottom = picture[:46], picture[46:54], picture[54:]
    red, blue = [255, 128, 128, 255], [128, 128, 255, 255]
    assert (top[top[..., 3] > 0] == red).all()
    assert (bottom[bottom[..., 3] > 0] == blue).all()
    assert not gap.any()


def test_kernels_lie_in_reading_order_sixteen_in_a_row() -> None:
    weights = np.zeros((18, 3, 2, 2), np.float32)
    weights[16, 1] = 1
    weights[17] = np.nan
    picture = pixels(kernels(weights, columns=1, pixels=1))
    grey, green = [128, 128, 128, 255], [128, 255, 128, 255]
    assert picture.shape == (5, 47, 4)
    for place, colour in (((0, 0), grey), ((3, 0), green), ((3, 3), grey)):
        assert picture[place].tolist() == colour
    assert pixels(kernels(weights[:3], columns=1, pixels=1)).shape == (2, 8, 4)


def test_one_epoch_is_drawn_as_points() -> None:
    one = pixels(curves(HISTORY[:1], LOSS, 60, LIGHT))
    blue = (one[..., 2].astype(int) - one[..., 0]) > 60
    assert blue.any()


def test_colour_specificity_by_hand() -> None:
    kernel = np.zeros((5, 3, 2, 2), np.float32)
    kernel[0] = 0.5  # grey
    kernel[1, 0], kernel[1, 1] = 1, -1  # red against green
    kernel[2, 0] = 1  # red alone: a third of it is grey
    kernel[3, :, 0, 0], kernel[3, 0, 1, 1], kernel[3, 2, 1, 1] = 1, 1, -1  # 3 of grey, 2 of colour
    found = colour_specificity(kernel)
    assert found[:4] == pytest.approx([0, 1, 2 / 3, 2 / 5])
    assert np.isnan(found[4])
    assert specificity([found[4:], found[:1]], (2, 2), 60, LIGHT)[:4] == b"\x89PNG"


def test_counts_and_pairs_by_hand() -> None:
    labels, guesses = np.array([0, 0, 0, 1, 1, 3, 3]), np.array([0, 1, 1, 1, 0, 2, 2])
    matrix = confusion(
        replace(made_predictions(), ten=np.eye(4)[guesses], labels=labels, classes=4 * (("", ""),))
    )
    assert matrix.tolist() == [[1, 2, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0]]
    # Equals in label order; the diagonal and what never happened are no confusions.
    assert most_confused(matrix) == [(0, 1), (3, 2), (1, 0)]
    assert most_confused(np.eye(3, dtype=np.int64)) == []
    assert len(most_confused(1 - np.eye(9, dtype=np.int64))) == PAIRS


def test_confused_classes_stand_together() -> None:
    draw = np.random.default_rng(3)
    groups = draw.permutation(np.repeat(np.arange(10), 6))
    matrix = np.where(groups[:, None] == groups, 5, 0) + np.diag(np.full(60, 30))
    order = by_likeness(matrix)
    assert sorted(order) == list(range(60))
    # Each group is one run in the order.
    assert int((np.diff(groups[order]) != 0).sum()) == 9


def test_a_mistake_among_many_classes_can_be_seen() -> None:
    right = np.diag(np.full(500, 10))
    right[9, 9] = 0  # a class that never occurs
    wrong = right.copy()
    wrong[3, 400], wrong[3, 3] = 5, 5
    names = [f"class {number}" for number in range(500)]
    shown = pixels(confusion_matrix(wrong, names, 100, LIGHT))[..., :3].astype(int)
    # Strong blue besides the diagonal's: the two classes stand side by side, their neighbours are thick.
    assert ((shown[..., 2] - shown[..., 0]) > 100).sum() > 500
    assert not np.array_equal(by_likeness(right), by_likeness(wrong))


def test_six_neighbours_stand_in_two_rows_beside_the_query() -> None:
    query = np.full((256, 256, 3), 9, np.uint8)
    others = [np.full((256, 256, 3), 20 * (n + 1), np.uint8) for n in range(6)]
    sheet = pixels(beside_six(query, others))
    assert (np.abs(sheet[:, :256, :3].astype(int) - 9) <= 4).all()
    half, gap = 126, GAP
    for n in range(6):
        top, left = n // 3 * (half + gap), 256 + 2 * gap + n % 3 * (half + gap)
        inner = sheet[top + 8 : top + half - 8, left + 8 : left + half - 8, :3].astype(int)
        assert (np.abs(inner - 20 * (n + 1)) <= 4).all()
    assert sheet.shape == (256, 256 + 4 * gap + 3 * half, 4)
    assert (sheet[:, 256 : 256 + 2 * gap, 3] == 0).all()


def test_a_label_that_looks_like_mathematics_is_a_label() -> None:
    photograph = np.zeros((256, 256, 3), np.uint8)
    labels = [(r"$\frac{a}{0}$ & co", 0.5, True), ("_x^y", 0.25, False)]
    assert with_guesses(photograph, "$$", labels, 60, LIGHT)[8:12] == b"WEBP"


def test_letters_that_no_font_has_are_told_once_and_by_no_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(canvas, "MORE_LETTERS", ())
    for told in (canvas._fonts, canvas._say_that_letters_are_missing):
        told.cache_clear()
    photograph = np.zeros((256, 256, 3), np.uint8)
    drawn = [with_guesses(photograph, "猫", [("狗 dog", 0.9, False)], 60, LIGHT) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != with_guesses(photograph, "", [("dog", 0.9, False)], 60, LIGHT)
    assert capsys.readouterr().out.count("no installed font has all letters") == 1
    assert not [one for one in recwarn if "Glyph" in str(one.message)]
    canvas._fonts.cache_clear()
