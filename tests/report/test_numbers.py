"""The numbers that the report tells, and when they may be compared with the paper's."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made import IMAGES, SETTINGS, WRONG, write_csv, write_results

from alexnet.evaluation.intervals import exact_interval
from alexnet.report.document import Block, Fold, Picture, SideBySide, Table, Text
from alexnet.report.html import render_html
from alexnet.report.markdown import render_markdown
from alexnet.report.page import compose
from alexnet.report.rates import comparable_table
from alexnet.report.reading import ResultFiles, read_results
from alexnet.report.results import Results, Split
from alexnet.report.sections import calibration, classes, comparison, guesses, kernels, neighbours, provenance
from alexnet.report.sections.opening import headline, notes
from alexnet.report.sections.training_data import data_section, skipped_table
from alexnet.report.summary import terminal_summary
from alexnet.report.text import enumerated, percent, printable, short


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ResultFiles:
    return write_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def results(files: ResultFiles) -> Results:
    return read_results(files)


@pytest.fixture(scope="module")
def pages(results: Results) -> dict[str, str]:
    document = compose(results, SETTINGS)
    return {"html": render_html(document), "markdown": render_markdown(document, "figures")}


def with_data(results: Results, **changes: object) -> Results:
    return replace(results, data=results.data.model_copy(update=changes))


def with_errors(results: Results, **changes: object) -> Results:
    assert results.metrics.errors is not None
    errors = results.metrics.errors.model_copy(update=changes)
    return replace(results, metrics=results.metrics.model_copy(update={"errors": errors}))


def with_split(results: Results, split: str, images: int = IMAGES) -> Results:
    return replace(results, metrics=results.metrics.model_copy(update={"split": split, "images": images}))


def unlabelled(results: Results) -> Results:
    found = replace(results.predictions, labels=np.full(IMAGES, -1))
    metrics = results.metrics.model_copy(update={"errors": None})
    return replace(results, predictions=found, metrics=metrics)


def words(blocks: tuple[Block, ...] | list[Text]) -> str:
    """All text of some blocks, tables included."""
    told = []
    for block in blocks:
        inner = block.block if isinstance(block, Fold) else block
        for one in inner.tables if isinstance(inner, SideBySide) else [inner]:
            if isinstance(one, Text):
                told.append(one.text)
            elif isinstance(one, Table):
                told += [one.caption, one.note, *(cell for row in one.rows for cell in row.cells)]
    return "\n".join(told)


@pytest.mark.parametrize("kind", ["html", "markdown"])
def test_both_pages_show_the_numbers(pages: dict[str, str], kind: str) -> None:
    low, high = exact_interval(WRONG / IMAGES, IMAGES)
    text = pages[kind].replace("\\", "").replace("<wbr>", "")
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
        "1 min 15 s",  # of the evaluate stage
        "not under version control",
        "fell: to 0.001 at epoch 3",
        "those after epoch 4",
        "61.0% show the class",
        "codes of 32 bits",
        "train.learning_rate",
        "0.02",
    ):
        assert shown in text


def test_terminal_summary_lists_ours_and_the_papers(results: Results) -> None:
    lines = terminal_summary(results).splitlines()
    assert any(re.match(r"  ten patches +36\.0% \(29\.\d% to 43\.\d%\) +6\.0% \(", x) for x in lines)
    assert "  CNN               37.5%                       17.0%" in lines
    assert "cannot be compared" in lines[-1]
    assert max(map(len, lines)) <= 80


def test_few_classes_make_top5_say_nothing(results: Results) -> None:
    few = with_errors(with_data(results, classes=4), top5_error=0.0)
    assert "zero by definition and says nothing" in words(list(notes(few)))
    (alone,) = {row.cells[2] for row in headline(with_data(results, classes=1)).rows}  # type: ignore[union-attr]
    assert alone == "zero by definition"


def test_guessing_is_called_guessing(results: Results) -> None:
    told = "cannot be told apart from guessing"
    assert told in words(list(notes(with_errors(results, top1_error=0.9))))
    assert told not in words(list(notes(results)))


def test_rates_on_training_pictures_are_called_so(results: Results) -> None:
    assert "trained on: the rates" in words(list(notes(with_split(results, "train"))))


WHOLE = {"test": Split(pictures=150_000, skipped=0), "val": Split(pictures=49_999, skipped=1)}


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
    ],
)
def test_only_the_papers_own_data_is_compared(
    results: Results, layout: str, count: int, split: str, table: int | None
) -> None:
    changed = with_split(with_data(results, layout=layout, classes=count, splits=WHOLE), split)
    assert comparable_table(changed) == table
    text = words(comparison.section(changed).blocks)
    assert ("cannot be compared with the paper" in text) == (table is None)
    marked = text.count(f"This run {comparison.OTHER_DATA}")
    assert marked == (2 if table is None else 1)


def test_a_part_of_the_papers_data_is_not_compared(results: Results) -> None:
    part = {"val": Split(pictures=5000, skipped=0)}
    changed = with_data(results, classes=1000, splits=part)
    assert comparable_table(changed) is None


def test_a_rate_stands_in_its_own_column(results: Results) -> None:
    (*_, one) = comparison.table_2(with_split(results, "test")).rows[:-1]
    assert one.cells[1:] == ("—", "—", "6.0%")
    (*_, one) = comparison.table_2(results).rows[:-1]
    assert one.cells[1:] == ("36.0%", "6.0%", "—")


def test_what_departs_from_the_printed_recipe_is_listed(results: Results) -> None:
    table = comparison.recipe_differences(results)
    assert [row.cells for row in table.rows] == [("train.learning_rate", "0.01", "0.01", "0.02")]
    same = replace(results, recipes=results.recipes._replace(ours=results.recipes.printed))
    assert "Every parameter of the recipe is the one" in words(comparison.section(same).blocks)


def test_a_split_without_labels_has_no_rate_anywhere(results: Results) -> None:
    blind = unlabelled(results)
    document = compose(blind, SETTINGS)
    for text in (render_html(document), render_markdown(document, "figures")):
        assert "no error rate" in text
        assert "This run, one patch" not in text
        assert "36.0%" not in text
    assert "ilsvrc.txt" in words(list(notes(blind)))
    assert "without labels: no error rates" in terminal_summary(blind)
    # The guesses are shown all the same.
    assert sum(picture.name.startswith("guesses") for picture in document.pictures()) == guesses.SHOWN


def test_no_more_than_twenty_skipped_pictures_are_listed(tmp_path: Path) -> None:
    files = write_results(tmp_path)
    rows = [{"split": "train", "name": f"{n}.JPEG", "reason": "empty"} for n in range(30)]
    write_csv(files.skipped, ["split", "name", "reason"], rows)
    table = skipped_table(read_results(files))
    assert len(table.rows) == 20
    assert table.caption == "Skipped pictures, the first 20 of 30"


def test_no_skipped_picture(results: Results) -> None:
    section = data_section(replace(results, skipped=()))
    assert "No picture was skipped." in words(section.blocks)


def test_the_worst_mistakes_are_the_surest(results: Results) -> None:
    found = results.predictions
    worst = guesses.worst_mistakes(results)
    assert len(worst) == guesses.SHOWN
    assert all(found.ten[picture].argmax() != found.labels[picture] for picture in worst)
    ten = found.ten.copy()
    ten[50] = np.eye(10)[(found.labels[50] + 3) % 10]
    changed = replace(results, predictions=replace(found, ten=ten))
    assert guesses.worst_mistakes(changed)[0] == 50
    perfect = replace(found, ten=np.eye(10)[found.labels])
    section = guesses.section(replace(results, predictions=perfect), SETTINGS)
    assert "never wrong" in words(section.blocks)


def test_classes_are_listed_with_what_they_were_taken_for(results: Results) -> None:
    text = words(classes.section(results, SETTINGS).blocks)
    table = classes.class_table(classes.per_class_errors(results))
    assert sum(int(row.cells[2]) for row in table.rows) == IMAGES
    rates = [float(row.cells[3].rstrip("%")) for row in table.rows]
    assert rates == sorted(rates, reverse=True)
    assert np.mean(rates) == pytest.approx(36.0)
    assert "have no picture in this split" not in text


def test_a_class_that_never_occurs_has_no_rate(results: Results) -> None:
    found = results.predictions
    changed = replace(
        results, predictions=replace(found, labels=np.where(found.labels == 3, 4, found.labels))
    )
    text = words(classes.section(changed, SETTINGS).blocks)
    assert "1 of the classes have no picture in this split, so they have no error rate: class 3" in text
    rows = {row.cells[0]: row.cells for row in classes.class_table(classes.per_class_errors(changed)).rows}
    assert rows["class 3, another word"][2:] == ("0", "—", "—")


def test_a_single_class_makes_a_page(results: Results) -> None:
    found = results.predictions
    alone = replace(
        found, ten=found.ten[:, :1], one=found.one[:, :1], labels=found.labels * 0, classes=found.classes[:1]
    )
    changed = with_data(replace(results, predictions=alone), classes=1)
    assert "No picture's likeliest label was wrong." in words(classes.section(changed, SETTINGS).blocks)
    assert calibration.section(changed, SETTINGS).blocks
    assert guesses.section(changed, SETTINGS).blocks


def test_a_picture_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    files = write_results(tmp_path)
    tar = next(files.records.glob("val-*.tar"))
    content = bytearray(tar.read_bytes())
    results = read_results(files)
    records = results.photographs.records("val")
    assert records is not None
    shown = _shown(guesses.section(results, SETTINGS).blocks)
    broken = int(guesses.worst_mistakes(results)[0])
    start = int(records._offset[broken])
    content[start : start + int(records._size[broken])] = bytes(int(records._size[broken]))
    tar.write_bytes(content)

    results = read_results(files)
    document = compose(results, SETTINGS)
    assert len(_shown(document.sections[1].blocks)) < len(shown)
    told = words(document.sections[-1].blocks)
    assert f"{broken:05d}.JPEG of val" in told
    assert "The error rates do not depend on that." in told


def test_no_picture_at_all_makes_a_page_that_says_so(tmp_path: Path) -> None:
    files = write_results(tmp_path)
    for path in files.records.iterdir():
        path.unlink()
    document = compose(read_results(files), SETTINGS)
    text = render_markdown(document, "figures")
    assert text.count("could be read") >= 3
    assert "all of val and all of train" in text
    assert not [name for name in (picture.name for picture in document.pictures()) if "guess" in name]


def _shown(blocks: tuple[Block, ...]) -> list[Picture]:
    return [picture for block in blocks for picture in getattr(block, "pictures", ())]


def test_neighbours_are_named_with_their_distances(results: Results) -> None:
    first, second = _shown(neighbours.section(results).blocks)
    assert first.caption.startswith("class 7. Nearest: 1 × class 5, 1 × class 4")
    assert "distances 1.0, 2.0, 3.0" in first.alt
    assert "class 8" in second.caption


def test_colour_specificity_of_each_column_is_told(results: Results) -> None:
    # A red and a blue kernel lie alike far from grey: two thirds of their energy is colour.
    table = kernels.specificity_table([np.array([0.0, 0.2, np.nan]), np.array([0.9, 1.0, 0.5])])
    assert [row.cells[1:] for row in table.rows] == [
        ("3", "10.0%", "0.0%", "20.0%", "2", "0"),
        ("3", "90.0%", "50.0%", "100.0%", "0", "2"),
    ]
    assert "66.7% and 66.7%" in words(kernels.section(results, SETTINGS).blocks)


def test_seeds_and_durations_are_told(results: Results) -> None:
    told = {row.cells[0]: row.cells[1] for row in provenance.durations_table(results).rows}
    assert told["evaluate"] == "1 min 15 s"
    assert told["preprocess"] == "not run here"
    seeds = {row.cells[0]: row.cells[1] for row in provenance.seeds_table(results).rows}
    assert {"sample", "data", "preprocess", "train", "retrieve"} <= set(seeds)


def test_shared_ties_are_told(results: Results) -> None:
    assert "against the network" in words(provenance.section(results).blocks)
    shared = replace(results, share_ties=True)
    assert "a share of an error" in words(provenance.section(shared).blocks)


def test_words() -> None:
    assert printable("a\x1b[31m\n\u202eb\u00e9") == "a\\x1b[31m\\n\\u202eb\u00e9"
    assert short("tench, Tinca tinca") == "tench"
    assert short("x" * 40) == "x" * 27 + "…"
    assert percent(0.375) == "37.5%"
    assert percent(np.nan) == "—"
    assert [enumerated(list("abc"[:n])) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
