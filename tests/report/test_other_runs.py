"""What the report shows of other runs: pages of experiments, and several networks averaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made import IMAGES, METRICS, WRONG, made_predictions, write_results
from reference import literally_wrong

from alexnet.core.errors import UserError
from alexnet.evaluation.ensemble import count_ensemble
from alexnet.evaluation.intervals import exact_interval
from alexnet.evaluation.predictions import Predictions, save_predictions
from alexnet.report.document import Document
from alexnet.report.html import render_html
from alexnet.report.listed import list_page
from alexnet.report.markdown import render_markdown
from alexnet.report.reading import read_results
from alexnet.report.results import Ensemble
from alexnet.report.sections import comparison
from alexnet.report.sections import ensemble as ensemble_section
from alexnet.report.summary import terminal_summary
from alexnet.store.index import UNKNOWN


def test_a_page_is_entered_once_in_the_order_of_names(tmp_path: Path) -> None:
    pages = tmp_path / "pages.json"
    list_page("walk", "Which trains?", "Both do.", pages)
    list_page("figure1", "ReLU", "Six times.", pages)
    list_page("walk", "Which trains?", "One does.", pages)
    assert json.loads(pages.read_text())["pages"] == [
        {"name": "figure1", "title": "ReLU", "summary": "Six times."},
        {"name": "walk", "title": "Which trains?", "summary": "One does."},
    ]


@pytest.fixture
def own(tmp_path: Path) -> Predictions:
    found = made_predictions()
    save_predictions(tmp_path / "own", found)
    return found


def another(own: Predictions, seed: int) -> Predictions:
    draw = np.random.default_rng(seed).dirichlet(np.ones(own.ten.shape[1]), len(own))
    return replace(own, ten=0.7 * own.ten + 0.3 * draw, one=draw)


def test_an_ensembles_rates_are_those_of_the_mean(own: Predictions, tmp_path: Path) -> None:
    others = [another(own, seed) for seed in (1, 2)]
    for number, other in enumerate(others):
        save_predictions(tmp_path / str(number), other)
    told = count_ensemble(tmp_path / "own", [str(tmp_path / "0"), str(tmp_path / "1")], share_ties=False)
    assert [member["name"] for member in told["members"]] == [
        "This run",
        str(tmp_path / "0"),
        str(tmp_path / "1"),
    ]
    assert told["members"][0]["top1_error"] == WRONG / IMAGES
    assert told["together"]["name"] == "3 CNNs"
    for suffix, scores in (
        ("", np.mean([own.ten, *(other.ten for other in others)], axis=0)),
        ("_one_patch", np.mean([own.one, *(other.one for other in others)], axis=0)),
    ):
        for k in (1, 5):
            expected = np.mean(literally_wrong(scores, own.labels, k))
            assert told["together"][f"top{k}_error{suffix}"] == pytest.approx(expected, abs=1e-12)


def test_a_member_that_does_not_fit_is_refused_by_name(own: Predictions, tmp_path: Path) -> None:
    other = another(own, 1)
    for name, member in {
        "half": replace(
            other, **{key: getattr(other, key)[::2] for key in ("ten", "one", "labels", "names")}
        ),
        "classes": replace(other, classes=tuple((f"x{wnid}", words) for wnid, words in other.classes)),
        "test": replace(other, split="test"),
        "relabelled": replace(other, labels=np.roll(other.labels, 1)),
        "twin": own,
    }.items():
        save_predictions(tmp_path / name, member)
    for name, message in {
        "half": "own and half are of other pictures",
        "classes": "own and classes are of other classes",
        "test": "own and test are of other split",
        "relabelled": "own and relabelled are of other labels",
        "twin": "report.ensemble: own and twin hold the same predictions",
        "absent": "report.ensemble: absent/about.json: no such file",
    }.items():
        with pytest.raises(UserError) as caught:
            count_ensemble(tmp_path / "own", [str(tmp_path / name)], share_ties=False)
        told = str(caught.value).replace(f"{tmp_path}/", "")
        assert message in told
        assert "report.ensemble" in told
        assert "\n" not in told


def test_a_split_without_labels_has_no_ensemble(own: Predictions, tmp_path: Path) -> None:
    for name, found in (("own", own), ("other", another(own, 1))):
        save_predictions(tmp_path / name, replace(found, labels=np.full(len(own), UNKNOWN)))
    with pytest.raises(UserError, match=r"report\.ensemble: the split val has no labels"):
        count_ensemble(tmp_path / "own", [str(tmp_path / "other")], share_ties=False)


def test_the_tables_have_a_row_of_the_ensemble(tmp_path: Path) -> None:
    results = read_results(write_results(tmp_path))
    alone = Document("", "", sections=(comparison.section(results),))
    assert "CNNs, averaged" not in render_markdown(alone, "figures")
    rates = {key: value for key, value in METRICS.items() if "error" in key and key != "calibration_error"}
    members = [{"name": name, **rates} for name in ("This run", "runs/second <b>")]
    together = {"name": "2 CNNs", **rates, "top1_error": 0.31, "top5_error": 0.045}
    ensemble = Ensemble.model_validate({"members": members, "together": together})
    several = replace(results, ensemble=ensemble)
    document = Document(
        "", "", sections=(comparison.section(several), ensemble_section.section(several, ensemble))
    )
    text, html = render_markdown(document, "figures"), render_html(document)
    assert "| **2 CNNs, averaged †** | **31.0%** | **4.5%** |" in text
    assert "| **2 CNNs, averaged †** | **31.0%** | **4.5%** | **—** |" in text
    low, high = exact_interval(0.31, IMAGES)
    assert f"| **2 CNNs** | **31.0%** | **{low:.1%} to {high:.1%}** | **4.5%** |" in text
    assert r"| runs/second \<b\> | 36.0% |" in text
    assert "lowers this run's top-1 error by 5.0 points" in text
    assert "| Networks averaged | one, five or seven, as the rows say | one, or 2, as the rows say |" in text
    assert html.count("2 CNNs, averaged †") == 2
    assert "<h2>Several networks</h2>" in html
    assert "2 CNNs, averaged" in terminal_summary(several)
