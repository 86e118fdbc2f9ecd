"""Pages and their Markdown: both say the same, the HTML is one well-formed file, no name injects markup."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from made import CLASSES, HOSTILE, IMAGES, WRONG
from markdown_it import MarkdownIt
from PIL import Image

from alexnet.report.canvas import LIGHT, one_axes
from alexnet.report.facts import Facts
from alexnet.report.markup import code, escape, fold, table, table_of, warning
from alexnet.report.page import Figure, Figures, Part, page_as_html, page_as_markdown, write_page
from alexnet.report.publishing import list_page
from alexnet.report.report import write_report

PHOTOGRAPHS = {
    *(f"neighbours-{n}" for n in (1, 2)),
    *(f"{name}-{n}" for n in range(1, 9) for name in ("guesses", "mistake")),
    *(f"patches-{n}" for n in range(1, 5)),
}
FIGURES = PHOTOGRAPHS | {
    "confusion",
    "reliability",
    "loss",
    "error",
    "kernels",
    "specificity",
    "rgb_components",
}


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


@pytest.fixture(scope="module")
def page(parts: list[Part]) -> str:
    return page_as_html("t", "s", parts)


def test_html_is_one_well_formed_file(page: str) -> None:
    tags = Tags(page)
    assert page.startswith("<!DOCTYPE html>")
    assert tags.named("html") == [{"lang": "en-GB"}]
    assert not tags.named("iframe", "object", "embed", "base", "form")
    for attributes in tags.named("img", "source"):
        assert (attributes.get("src") or attributes.get("srcset") or "").startswith("data:image/")
    assert [attributes["href"] for attributes in tags.named("link")] == ["data:,"]
    assert not re.search(r"url\(|@import", page)
    assert all(attributes["alt"] for attributes in tags.named("img"))
    identities = [attributes["id"] for _, attributes in tags.found if "id" in attributes]
    assert len(identities) == len(set(identities)) == 11
    links = [attributes["href"] or "" for attributes in tags.named("a")]
    assert {link[1:] for link in links if link.startswith("#")} == set(identities)


def test_the_only_script_is_the_pages_own(page: str) -> None:
    assert Tags(page).named("script") == [{}]
    script = page[page.index("<script>") + 8 : page.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (
        attributes["content"] for attributes in Tags(page).named("meta") if "http-equiv" in attributes
    )
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def test_names_labels_and_title_cannot_inject_html(page: str, parts: list[Part]) -> None:
    attacked = page_as_html("</title><img src=x onerror=alert(1)>", "<script>", parts)
    assert [tag for tag, _ in Tags(page).found] == [tag for tag, _ in Tags(attacked).found]
    for name in (HOSTILE, "<img src=x", "<b>9"):
        assert name not in attacked
    assert "&lt;script&gt;alert(" in attacked
    assert "&lt;img src=x onerror=alert(2)&gt;" in attacked
    assert all(not name.startswith("on") for _, attributes in Tags(attacked).found for name in attributes)


def test_names_and_labels_cannot_inject_markdown(parts: list[Part]) -> None:
    told = page_as_markdown("[a](http://b)\n# <b>c", "s", parts, "figures")
    assert told.splitlines()[0] == r"# \[a\](http://b) \# \<b\>c"
    assert r"\<script\>alert(" in told
    outside_code = told[: told.index("````yaml")]
    assert not re.search(r"(?<!\\)<(?!/?details>|/?summary>|!-- (sortable|headline) -->)", outside_code)
    row = next(line for line in told.splitlines() if line.startswith(r"| train | \<script"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 4  # the cell's own pipe is escaped
    assert "````yaml" in told  # longer than the three backticks in params.yaml


@pytest.mark.parametrize(
    "text", ["- x", "+ x", "1. x", "2) x", "001. x", "10) x", "---", "# x", "> x", "*x*", "`x`", "<x>", "a|b"]
)
def test_escaped_text_is_a_paragraph_of_that_text(text: str) -> None:
    html = MarkdownIt("gfm-like", {"linkify": False}).render(escape(text))
    assert html == f"<p>{text.replace('<', '&lt;').replace('>', '&gt;')}</p>\n"


def test_text_is_no_html_and_loads_nothing() -> None:
    attack = "<script>alert(1)</script> ![x](https://x.org/y.png) [a](javascript:alert(1))"
    for part in (attack, f"x {attack}", f"- {attack}", "<details><summary><b>x</b></summary>", "<!-- x -->"):
        tags = Tags(page_as_html("t", "s", [part]))
        assert len(tags.named("script")) == 1
        assert not tags.named("img", "b", "details", "summary")
        assert not any((link["href"] or "").startswith("javascript") for link in tags.named("a"))


FRAME = pd.DataFrame(
    {
        "activation": ["relu", "tanh"],
        "epochs": ["12", "71"],
        "ratio": ["1.00", "—"],
        "change": ["−25%", "50%"],
    }
)


def page_parts() -> list[Part]:
    with one_axes(LIGHT, 50, 1, 1) as (axes, png):
        axes.plot([0, 1])
    figure = Figure("figure1-curves", png.getvalue(), alt="Two curves.", caption="Training error.")
    return [
        "What `model.activation` does, <b>measured</b>.\n\n- **relu** isn't slow\n- [the paper](https://x.org)",
        "## Results\nOne row per activation.",
        "<!-- sortable -->\n\n" + table_of(FRAME, "Epochs to 25 %", note="One seed."),
        table(("", "a.b"), [("it's", "1"), ("theirs", "2"), ("x", "")], "Ours", ours=[0], others=[1]),
        figure,
        Figures((figure, figure), "Both.", across=2),
        warning("Not *all* runs."),
        fold("Values < 3", code("a: ```<b>")),
        "## Results",
    ]


def test_both_forms_say_the_same(tmp_path: Path) -> None:
    write_page(tmp_path / "new/figure1", "ReLU & tanh", "One isn't <slow>.", page_parts())
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "figure1.html",
        "figure1.md",
        "figure1-curves.png",
    }
    page = (tmp_path / "new/figure1.html").read_text(encoding="utf-8")
    text = (tmp_path / "new/figure1.md").read_text(encoding="utf-8")
    tags = Tags(page)
    assert text.startswith("# ReLU \\& tanh\n\nOne isn't \\<slow\\>.\n")
    assert "<title>ReLU &amp; tanh</title>" in page
    assert '<p class="lede">One isn’t &lt;slow&gt;.</p>' in page
    assert "![Two curves.](figure1-curves.png)\n\nTraining error." in text
    assert len(tags.named("img")) == 3
    assert "<!-- sortable -->\n\n**Epochs to 25 %**\n\n| activation | epochs | ratio | change |" in text
    assert "| :--- | ---: | ---: | ---: |\n| relu | 12 | 1.00 | −25% |\n| tanh | 71 | — | 50% |" in text
    assert "| **it\\'s** | **1** |\n| *theirs* | *2* |\n| x |  |" in text
    cells = re.findall(r"<t[hd](?: scope=\"row\")?>(.*?)</t[hd]>", page)
    assert cells[-15:-7] == ["relu", "12", "1.00", "−25%", "tanh", "71", "—", "50%"]
    assert cells[-6:-4] == ["<strong>it's</strong>", "<strong>1</strong>"]
    assert '<th scope="col">a.<wbr>b</th>' in page
    for said in ("Epochs to 25 %", "One seed.", "Training error.", "One row per activation."):
        assert said in page
        assert said in text
    assert '<p class="note">One seed.</p>' in page
    assert len(re.findall('<div class="tables">\n<figure class="table numbers">', page)) == 1
    assert "What <code>model.activation</code> does" in page
    assert "<li><strong>relu</strong> isn’t slow</li>" in page
    assert '<a href="https://x.org">the paper</a>' in page
    assert '<blockquote role="note">\n<p>Not *all* runs.</p>' in page
    assert "<summary>Values &lt; 3</summary>" in page
    assert '<pre tabindex="0"><code>a: ```&lt;b&gt;\n</code></pre>' in page
    # Headings may be alike, the places that links lead to not.
    assert text.count("## Results") == page.count("<h2>Results</h2>") == 2
    assert [attributes["id"] for attributes in tags.named("section")] == ["results", "results-2"]


def test_a_figure_is_named_after_its_page(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a figure of ablations is named figure1-curves"):
        write_page(tmp_path / "ablations", "t", "s", page_parts())
    assert not list(tmp_path.iterdir())


def test_columns_of_names_are_flush_left() -> None:
    assert "| :--- | :--- | ---: |" in table(("a", "b", "n"), [("x", "y", "1")], "t", names=2)
    assert "| :--- | :--- |" in table(("a", "b"), [("x", "y")], "t", numeric=False)


def test_the_report_is_page_markdown_figures_and_tables(
    facts: Facts, parts: list[Part], tmp_path: Path
) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mistake-9.webp").write_bytes(b"of an earlier run")
    write_report(facts, tmp_path)
    told = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == FIGURES
    assert set(re.findall(r"\]\(figures/(\S+)\.(?:png|webp)\)", told)) == FIGURES
    for path in (tmp_path / "figures").iterdir():
        form = {".png": "PNG", ".webp": "WEBP"}[path.suffix]
        assert Image.open(path).format == form
        # Photographs in a lossy form, all that has lines and letters alone in a lossless one.
        assert (form == "WEBP") == (path.stem in PHOTOGRAPHS)
    errors = pd.read_csv(tmp_path / "per_class.csv")
    assert list(errors) == ["wnid", "words", "images", "top1_error", "top5_error"]
    assert (errors["images"] * errors["top1_error"]).sum() == pytest.approx(WRONG)
    taken = pd.read_csv(tmp_path / "confusion.csv")
    assert len(taken) == IMAGES
    assert (taken["actual"] != taken["predicted"]).sum() == WRONG
    assert taken["actual"].nunique() == CLASSES
    # Equal facts give equal bytes: these parts were made by another call.
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    title, summary, *_ = (line for line in told.splitlines() if line)
    assert page_as_html(title.removeprefix("# "), summary, parts) == html


def test_a_page_is_listed_once_in_the_order_of_names(tmp_path: Path) -> None:
    pages = tmp_path / "pages.json"
    list_page("walk", "Which trains?", "Both do.", pages)
    list_page("figure1", "ReLU", "Six times.", pages)
    list_page("walk", "Which trains?", "One does.", pages)
    assert json.loads(pages.read_text())["pages"] == [
        {"name": "figure1", "title": "ReLU", "summary": "Six times."},
        {"name": "walk", "title": "Which trains?", "summary": "One does."},
    ]
