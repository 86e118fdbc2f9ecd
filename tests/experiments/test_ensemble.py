"""The ensemble: who takes part, what is refused, and its page."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from finished import PICTURES, RECIPE, member, params_with, write_run
from tiny import told

from alexnet.evaluation.predictions import average_predictions, save_predictions
from alexnet.report.page import page_as_markdown
from alexnet.store.index import UNKNOWN, Index
from alexnet.store.records import Records
from experiments.ensemble import page
from experiments.ensemble.members import plan, refuse_unfit


def store() -> tuple[Index, Records]:
    """The pictures that `member` speaks of, as they are evaluated here."""
    own = member(1)
    pictures = pd.DataFrame({"split": "val", "name": own.names, "label": own.labels})
    nothing = np.zeros(PICTURES, np.int64)
    records = Records(own.labels, own.names, "raw", [], nothing, nothing, nothing)
    return Index(pictures, pd.DataFrame(own.classes, columns=["wnid", "words"])), records


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "other/about.json: no such file"),
        ({"classes": 5}, "other: of other classes than the pictures of val here"),
        ({"split": "test"}, "other: of other split than"),
        ({"pictures": PICTURES + 1}, "other: of other pictures than"),
        ({"pictures": PICTURES - 2}, "other: of other pictures than"),
        ({"shift": 1}, "other: of other pictures than"),
    ],
)
def test_other_networks_are_refused_by_name_before_training(tmp_path: Path, made: Any, message: str) -> None:
    if made is not None:
        save_predictions(tmp_path / "other", member(0, **made))
    with told(message):
        refuse_unfit([str(tmp_path / "other")], *store(), "val")


def test_a_split_without_labels_is_refused_before_training() -> None:
    index, here = store()
    refuse_unfit([], index, here, "val")
    with told(r"evaluate\.split: found test, which has no labels"):
        refuse_unfit([], index, replace(here, labels=np.full(PICTURES, UNKNOWN)), "test")


def test_networks_that_pass_before_training_pass_after_it(tmp_path: Path) -> None:
    own, other = member(0), member(1)
    # Another release of the same classes words them otherwise.
    worded = tuple((wnid, f"{words}, or so") for wnid, words in other.classes)
    folders = [str(tmp_path / name) for name in ("own", "other")]
    for folder, found in zip(folders, (own, replace(other, classes=worded)), strict=True):
        save_predictions(Path(folder), found)
    refuse_unfit(folders, *store(), "val")
    averaged = average_predictions([*page.all_members({}, folders, tmp_path).values()])
    assert averaged.classes == own.classes
    np.testing.assert_allclose(averaged.ten, (own.ten + other.ten) / 2)
    save_predictions(tmp_path / "other", own)
    with told(r"own and .*other hold the same predictions"):
        refuse_unfit(folders, *store(), "val")
    with told(r"own and .*other hold the same predictions"):
        page.all_members({}, folders, tmp_path)


def test_the_page_says_what_averaging_gains(tmp_path: Path) -> None:
    settings, planned = plan(params_with(tmp_path, "ensemble", seeds=[1, 2, 3]), RECIPE)
    for seed, (name, values) in enumerate(planned.items(), 5):
        write_run(tmp_path / name, values, member(seed), train_loss=[1.0])
    members = page.all_members(planned, [], tmp_path)
    text = page_as_markdown("", *page.as_page(members, False, settings, planned["member-1"], 1000))
    several = list(members.values())
    wrong = np.array([one.ten.argmax(1) != one.labels for one in several]).mean()
    together = (np.mean([one.ten for one in several], 0).argmax(1) != several[0].labels).mean()
    assert f"errs {together:.1%} where one alone errs {wrong:.1%}: a gain of" in text
    assert "larger than noise of the pictures; the paper's is +2.6" in text
    assert page.table_of_members(members, False)["network"].tolist() == list(planned)
    assert "| gain, paper | +2.6 | +1.8 |" in text
    sizes = page.errors_by_size(several, False)
    assert list(map(len, sizes)) == [3, 3, 1]
    assert np.mean(sizes[0]) == pytest.approx(wrong)
    assert sizes[2] == [pytest.approx(together)]


def test_a_missing_or_strange_member_is_named(tmp_path: Path) -> None:
    _, planned = plan(params_with(tmp_path, "ensemble", seeds=[1, 2]), RECIPE)
    write_run(tmp_path / "member-1", planned["member-1"], member(1), train_loss=[1.0])
    write_run(tmp_path / "member-2", {**planned["member-2"], "train.epochs": 3}, member(2), train_loss=[1.0])
    with told(r"member-2: not finished with the parameters as they are now"):
        page.all_members(planned, [], tmp_path)
    write_run(tmp_path / "member-2", planned["member-2"], member(2, classes=3), train_loss=[1.0])
    with told(r"member-2: of other classes than .*member-1"):
        page.all_members(planned, [], tmp_path)
