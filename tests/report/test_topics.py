"""The numbers that the report shows, and when they may be compared with the paper's."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made import EPOCHS, HOSTILE, IMAGES, WRONG, write_records, write_results

from alexnet.evaluation.intervals import exact_interval
from alexnet.report.facts import Facts, read_facts
from alexnet.report.page import Figure, Figures, Part, page_as_html, page_as_markdown
from alexnet.report.photographs import Photographs
from alexnet.report.rates import comparable_table, error_rates, terminal_summary
from alexnet.report.report import all_parts
from alexnet.report.text import enumerated, interval, percent, points, short
from alexnet.report.topics import (
    calibration,
    classes,
    curves,
    errors,
    guesses,
    kernels,
    neighbours,
    pictures,
    provenance,
)
from alexnet.store.counts import SplitCounts


def with_data(facts: Facts, **changes: object) -> Facts:
    return replace(facts, data=facts.data.model_copy(update=changes))


def with_predictions(facts: Facts, **changes: object) -> Facts:
    found = replace(facts.predictions, **changes)  # type: ignore[arg-type]
    return replace(facts, predictions=found)


def words(parts: Sequence[Part]) -> str:
    """Return all text of some parts, without the backslashes of Markdown."""
    return "\n".join(part for part in parts if isinstance(part, str)).replace("\\", "")


def figures(parts: Sequence[Part]) -> list[Figure]:
    return [
        figure
        for part in parts
        if not isinstance(part, str)
        for figure in (part.figures if isinstance(part, Figures) else (part,))
    ]


def rows(text: str) -> list[list[str]]:
    """Return the cells of the body of every table in some Markdown."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| :---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_both_forms_show_the_numbers(facts: Facts, parts: list[Part]) -> None:
    low, high = exact_interval(WRONG / IMAGES, IMAGES)
    for form in (page_as_html("t", "s", parts), page_as_markdown("t", "s", parts)):
        text = form.replace("\\", "").replace("<wbr>", "")
        for shown in (
            "36.0%",
            "6.0%",
            f"{100 * low:.1f}% to {100 * high:.1f}%",
            f"{facts.predictions.loss():.2f} nats",
            "90.0%",  # guessing among ten classes
            "37.5%",
            "18.2%",
            "121.78",
            "113.80",
            "1,234,567",
            "3 min 20 s",
            "1 min 15 s",  # of the evaluate stage
            "none: the code is in no repository that Git reads",
            "fell: to 0.001 at epoch 3",
            f"those after epoch {EPOCHS}",
            "61.0% show the class",
            "codes of 32 bits",
            "train.learning_rate",
            "0.02",
        ):
            assert shown in text


def test_terminal_summary_lists_ours_and_the_papers(facts: Facts) -> None:
    lines = terminal_summary(facts).splitlines()
    assert any(re.match(r"  ten patches +36\.0% \(29\.\d% to 43\.\d%\) +6\.0% \(", x) for x in lines)
    assert "  CNN               37.5%                       17.0%" in lines
    assert "cannot be compared" in lines[-1]
    assert max(map(len, lines)) <= 80


def test_what_must_be_known_to_read_the_rates_is_said(facts: Facts) -> None:
    at_random = np.random.default_rng(0).permutation(facts.predictions.labels)
    for changed, sentence in (
        (with_data(facts, classes=4), "zero by definition and says nothing"),
        (with_predictions(facts, labels=at_random), "not clearly below that of guessing"),
        (with_predictions(facts, split="train"), "trained on: the rates"),
    ):
        assert sentence in words([*errors.opening(changed)])
        assert sentence not in words([*errors.opening(facts)])
    # Most pictures are of one class, so naming it is a better guess than any.
    frequent = np.where(np.arange(len(facts.predictions)) % 10, 1, 0)
    assert error_rates(with_predictions(facts, labels=frequent))[0].chance == pytest.approx(0.1, abs=0.02)
    _, table, *_ = errors.opening(with_data(facts, classes=1))
    assert {row[2] for row in rows(table)[1:]} == {"zero by definition"}


WHOLE = {"test": SplitCounts(pictures=150_000, skipped=0), "val": SplitCounts(pictures=49_999, skipped=1)}


@pytest.mark.parametrize(
    ("layout", "count", "split", "table"),
    [
        ("ilsvrc-2012", 1000, "val", 2),
        ("kaggle", 1000, "val", 2),
        ("ilsvrc-2012", 10, "val", None),
        ("ilsvrc-2012", 1000, "train", None),
        ("ilsvrc-2010", 1000, "test", 1),
        ("ilsvrc-2010", 1000, "val", None),
        ("folders", 1000, "val", None),
        ("ilsvrc-2012", 1000, "test", None),  # a part of it
    ],
)
def test_only_the_papers_own_data_is_compared(
    facts: Facts, layout: str, count: int, split: str, table: int | None
) -> None:
    other = with_data(with_predictions(facts, split=split), layout=layout, classes=count, splits=WHOLE)
    assert comparable_table(other) == table
    text = words(errors.topic(other))
    assert ("cannot be compared with the paper" in text) == (table is None)
    assert text.count(f"This run {errors.OTHER_DATA}") == (2 if table is None else 1)


def test_a_rate_stands_in_its_own_column(facts: Facts) -> None:
    assert "| **This run †** | **36.0%** | **6.0%** | **—** |" in errors.table_2(facts)
    tested = errors.table_2(with_predictions(facts, split="test"))
    assert "| **This run †** | **—** | **—** | **6.0%** |" in tested


def test_what_departs_from_the_printed_recipe_is_listed(facts: Facts) -> None:
    table = errors.recipe_differences(facts).replace("\\", "")
    assert rows(table)[1:] == [
        ["model.width", "1", "1", "0.04"],
        ["train.learning_rate", "0.01", "0.01", "0.02"],
    ]
    same = replace(facts, recipes=facts.recipes._replace(ours=facts.recipes.printed))
    assert "Every parameter of the recipe is the one" in words(errors.topic(same))


def test_a_split_without_labels_has_no_rate_anywhere(facts: Facts) -> None:
    blind = with_predictions(facts, labels=np.full(IMAGES, -1))
    parts = all_parts(blind)
    for text in (page_as_html("t", "s", parts), page_as_markdown("t", "s", parts)):
        assert "no class has an error rate" in text
        assert "This run, one patch" not in text
        assert "36.0%" not in text
    assert "no error rate" in errors.summary(blind)
    assert "ilsvrc.txt" in words([*errors.opening(blind)])
    assert "without labels: no error rates" in terminal_summary(blind)
    # The guesses are shown all the same.
    assert sum(figure.name.startswith("guesses") for figure in figures(parts)) == guesses.SHOWN


def test_skipped_pictures_are_listed_but_no_more_than_twenty(facts: Facts) -> None:
    assert "Files that were not used: 1" in words(pictures.topic(facts))
    assert "No file was left out." in words(pictures.topic(replace(facts, skipped=[])))
    many = [facts.skipped[0].model_copy(update={"name": f"{HOSTILE} {n}"}) for n in range(30)]
    table = pictures.skipped_table(replace(facts, skipped=many))
    assert table.startswith("**Files that were not used, the first 20 of 30**")
    assert len(table.splitlines()) == 2 + 2 + 20


def test_the_worst_mistakes_are_the_surest(facts: Facts) -> None:
    found = facts.predictions
    worst = guesses.worst_mistakes(facts)
    assert len(worst) == guesses.SHOWN
    assert all(found.ten[picture].argmax() != found.labels[picture] for picture in worst)
    ten = found.ten.copy()
    ten[50] = np.eye(10)[(found.labels[50] + 3) % 10]
    assert guesses.worst_mistakes(with_predictions(facts, ten=ten))[0] == 50
    perfect = with_predictions(facts, ten=np.eye(10)[found.labels])
    assert "never wrong" in words(guesses.topic(perfect))


def test_classes_are_listed_the_worst_first_and_those_without_pictures_last(facts: Facts) -> None:
    assert "have no picture in this split" not in words(classes.topic(facts))
    _, *found = rows(classes.class_table(facts.predictions.per_class(False)).replace("\\|", ""))
    assert sum(int(row[2]) for row in found) == IMAGES
    rates = [float(row[3].rstrip("%")) for row in found]
    assert rates == sorted(rates, reverse=True)
    assert np.mean(rates) == pytest.approx(36.0)
    labels = facts.predictions.labels
    changed = with_predictions(facts, labels=np.where(labels == 3, 4, labels))
    text = words(classes.topic(changed))
    assert "1 of the classes have no picture in this split, so they have no error rate: class 3" in text
    assert "| class 3, another word | n00000003 | 0 | — | — |" in text


def test_a_single_class_makes_a_page(facts: Facts) -> None:
    found = facts.predictions
    alone = replace(
        found, ten=found.ten[:, :1], one=found.one[:, :1], labels=found.labels * 0, classes=found.classes[:1]
    )
    changed = with_data(replace(facts, predictions=alone), classes=1)
    assert "No picture's likeliest label was wrong." in words(classes.topic(changed))
    assert figures(calibration.topic(changed))
    assert figures(guesses.topic(changed))


def test_a_picture_that_cannot_be_read_is_left_out_and_named(facts: Facts, tmp_path: Path) -> None:
    broken = int(guesses.worst_mistakes(facts)[0])
    write_records(tmp_path, facts.predictions, broken)
    changed = replace(facts, photographs=Photographs(tmp_path, shown=True))
    shown = [figure.name for figure in figures(guesses.topic(changed)) if "mistake" in figure.name]
    assert len(shown) == guesses.SHOWN - 1
    said = words(provenance.topic(changed))
    assert f"{broken:05d}.JPEG of val" in said
    assert "The error rates do not depend on that." in said


def test_no_picture_at_all_makes_a_page_that_says_so(facts: Facts, tmp_path: Path) -> None:
    without = replace(facts, photographs=Photographs(tmp_path, shown=True))
    parts = all_parts(without)
    assert words(parts).count("could be read") >= 3
    assert "all of val and all of train" in words(parts)
    assert not [figure for figure in figures(parts) if "guess" in figure.name]


def test_a_page_that_may_be_passed_on_shows_no_picture_of_the_data(
    facts: Facts, parts: list[Part], tmp_path: Path
) -> None:
    files = write_results(tmp_path)
    text = files.params.read_text()
    assert "  photographs: true " in text
    files.params.write_text(text.replace("  photographs: true ", "  photographs: false "))
    discreet = all_parts(read_facts(files))
    gone = {figure.name for figure in figures(parts)} - {figure.name for figure in figures(discreet)}
    assert {name.rpartition("-")[0] for name in gone} == {"guesses", "mistake", "neighbours", "patches"}
    assert words(discreet).count("No pictures are shown (`report.photographs: false`).") == 3
    assert "could be read" not in words(discreet)
    assert "could not be read" not in words(discreet)


def test_neighbours_are_named_with_their_distances(facts: Facts) -> None:
    first, second = figures(neighbours.topic(facts))
    assert first.caption.startswith("class 7. Nearest: 1 × class 5, 1 × class 4")
    assert "distances 1.0, 2.0, 3.0" in first.alt
    assert "class 8" in second.caption


def test_the_curves_show_every_learning_rate(facts: Facts) -> None:
    header, first, *_ = rows(words(curves.topic(facts)))
    assert header[1:5] == ["Rate", "Rate, biases", "Rate, conv1", "Rate, fc8"]
    assert first[:7] == ["1", "0.01", "0.02", "0.0125", "0.0375", "2.300", "90.0%"]


def test_colour_specificity_of_each_column_is_shown(facts: Facts) -> None:
    # A red and a blue kernel lie alike far from grey: two thirds of their energy is colour.
    shares = [np.array([0.0, 0.2, np.nan]), np.array([0.9, 1.0, 0.5])]
    table = kernels.specificity_table(shares, (11, 11))
    assert [row[1:] for row in rows(table)[1:]] == [
        ["3", "10.0%", "0.0%", "20.0%", "2", "0"],
        ["3", "90.0%", "50.0%", "100.0%", "0", "2"],
    ]
    assert "66.7% and 66.7%" in words(kernels.topic(facts))


def test_the_range_of_random_kernels_is_that_of_drawn_ones() -> None:
    drawn = np.random.default_rng(1).standard_normal((20_000, 3, 11, 11)).astype(np.float32)
    expected = np.quantile(kernels.colour_specificity(drawn), [0.025, 0.975])
    assert kernels.random_range((11, 11)) == pytest.approx(expected, abs=0.002)


def test_what_the_recipe_leaves_out_is_not_told(facts: Facts) -> None:
    plain = replace(
        facts,
        augment=facts.augment.model_copy(update={"colour_noise": "none", "crop": "centre"}),
        recipes=facts.recipes._replace(ours=facts.recipes.ours | {"model.dropout.rate": 0.0}),
        run=facts.run.model_copy(update={"precision": "bfloat16"}),
    )
    told = words(curves.topic(plain)) + words(pictures.topic(plain))
    for absent in ("dropout", "random patches", "colour shift"):
        assert absent not in told
    assert "on centre patches, both in bfloat16" in told
    assert "but this run had none" in told
    usual = words(curves.topic(facts)) + words(pictures.topic(facts))
    assert "on random patches with dropout and colour noise; validation" in usual
    (patches,) = (part for part in pictures.topic(facts) if isinstance(part, Figures))
    assert f"the first {EPOCHS} epochs" in patches.caption
    assert "colour shift" in patches.caption


def test_a_training_that_was_ended_early_says_so(facts: Facts) -> None:
    for asked in (None, EPOCHS):
        whole = replace(facts, run=facts.run.model_copy(update={"epochs_asked": asked}))
        assert "was ended" not in words(errors.topic(whole))
        assert f"for {EPOCHS} epochs" in provenance.training_table(whole)
        assert "ended" not in terminal_summary(whole)
    early = replace(facts, run=facts.run.model_copy(update={"epochs_asked": EPOCHS + 2}))
    said = f"ended after {EPOCHS} of {EPOCHS + 2} epochs"
    assert f"The training was {said}" in words(errors.topic(early))
    assert f"for {EPOCHS} of {EPOCHS + 2} epochs" in provenance.training_table(early)
    assert f"training {said}" in terminal_summary(early)
    unlabelled = with_predictions(early, labels=np.full(IMAGES, -1))
    assert f"The training was {said}" in words(errors.topic(unlabelled))


def test_seeds_durations_and_ties_are_shown(facts: Facts) -> None:
    said = words(provenance.topic(facts))
    shown = dict(row[:2] for row in rows(said))
    assert shown["evaluate"] == "1 min 15 s"
    assert shown["preprocess"] == "not run here"
    assert {"sample", "data", "train", "retrieve"} <= set(shown)
    assert "against the network" in said
    assert "a share of an error" in words(provenance.topic(replace(facts, share_ties=True)))


def test_words() -> None:
    assert short("tench, Tinca tinca") == "tench"
    assert short("x" * 40) == "x" * 27 + "…"
    assert percent(0.375) == "37.5%"
    assert percent(np.nan) == interval(None) == "—"
    assert interval((0.1, 0.25)) == "10.0% to 25.0%"
    assert interval((-0.1, 0.25), points) == "−10.0 to +25.0"
    assert [enumerated(list("abc"[:n])) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
