"""Several networks averaged: what is counted, refused and shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made import IMAGES, WRONG, made_predictions
from reference import literally_wrong
from tiny import told

from alexnet.evaluation.ensemble import Ensemble, count_ensemble
from alexnet.evaluation.intervals import exact_interval
from alexnet.evaluation.predictions import Predictions, Rates, save_predictions
from alexnet.report.facts import Facts
from alexnet.report.page import page_as_html
from alexnet.report.rates import terminal_summary
from alexnet.report.topics import ensemble, errors
from alexnet.store.index import UNKNOWN


@pytest.fixture
def own(tmp_path: Path) -> Predictions:
    found = replace(made_predictions(), weights="f" * 64)
    save_predictions(tmp_path / "own", found)
    return found


def another(own: Predictions, seed: int) -> Predictions:
    draw = np.random.default_rng(seed).dirichlet(np.ones(own.ten.shape[1]), len(own))
    return replace(own, ten=0.7 * own.ten + 0.3 * draw, one=draw)


def test_an_ensembles_rates_are_those_of_the_mean(own: Predictions, tmp_path: Path) -> None:
    others = [another(own, seed) for seed in (1, 2)]
    folders = [str(tmp_path / str(number)) for number in range(2)]
    for folder, other in zip(folders, others, strict=True):
        save_predictions(Path(folder), other)
    found = count_ensemble(tmp_path / "own", folders, share_ties=False)
    assert [*found.members] == ["This run", *folders]
    assert found.members["This run"].top1 == WRONG / IMAGES
    assert found.name == "3 CNNs"
    for rates, patches in (
        ((found.together.top1, found.together.top5), "ten"),
        ((found.together.top1_one_patch, found.together.top5_one_patch), "one"),
    ):
        scores = np.mean([getattr(each, patches) for each in (own, *others)], axis=0)
        wrong = [np.mean(literally_wrong(scores, own.labels, k)) for k in (1, 5)]
        assert rates == pytest.approx(wrong, abs=1e-12)


def test_a_member_that_does_not_fit_is_refused_by_name(own: Predictions, tmp_path: Path) -> None:
    other = another(own, 1)
    half = {key: getattr(other, key)[::2] for key in ("ten", "one", "labels", "names")}
    for name, (member, message) in {
        "half": (replace(other, **half), "own and half differ in their pictures"),
        "twin": (own, "report.ensemble: own and twin hold the same predictions"),
        "own": (own, "report.ensemble: own is named twice"),
        "absent": (None, "report.ensemble: absent/about.json: no such file"),
    }.items():
        if member is not None:
            save_predictions(tmp_path / name, member)
        with told(r"report\.ensemble") as caught:
            count_ensemble(tmp_path / "own", [str(tmp_path / name)], share_ties=False)
        assert message in str(caught.value).replace(f"{tmp_path}/", "")


def test_a_split_without_labels_has_no_ensemble(own: Predictions, tmp_path: Path) -> None:
    for name, found in (("own", own), ("other", another(own, 1))):
        save_predictions(tmp_path / name, replace(found, labels=np.full(len(own), UNKNOWN)))
    with told(r"report\.ensemble: the split val has no labels"):
        count_ensemble(tmp_path / "own", [str(tmp_path / "other")], share_ties=False)


def test_the_tables_have_a_row_of_the_ensemble(facts: Facts) -> None:
    assert not ensemble.topic(facts)
    assert "CNNs, averaged" not in "\n".join(map(str, errors.topic(facts)))
    assert facts.rates is not None
    members = dict.fromkeys(("This run", "runs/second <b>"), facts.rates)
    several = replace(facts, ensemble=Ensemble(members, Rates(0.31, 0.045, 0.4, 0.08)))
    parts = [*errors.topic(several), *ensemble.topic(several)]
    text, html = "\n".join(map(str, parts)), page_as_html("t", "s", parts)
    assert "| **2 CNNs, averaged †** | **31.0%** | **4.5%** |\n" in text
    assert "| **2 CNNs, averaged †** | **31.0%** | **4.5%** | **—** |" in text
    low, high = exact_interval(0.31, IMAGES)
    assert f"| **2 CNNs** | **31.0%** | **{low:.1%} to {high:.1%}** | **4.5%** |" in text
    assert r"| runs/second \<b\> | 36.0% |" in text
    assert "lowers this run's top-1 error by 5.0 points" in text
    assert "| Networks averaged | one, five or seven, as the rows say | one, or 2, as the rows say |" in text
    assert html.count("2 CNNs, averaged †") == 2
    assert "<h2>Several networks</h2>" in html
    assert "2 CNNs, averaged" in terminal_summary(several)
