"""Pages beside the report: both forms tell the same, and no text of theirs is HTML."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from test_page import Tags

from alexnet.report.document import Picture
from alexnet.report.figures import LIGHT, one_axes
from alexnet.report.writing import Part, compose, table_of, write_document

FRAME = pd.DataFrame(
    {"activation": ["relu", "tanh"], "epochs": [12, 71], "ratio": [1.0, None], "change": [-0.25, 0.5]}
)


def png() -> bytes:
    with one_axes(LIGHT, 50, 1, 1) as (axes, buffer):
        axes.plot([0, 1])
    return buffer.getvalue()


def parts() -> list[Part]:
    return [
        "What `model.activation` does, <b>measured</b>.\n\n- **relu** isn't slow\n- [the paper](https://x.org)",
        "## Results\nOne row an activation.",
        table_of(FRAME, "Epochs to 25 %", {"ratio": ".2f", "change": ".0%"}, note="One seed.", sortable=True),
        Picture("figure1-curves", png(), alt="Two curves.", caption="Training error."),
        "## Results",
    ]


def test_both_forms_tell_the_same(tmp_path: Path) -> None:
    write_document(tmp_path / "new/figure1", "ReLU & tanh", "One is six times sooner.", parts())
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "figure1.html",
        "figure1.md",
        "figure1-curves.png",
    }
    page = (tmp_path / "new/figure1.html").read_text(encoding="utf-8")
    text = (tmp_path / "new/figure1.md").read_text(encoding="utf-8")
    tags = Tags(page)
    assert text.startswith("# ReLU \\& tanh\n\nOne is six times sooner.\n")
    assert "<title>ReLU &amp; tanh</title>" in page
    assert '<meta name="description" content="One is six times sooner.">' in page
    assert "![Two curves.](figure1-curves.png)\n\nTraining error." in text
    assert [image["alt"] for image in tags.named("img")] == ["Two curves."]
    assert "| relu | 12 | 1.00 | −25% |\n| tanh | 71 | — | 50% |" in text
    cells = re.findall(r"<t[hd](?: scope=\"row\")?>(.*?)</t[hd]>", page)
    assert cells[-8:] == ["relu", "12", "1.00", "−25%", "tanh", "71", "—", "50%"]
    for said in ("Epochs to 25 %", "One seed.", "Training error.", "One row an activation."):
        assert said in page
        assert said in text
    assert "What <code>model.activation</code> does" in page
    assert "<li><strong>relu</strong> isn’t slow</li>" in page
    assert '<a href="https://x.org">the paper</a>' in page
    # Headings may be alike, the places that links lead to not.
    assert text.count("## Results") == page.count("<h2>Results</h2>") == 2
    assert len({attributes["id"] for attributes in tags.named("section")}) == 2


def test_text_is_no_html_and_loads_nothing() -> None:
    from alexnet.report.html import render_html

    attack = "<script>alert(1)</script> ![x](https://x.org/y.png) [a](javascript:alert(1))"
    page = render_html(compose("t", "s", [attack]))
    tags = Tags(page)
    assert len(tags.named("script")) == 1
    assert not tags.named("img")
    assert "alert(1)</script>" not in page
    assert not any((link["href"] or "").startswith("javascript") for link in tags.named("a"))


def test_a_picture_is_named_after_its_page(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a picture of ablations is named figure1-curves"):
        write_document(tmp_path / "ablations", "t", "s", parts())
    assert not list(tmp_path.iterdir())
