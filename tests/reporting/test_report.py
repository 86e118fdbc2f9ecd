"""The report: reading the results, the numbers it shows, its escaping and its figures."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import fields, replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file
from scipy.stats import binomtest

from alexnet.errors import UserError
from alexnet.params.report import Report
from alexnet.reporting import figures, page, tables
from alexnet.reporting.results import ResultFiles, Results, read_results

HOSTILE = '<script>alert("x")</script>|`a`.JPEG'
SETTINGS = Report(title="AlexNet on made numbers", kernel_pixels=2, figure_dpi=60)
EPOCHS = 4

METRICS = {
    "top1_error": 0.36,
    "top5_error": 0.06,
    "top1_error_one_patch": 0.4,
    "top5_error_one_patch": 0.08,
    "loss": 1.2,
    "images": 200,
}
DATA = {
    "layout": "ilsvrc-2012",
    "classes": 10,
    "splits": {"train": {"pictures": 1000, "skipped": 1}, "val": {"pictures": 200, "skipped": 0}},
}
RGB_PCA = {
    "images": 1000,
    "channel_means": [120.0, 110.0, 100.0],
    "standard_deviations": [113.8, 33.1, 16.5],
    "eigenvalues_unit": [0.199, 0.0168, 0.0042],
    "eigenvectors": [[0.6, 0.58, 0.56], [-0.7, 0.0, 0.7], [0.4, -0.8, 0.4]],
}
RUN = {
    "recipe": "paper",
    "seed": 7,
    "devices": "1 x cpu",
    "loader": "dali",
    "precision": "float32",
    "epochs": EPOCHS,
    "batch_size": 32,
    "parameters": 1234567,
    "columns": 2,
    "class_count": 10,
    "seconds": 200.0,
    "versions": {"python": "3.11.9", "torch": "2.13.0"},
    "git_commit": None,
}


def epoch(number: int) -> dict[str, Any]:
    return {
        "epoch": number,
        "pictures": 1000,
        "learning_rate": 0.01 if number < 3 else 0.001,
        "bias_learning_rate": 0.02,
        "train_loss": 2.3 / number,
        "train_error": 0.9 / number,
        "val_loss": 2.4 / number,
        "val_top1_error": 0.88 / number,
        "val_top5_error": 0.4 / number,
        "seconds": 50.0,
        "data_wait_seconds": 5.0,
        "pictures_per_second": 20.0,
    }


def two_columns() -> NDArray[np.float32]:
    """Return 40 kernels: column 1 all red, column 2 all blue."""
    weights = np.zeros((40, 3, 11, 11), np.float32)
    weights[:20, 0] = weights[20:, 2] = 0.1
    return weights


def write_csv(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def files(tmp_path: Path) -> ResultFiles:
    """Write made results and return where they lie."""
    defaults = ResultFiles()
    files = ResultFiles(**{f.name: tmp_path / getattr(defaults, f.name) for f in fields(defaults)})
    files.params.write_text("train:\n  epochs: 4  # ``` & <b>\n", encoding="utf-8")
    write_json(files.metrics, METRICS)
    write_json(files.data, DATA)
    write_csv(
        files.skipped,
        ["split", "name", "reason"],
        [{"split": "train", "name": HOSTILE, "reason": "cannot be decoded"}],
    )
    write_json(files.rgb_pca, RGB_PCA)
    write_csv(files.history, list(epoch(1)), [epoch(n + 1) for n in range(EPOCHS)])
    write_json(files.run, RUN)
    files.model.parent.mkdir()
    save_file({"conv1.weight": two_columns()}, files.model)
    return files


@pytest.fixture
def results(files: ResultFiles) -> Results:
    return read_results(files)


def html(results: Results, settings: Report = SETTINGS) -> str:
    return page.render_html(page.compose(results, settings))


def markdown(results: Results, settings: Report = SETTINGS) -> str:
    return page.render_markdown(page.compose(results, settings), "figures")


def with_data(results: Results, **changes: object) -> Results:
    return replace(results, data=results.data.model_copy(update=changes))


def with_metrics(results: Results, **changes: object) -> Results:
    return replace(results, metrics=results.metrics.model_copy(update=changes))


def pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)))


# Reading


@pytest.mark.parametrize("name", [f.name for f in fields(ResultFiles)])
def test_missing_file_is_named(files: ResultFiles, name: str) -> None:
    path: Path = getattr(files, name)
    path.unlink()
    with pytest.raises(UserError, match=re.escape(str(path))):
        read_results(files)


@pytest.mark.parametrize("name", [f.name for f in fields(ResultFiles) if f.name != "params"])
def test_malformed_file_is_named(files: ResultFiles, name: str) -> None:
    path: Path = getattr(files, name)
    path.write_text("{not it", encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(str(path))):
        read_results(files)


def test_value_out_of_range_is_named(files: ResultFiles) -> None:
    write_json(files.metrics, METRICS | {"top1_error": 36.0})
    with pytest.raises(UserError, match="top1_error"):
        read_results(files)


def test_mistake_in_a_row_names_its_line(files: ResultFiles) -> None:
    rows = [epoch(1), epoch(2) | {"val_loss": "none"}]
    write_csv(files.history, list(epoch(1)), rows)
    with pytest.raises(UserError, match=r"line 3: val_loss"):
        read_results(files)


def test_torn_row_names_its_line(files: ResultFiles) -> None:
    text = files.history.read_text(encoding="utf-8").rstrip()
    files.history.write_text(text.rsplit(",", 3)[0], encoding="utf-8")
    with pytest.raises(UserError, match=rf"line {EPOCHS + 1}: not as many cells"):
        read_results(files)


@pytest.mark.parametrize(
    ("rows", "message"),
    [([], "holds no epoch"), ([epoch(1), epoch(3)], "not numbered")],
)
def test_history_must_be_whole(files: ResultFiles, rows: list[dict[str, Any]], message: str) -> None:
    write_csv(files.history, list(epoch(1)), rows)
    with pytest.raises(UserError, match=message):
        read_results(files)


@pytest.mark.parametrize("shape", [(40, 1, 11, 11), (39, 3, 11, 11), (40, 363)])
def test_kernels_of_another_shape_are_refused(files: ResultFiles, shape: tuple[int, ...]) -> None:
    save_file({"conv1.weight": np.zeros(shape, np.float32)}, files.model)
    with pytest.raises(UserError, match=r"conv1\.weight: found shape"):
        read_results(files)


def test_further_keys_are_passed_over(files: ResultFiles) -> None:
    write_json(files.metrics, METRICS | {"another": 1})
    assert read_results(files).metrics.images == 200


def test_diverged_loss_is_read_and_drawn(files: ResultFiles) -> None:
    rows = [epoch(1), epoch(2) | {"train_loss": "nan", "val_loss": "inf"}]
    write_csv(files.history, list(epoch(1)), rows)
    write_json(files.metrics, METRICS | {"loss": float("nan")})
    assert "nan" in html(read_results(files))


# Numbers


@pytest.mark.parametrize(("wrong", "images"), [(0, 50), (72, 200), (50, 50), (1, 1)])
def test_interval_is_scipys_exact_one(wrong: int, images: int) -> None:
    expected = binomtest(wrong, images).proportion_ci(0.95, method="exact")
    assert tables.exact_interval(wrong / images, images) == pytest.approx(tuple(expected))


def test_interval_of_clopper_and_pearson_by_hand() -> None:
    # With no error among n, the upper bound solves (1 - p)^n = 0.025.
    assert tables.exact_interval(0.0, 10) == pytest.approx((0.0, 1 - 0.025**0.1))


@pytest.mark.parametrize("render", [html, markdown])
def test_both_pages_show_the_numbers(results: Results, render: Callable[[Results], str]) -> None:
    text = render(results)
    low, high = tables.exact_interval(0.36, 200)
    for shown in (
        "36.0%",
        "6.0%",
        "40.0%",
        f"{100 * low:.1f}% to {100 * high:.1f}%",
        "1.20 nats",
        "90.0%",  # guessing among ten classes
        "37.5%",
        "18.2%",
        "121.78",
        "113.80",
        "1,234,567",
        "3 min 20 s",
        "not under version control",
        "fell: to 0.001 at epoch 3",
        "those after epoch 4",
    ):
        assert shown in text


def test_terminal_summary_lists_ours_and_the_papers(results: Results) -> None:
    lines = tables.terminal_summary(results).splitlines()
    assert any(re.match(r"  ten patches +36\.0% \(29\.\d% to 43\.\d%\) +6\.0% \(", x) for x in lines)
    assert "  CNN               37.5%                       17.0%" in lines
    assert "cannot be compared" in lines[-1]
    assert max(map(len, lines)) <= 80


def test_few_classes_make_top5_say_nothing(results: Results) -> None:
    text = html(with_metrics(with_data(results, classes=4), top5_error=0.0))
    assert "zero by definition and says nothing" in text


def test_guessing_is_called_guessing(results: Results) -> None:
    assert "cannot be told apart from guessing" in html(with_metrics(results, top1_error=0.9))
    assert "cannot be told apart from guessing" not in html(results)


@pytest.mark.parametrize(
    ("layout", "classes", "split", "table"),
    [
        ("ilsvrc-2012", 1000, "val", 2),
        ("ilsvrc-2012", 1000, None, 2),
        ("ilsvrc-2012", 10, "val", None),
        ("ilsvrc-2012", 1000, "train", None),
        ("ilsvrc-2010", 1000, "test", 1),
        ("ilsvrc-2010", 1000, "val", None),
        ("class-folders", 1000, "val", None),
    ],
)
def test_only_the_papers_own_data_is_compared(
    results: Results, layout: str, classes: int, split: str | None, table: int | None
) -> None:
    changed = with_metrics(with_data(results, layout=layout, classes=classes), split=split)
    assert tables.comparable_table(changed) == table
    text = markdown(changed)
    assert ("cannot be compared with the paper" in text) == (table is None)
    marked = text.count(f"This run {tables.OTHER_DATA}")
    assert marked == (2 if table is None else 1)


def test_evaluated_split_is_found_by_its_size(results: Results) -> None:
    assert tables.evaluated_split(results) == "val"
    assert tables.evaluated_split(with_metrics(results, images=7)) is None
    assert "trained on: the rates" in html(with_metrics(results, images=1000))


def test_no_more_than_twenty_skipped_pictures_are_listed(files: ResultFiles) -> None:
    rows = [{"split": "train", "name": f"{n}.JPEG", "reason": "empty"} for n in range(30)]
    write_csv(files.skipped, ["split", "name", "reason"], rows)
    table = tables.skipped(read_results(files))
    assert len(table.rows) == 20
    assert table.caption == "Skipped pictures, the first 20 of 30"


def test_no_skipped_picture(files: ResultFiles) -> None:
    write_csv(files.skipped, ["split", "name", "reason"], [])
    assert "No picture was skipped." in html(read_results(files))


# Markup


class Tags(HTMLParser):
    """Collects tags with their attributes and checks that they nest."""

    VOID = frozenset({"meta", "link", "img", "source"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def named(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag in names]


def test_html_is_one_well_formed_file(results: Results) -> None:
    text = html(results)
    tags = Tags(text)
    assert text.startswith("<!DOCTYPE html>")
    assert tags.named("html") == [{"lang": "en-GB"}]
    assert not tags.named("script", "iframe", "object", "embed")
    for attributes in tags.named("img", "source", "link"):
        address = attributes.get("src") or attributes.get("srcset") or attributes.get("href") or ""
        assert address.startswith("data:")
    assert not re.search(r"url\(|@import", text)
    assert all(attributes["alt"] for attributes in tags.named("img"))
    identities = [attributes["id"] for _, attributes in tags.found if "id" in attributes]
    assert len(identities) == len(set(identities))


def test_names_and_title_cannot_inject_html(results: Results) -> None:
    hostile = SETTINGS.model_copy(update={"title": "</title><img src=x onerror=alert(1)>"})
    plain, attacked = Tags(html(results)), Tags(html(results, hostile))
    assert [tag for tag, _ in plain.found] == [tag for tag, _ in attacked.found]
    text = html(results, hostile)
    assert "<script" not in text
    assert "&lt;script&gt;alert(" in text
    assert "<img src=x" not in text


def test_names_cannot_inject_markdown(results: Results) -> None:
    text = markdown(results, SETTINGS.model_copy(update={"title": "[a](http://b)\n# <b>c"}))
    assert text.splitlines()[0] == r"# \[a\](http://b)\\n\# \<b\>c"
    assert r"\<script\>alert(" in text
    row = next(line for line in text.splitlines() if r"\<script" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 4  # the cell's own pipe is escaped
    assert "````yaml" in text  # longer than the three backticks in params.yaml


def test_control_characters_are_shown_as_escapes() -> None:
    assert tables.printable("a\x1b[31m\n\u202eb\u00e9") == "a\\x1b[31m\\n\\u202eb\u00e9"


# Figures and files


def test_write_report_writes_page_markdown_and_figures(results: Results, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "figures"
    text = folder.parent / "report.md"
    page.write_report(results, SETTINGS, folder.parent / "report.html", text, folder)
    names = {path.name for path in folder.iterdir()}
    assert names == {"loss.png", "error.png", "kernels.png", "rgb_components.png"}
    assert set(re.findall(r"\]\(figures/(\S+)\)", text.read_text(encoding="utf-8"))) == names
    for path in folder.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_equal_results_give_equal_bytes(files: ResultFiles, tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        folder = tmp_path / name
        page.write_report(
            read_results(files),
            SETTINGS,
            folder / "report.html",
            folder / "report.md",
            folder / "figures",
        )
        written.append({p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
    assert written[0] == written[1]
    assert len(written[0]) == 6


def test_pngs_carry_no_version_or_date(results: Results) -> None:
    png = figures.loss_curves(results.history, 10, 60)
    assert set(Image.open(io.BytesIO(png)).info) <= {"dpi"}


def test_column_1_lies_above_column_2() -> None:
    picture = pixels(figures.kernels(two_columns(), columns=2, pixels=2))
    # 20 kernels a column: two rows of at most 16. 11 weights a side, gaps of 1, 4 between columns.
    assert picture.shape == (2 * (23 + 4 + 23), 2 * (16 * 12 - 1), 4)
    top, gap, bottom = picture[:46], picture[46:54], picture[54:]
    red, blue = [255, 128, 128, 255], [128, 128, 255, 255]
    assert (top[top[..., 3] > 0] == red).all()
    assert (bottom[bottom[..., 3] > 0] == blue).all()
    assert not gap.any()


def test_kernels_lie_in_reading_order() -> None:
    weights = np.zeros((18, 3, 2, 2), np.float32)
    weights[16, 1] = 1
    picture = pixels(figures.kernels(weights, columns=1, pixels=1))
    grey, green = [128, 128, 128, 255], [128, 255, 128, 255]
    assert picture.shape == (5, 47, 4)
    assert picture[0, 0].tolist() == grey
    assert picture[3, 0].tolist() == green
    assert picture[3, 3].tolist() == grey


def test_few_kernels_make_one_short_row() -> None:
    weights = np.ones((3, 3, 11, 11), np.float32)
    assert pixels(figures.kernels(weights, columns=1, pixels=1)).shape == (11, 35, 4)


def test_kernels_that_are_not_numbers_are_grey() -> None:
    weights = np.full((1, 3, 2, 2), np.nan, np.float32)
    assert (pixels(figures.kernels(weights, columns=1, pixels=1))[..., :3] == 128).all()


def test_learning_rate_falls(results: Results) -> None:
    assert [row.epoch for row in figures.learning_rate_falls(results.history)] == [3]


def test_one_epoch_is_drawn_as_points(results: Results) -> None:
    one = replace(results, history=results.history[:1])
    assert "began at 0.01 and never fell" in html(one)


# In a browser


def chromium(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
    if binary is None:
        pytest.skip("no Chromium on the PATH")
    return subprocess.run(
        [
            binary,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'browser'}",
            "--enable-logging=stderr",
            "--v=0",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=os.environ | {"HOME": str(tmp_path)},
    )


def test_page_opens_in_a_browser_without_network(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(html(results), encoding="utf-8")
    browser = chromium(tmp_path, "--dump-dom", path.as_uri())
    assert "CONSOLE" not in browser.stderr
    assert browser.stdout.count("<table") >= 8
    assert browser.stdout.count("<img") == 4


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_page_fits_its_window(results: Results, tmp_path: Path, width: int) -> None:
    # A frame, for a headless window is never narrower than 500 pixels.
    probe = """<script>onload = () => {
      const broken = [...document.images].filter(image => !image.naturalWidth).length;
      const sideways = document.documentElement.scrollWidth - innerWidth;
      parent.document.body.dataset.probe = `${broken} broken, ${sideways} too wide`;
    }</script></body>"""
    sharp = SETTINGS.model_copy(update={"kernel_pixels": 6, "figure_dpi": 200})
    framed = escape(html(results, sharp).replace("</body>", probe))
    path = tmp_path / "frame.html"
    frame = f'<iframe srcdoc="{framed}" style="border: 0; width: {width}px; height: 9000px">'
    path.write_text(f"<!DOCTYPE html>{frame}</iframe>", encoding="utf-8")
    browser = chromium(tmp_path, "--dump-dom", path.as_uri())
    found = re.search(r'<body data-probe="([^"]*)"', browser.stdout)
    assert found
    assert found[1] == "0 broken, 0 too wide"
