"""The page and its Markdown twin: one file, well formed, and proof against what names hold."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from made import CLASSES, HOSTILE, IMAGES, SETTINGS, WRONG, write_results
from PIL import Image

from alexnet.report.document import Document, Row, Table
from alexnet.report.html import render_html
from alexnet.report.markdown import render_markdown
from alexnet.report.page import compose, write_report
from alexnet.report.reading import read_results
from alexnet.report.results import Results

FIGURES = {
    "confusion",
    "reliability",
    "loss",
    "error",
    "kernels",
    "specificity",
    "rgb_components",
    "neighbours-1",
    "neighbours-2",
    *(f"guesses-{n}" for n in range(1, 9)),
    *(f"mistake-{n}" for n in range(1, 9)),
    *(f"patches-{n}" for n in range(1, 5)),
}


PHOTOGRAPHS = {"neighbours", "guesses", "mistake", "patches"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read_results(write_results(tmp_path_factory.mktemp("results")))


@pytest.fixture(scope="module")
def document(results: Results) -> Document:
    return compose(results, SETTINGS)


@pytest.fixture(scope="module")
def text(document: Document) -> str:
    return render_html(document)


class Tags(HTMLParser):
    """Collects tags with their attributes and checks that they nest."""

    VOID = frozenset({"meta", "link", "img", "source", "wbr"})

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


def test_html_is_one_well_formed_file(text: str) -> None:
    tags = Tags(text)
    assert text.startswith("<!DOCTYPE html>")
    assert tags.named("html") == [{"lang": "en-GB"}]
    assert not tags.named("iframe", "object", "embed", "base", "form")
    for attributes in tags.named("img", "source"):
        assert (attributes.get("src") or attributes.get("srcset") or "").startswith("data:image/")
    assert [attributes["href"] for attributes in tags.named("link")] == ["data:,"]
    assert not re.search(r"url\(|@import", text)
    assert all(attributes["alt"] for attributes in tags.named("img"))
    identities = [attributes["id"] for _, attributes in tags.found if "id" in attributes]
    assert len(identities) == len(set(identities))
    links = [attributes["href"] or "" for attributes in tags.named("a")]
    assert {link[1:] for link in links if link.startswith("#")} == set(identities)


def test_the_only_script_is_the_pages_own(text: str) -> None:
    assert Tags(text).named("script") == [{}]
    script = text[text.index("<script>") + 8 : text.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (
        attributes["content"] for attributes in Tags(text).named("meta") if "http-equiv" in attributes
    )
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def test_names_labels_and_title_cannot_inject_html(results: Results, text: str) -> None:
    hostile = SETTINGS.model_copy(update={"title": "</title><img src=x onerror=alert(1)>"})
    attacked = render_html(compose(results, hostile))
    assert [tag for tag, _ in Tags(text).found] == [tag for tag, _ in Tags(attacked).found]
    for name in (HOSTILE, "<img src=x", "<b>9"):
        assert name not in attacked
    assert "&lt;script&gt;alert(" in attacked
    assert "&lt;img src=x onerror=alert(2)&gt;" in attacked
    assert all(not name.startswith("on") for _, attributes in Tags(attacked).found for name in attributes)


def test_names_and_labels_cannot_inject_markdown(results: Results) -> None:
    hostile = SETTINGS.model_copy(update={"title": "[a](http://b)\n# <b>c"})
    told = render_markdown(compose(results, hostile), "figures")
    assert told.splitlines()[0] == r"# \[a\](http://b)\\n\# \<b\>c"
    assert r"\<script\>alert(" in told
    outside_code = told[: told.index("````yaml")]
    assert not re.search(r"(?<!\\)<(?!/?details>|/?summary>)", outside_code)
    row = next(line for line in told.splitlines() if line.startswith(r"| train | \<script"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 4  # the cell's own pipe is escaped
    assert "````yaml" in told  # longer than the three backticks in params.yaml


def test_columns_of_names_are_flush_left() -> None:
    table = Table("t", ("a", "b", "n"), (Row(("x", "y", "1")),), names=2)
    document = Document("", "", table, (), ())
    assert "| :--- | :--- | ---: |" in render_markdown(document, "figures")


def test_write_report_writes_page_markdown_figures_and_tables(results: Results, tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mistake-9.webp").write_bytes(b"of an earlier run")
    write_report(results, SETTINGS, tmp_path)
    told = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == FIGURES
    assert set(re.findall(r"\]\(figures/(\S+)\.(?:png|webp)\)", told)) == FIGURES
    for path in (tmp_path / "figures").iterdir():
        form = {".png": "PNG", ".webp": "WEBP"}[path.suffix]
        assert Image.open(path).format == form
        # Photographs in a lossy form, all that has lines and letters alone in a lossless one.
        assert (form == "WEBP") == (path.stem.split("-")[0] in PHOTOGRAPHS)
    errors = pd.read_csv(tmp_path / "per_class.csv")
    assert list(errors) == ["wnid", "words", "images", "top1_error", "top5_error"]
    assert (errors["images"] * errors["top1_error"]).sum() == pytest.approx(WRONG)
    taken = pd.read_csv(tmp_path / "confusion.csv")
    assert len(taken) == IMAGES
    assert (taken["actual"] != taken["predicted"]).sum() == WRONG
    assert taken["actual"].nunique() == CLASSES


def test_equal_results_give_equal_bytes(results: Results, text: str) -> None:
    assert render_html(compose(results, SETTINGS)) == text
