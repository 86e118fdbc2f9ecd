"""The ensemble: who takes part, what is refused, and its page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from alexnet.core.errors import UserError
from alexnet.core.params import read
from alexnet.evaluation.predictions import Predictions, average_predictions, save_predictions
from alexnet.report.markdown import render_markdown
from alexnet.report.writing import compose
from alexnet.store.index import UNKNOWN, Index
from alexnet.store.records import Records
from experiments.ensemble import summary
from experiments.ensemble.members import (
    MEMBER,
    PARAMS,
    Ensemble,
    parameters,
    refuse_strangers,
    refuse_unlabelled,
)
from experiments.shared.settings import runs_of
from experiments.shared.values import write_made_with

RECIPE = Path("params.yaml")
PICTURES, CLASSES = 200, 4


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def ensemble_of(**changes: Any) -> Ensemble:
    return Ensemble.model_validate({**read(PARAMS, Ensemble).model_dump(), **changes})


def member(
    draw: np.random.Generator,
    classes: int = CLASSES,
    split: str = "val",
    pictures: int = PICTURES,
    shift: int = 0,
) -> Predictions:
    """What a network says that is right on average but noisy."""
    labels = np.arange(pictures) % classes
    scores = np.exp(np.eye(classes)[labels] + draw.normal(size=(pictures, classes)))
    scores /= scores.sum(1, keepdims=True)
    names = np.roll([f"{number}.jpg" for number in range(pictures)], shift)
    known = tuple((f"n{number}", f"class {number}") for number in range(classes))
    return Predictions(scores, scores, labels, names, split, known, tuple(range(1, classes + 1)))


def store() -> tuple[Index, Records]:
    """The pictures that `member` speaks of, as they are evaluated here."""
    own = member(np.random.default_rng(1))
    pictures = pd.DataFrame({"split": "val", "name": own.names, "label": own.labels})
    nothing = np.zeros(PICTURES, np.int64)
    records = Records(own.labels, own.names, "raw", [], nothing, nothing, nothing)
    return Index(pictures, pd.DataFrame(own.classes, columns=["wnid", "words"])), records


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [1, 2, 1]}, "seeds: found 1 twice; allowed: each network once"),
        ({"others": ["a", "a"]}, "others: found a twice"),
        ({"seeds": [1]}, "found one network; allowed: two or more"),
        ({"alike": {"train.epoch": 3}}, r"ensemble\.alike: train\.epoch: unknown key"),
        ({"alike": {"model.width": 0.1}}, r"ensemble: model\.width: found 0\.1"),
    ],
)
def test_an_ensemble_that_is_wrong_is_refused_before_training(changes: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parameters(ensemble_of(**changes), RECIPE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "other: no such folder"),
        ({"classes": 5}, "other: of 5 classes"),
        ({"split": "test"}, "other: of the split test; allowed: val"),
        ({"pictures": PICTURES + 1}, r"other: 200\.jpg is no picture of val here"),
        ({"pictures": PICTURES - 2}, r"other: 198\.jpg is missing \(2 such pictures of val\)"),
        ({"shift": 1}, "other: its pictures have another order or other labels"),
    ],
)
def test_other_networks_are_refused_by_name_before_training(tmp_path: Path, made: Any, message: str) -> None:
    if made is not None:
        save_predictions(tmp_path / "other", member(np.random.default_rng(0), **made))
    with pytest.raises(UserError, match=message) as told:
        refuse_strangers([str(tmp_path / "other")], *store(), "val")
    assert "\n" not in str(told.value)


def test_a_split_without_labels_is_refused_before_training() -> None:
    _, here = store()
    refuse_unlabelled(here, "val")
    with pytest.raises(UserError, match=r"evaluate\.split: found test, which has no labels"):
        refuse_unlabelled(replace(here, labels=np.full(PICTURES, UNKNOWN)), "test")


def test_networks_that_pass_before_training_pass_after_it(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    own, other = member(draw), member(draw)
    # Another release of the same classes words them otherwise.
    worded = tuple((wnid, f"{words}, or so") for wnid, words in other.classes)
    save_predictions(tmp_path / "own", own)
    save_predictions(tmp_path / "other", replace(other, classes=worded))
    refuse_strangers([str(tmp_path / "other")], *store(), "val")
    folders = {name: tmp_path / name for name in ("own", "other")}
    members = summary.read_members(folders, {})
    averaged = average_predictions([*members.values()])
    assert averaged.classes == own.classes
    np.testing.assert_allclose(averaged.ten, (own.ten + other.ten) / 2)


def test_a_network_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    twin = member(np.random.default_rng(0))
    folders = {name: tmp_path / name for name in ("one", "two")}
    for folder in folders.values():
        save_predictions(folder, twin)
    with pytest.raises(UserError, match=r"one and .*two hold the same predictions"):
        refuse_strangers(list(map(str, folders.values())), *store(), "val")
    with pytest.raises(UserError, match=r"one and .*two hold the same predictions"):
        summary.read_members(folders, {})


def test_the_page_says_what_averaging_gains(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    folders = {f"member-{seed}": tmp_path / f"member-{seed}" for seed in (1, 2, 3)}
    for folder in folders.values():
        save_predictions(folder, member(draw))
    members = summary.read_members(folders, {})
    ensemble = ensemble_of(seeds=[1, 2, 3])
    found, parts = summary.as_page(members, False, ensemble, parameters(ensemble, RECIPE), 1000)
    page = render_markdown(compose(summary.TITLE, found, parts), "")
    several = list(members.values())
    wrong = np.array([one.ten.argmax(1) != one.labels for one in several]).mean()
    together = (np.mean([one.ten for one in several], 0).argmax(1) != several[0].labels).mean()
    assert f"errs {together:.1%} where one alone errs {wrong:.1%}: a gain of" in page
    assert "larger than noise of the pictures; the paper's is +2.6" in page
    assert summary.table_of_members(members, False)["network"].tolist() == list(folders)
    assert "| gain, paper | +2.6 | +1.8 |" in page
    sizes = summary.errors_by_size(several, False)
    assert list(map(len, sizes)) == [3, 3, 1]
    assert np.mean(sizes[0]) == pytest.approx(wrong)
    assert sizes[2] == [pytest.approx(together)]


def test_a_missing_or_strange_member_is_named(tmp_path: Path) -> None:
    draw = np.random.default_rng(6)
    save_predictions(tmp_path / "member-1", member(draw))
    folders = {name: tmp_path / name for name in ("member-1", "member-2")}
    with pytest.raises(UserError, match="member-2: this network's predictions are missing"):
        summary.read_members(folders, {})
    save_predictions(tmp_path / "member-2", member(draw, classes=3))
    with pytest.raises(UserError, match=r"member-2: of other classes than .*member-1"):
        summary.read_members(folders, {})


def test_a_member_made_with_former_parameters_is_named(tmp_path: Path) -> None:
    ensemble = ensemble_of(seeds=[1, 2])
    planned = runs_of({MEMBER: parameters(ensemble, RECIPE)}, ensemble.seeds)
    folders = {name: tmp_path / name / "predictions" for name in planned}
    for seed, (name, folder) in enumerate(folders.items()):
        save_predictions(folder, member(np.random.default_rng(seed)))
        write_made_with(folder.parent, planned[name])
    assert list(summary.read_members(folders, planned)) == ["member-1", "member-2"]
    write_made_with(tmp_path / "member-2", {**planned["member-2"], "train.epochs": 3})
    with pytest.raises(UserError, match=r"member-2/predictions: this network was not made with the param"):
        summary.read_members(folders, planned)
