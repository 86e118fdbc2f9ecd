"""Our rows in the paper's tables, and what differs."""

from __future__ import annotations

from typing import Any

from alexnet.core.progress import duration
from alexnet.report import paper
from alexnet.report.document import Block, Row, Section, SideBySide, Table, Text
from alexnet.report.rates import comparable_table, describe_data
from alexnet.report.results import Results
from alexnet.report.text import NOTHING, percent, printable

OTHER_DATA = "\N{DAGGER}"


def section(results: Results) -> Section:
    """Return the paper's tables with our rows, and what differs in data and recipe."""
    blocks: list[Block] = [_verdict(results), SideBySide((table_1(results), table_2(results)))]
    blocks.append(differences(results))
    recipe = recipe_differences(results)
    if recipe.rows:
        blocks.append(recipe)
    else:
        blocks.append(Text("Every parameter of the recipe is the one that the paper prints."))
    return Section("paper", "Beside the paper", tuple(blocks))


def _verdict(results: Results) -> Text:
    table = comparable_table(results)
    if results.metrics.errors is None:
        return Text(
            "These pictures have no public labels, so no row of ours stands in the tables.", warning=True
        )
    if table:
        return Text(
            f"The pictures evaluated are the paper's own set (Table {table}), so these error "
            "rates may be compared with its single CNN trained without other data. What else "
            "differs is listed below the tables."
        )
    train = results.data.splits.get("train")
    trained = f" and {train.pictures:,} pictures to learn from" if train else ""
    return Text(
        "These error rates cannot be compared with the paper's. This network was evaluated on "
        f"{describe_data(results)}, with {results.data.classes:,} classes to choose from{trained}; "
        "the paper's chose from 1,000 classes and learnt from 1.2 million pictures. A lower number "
        "here does not mean a better network.",
        warning=True,
    )


def table_1(results: Results) -> Table:
    """Return the paper's Table 1 with our rows set in."""
    mark = _mark(results, 1)
    published = [
        Row((row.model, _printed(row.top1), _printed(row.top5)), italic=row.by_others)
        for row in paper.TABLE_1
    ]
    ours = [
        Row((label + mark, percent(top1), percent(top5)), ours=True) for label, top1, top5 in _ours(results)
    ]
    return Table(
        caption="The paper's Table 1: ILSVRC-2010 test set",
        header=("Model", "Top-1", "Top-5"),
        rows=(*published, *ours),
        note=_table_note(mark, "One patch: from the paper's text, not its table."),
    )


def table_2(results: Results) -> Table:
    """Return the paper's Table 2 with our rows set in."""
    mark = _mark(results, 2)
    published = [
        Row(
            (row.model, _printed(row.top1_val), _printed(row.top5_val), _printed(row.top5_test)),
            italic=row.by_others,
        )
        for row in paper.TABLE_2
    ]
    ours = [
        Row((label + mark, *_in_columns(results.metrics.split, top1, top5)), ours=True)
        for label, top1, top5 in _ours(results)
    ]
    return Table(
        caption="The paper's Table 2: ILSVRC-2012",
        header=("Model", "Top-1, val", "Top-5, val", "Top-5, test"),
        rows=(*published, *ours),
        note=_table_note(
            mark,
            "* pre-trained on the ImageNet 2011 Fall release. The authors' logs give 40.66%, 18.21% for "
            "1 CNN and 38.99%, 16.62% for 1 CNN*.",
        ),
    )


def _ours(results: Results) -> list[tuple[str, float, float]]:
    """Return name, top-1 and top-5 error of our rows."""
    errors, ensemble = results.metrics.errors, results.ensemble
    if errors is None:
        return []
    rows = [
        ("This run", errors.top1_error, errors.top5_error),
        ("This run, one patch", errors.top1_error_one_patch, errors.top5_error_one_patch),
    ]
    if ensemble:
        together = ensemble.together
        rows.append((f"{together.name}, averaged", together.top1_error, together.top5_error))
    return rows


def _in_columns(split: str, top1: float, top5: float) -> tuple[str, str, str]:
    if split == "test":
        return NOTHING, NOTHING, percent(top5)
    return percent(top1), percent(top5), NOTHING


def _mark(results: Results, table: int) -> str:
    return "" if results.metrics.errors is None or comparable_table(results) == table else f" {OTHER_DATA}"


def _printed(error: float | None) -> str:
    return NOTHING if error is None else f"{error:.1f}%"


def _table_note(mark: str, note: str) -> str:
    if not mark:
        return note
    return f"{note} {OTHER_DATA} on other data than this table's: not comparable."


def differences(results: Results) -> Table:
    """Return what the error rates rest on, in the paper and here (Sections 2 to 6)."""
    data, run = results.data, results.run
    train = data.splits.get("train")
    evaluated = f"{results.metrics.images:,} ({results.metrics.split})"
    rows = (
        ("Data set", paper.DATA_SET, describe_data(results)),
        ("Classes", f"{paper.CLASSES:,}", f"{data.classes:,}"),
        ("Training pictures", paper.TRAINING_PICTURES, f"{train.pictures:,}" if train else NOTHING),
        ("Pictures evaluated", paper.EVALUATED_PICTURES, evaluated),
        ("Recipe", "as printed", run.recipe),
        ("Epochs", paper.EPOCHS, f"{len(results.history):,}"),
        ("Batch size", paper.BATCH_SIZE, f"{run.batch_size:,}"),
        ("Columns", paper.COLUMNS, f"{run.columns}"),
        ("Parameters", paper.PARAMETERS, f"{run.parameters:,}"),
        ("Patches averaged", "ten", "ten"),
        ("Networks averaged", "one, five or seven, as the rows say", _networks(results)),
        ("Weights evaluated", "not said", "those after the last epoch"),
        ("Devices", paper.DEVICES, run.devices),
        ("Training time", paper.TRAINING_TIME, duration(run.seconds)),
    )
    return Table(
        caption="What the numbers rest on",
        header=("", "The paper", "This run"),
        rows=tuple(Row(row) for row in rows),
        numeric=False,
    )


def _networks(results: Results) -> str:
    return f"one, or {len(results.ensemble.members)}, as the rows say" if results.ensemble else "one"


def recipe_differences(results: Results) -> Table:
    """Return the recipe's parameters in which this run departs from the paper."""
    ours, printed, run_in_2012 = results.recipes
    rows = [
        Row((key, _shown(printed.get(key)), _shown(run_in_2012.get(key)), _shown(value)))
        for key, value in ours.items()
        if key != "train.seed" and value != printed.get(key)
    ]
    return Table(
        caption="Where the recipe departs from the printed one",
        header=("Parameter", "As printed", "As run in 2012", "This run"),
        rows=tuple(rows),
        numeric=False,
        note="As printed and as run: what profiles/imagenet-2012-paper.yaml and "
        "profiles/imagenet-2012-source.yaml set; where the paper gives no number, our choice.",
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(_entry(entry) for entry in value) or "none"
    return printable(str(value))


def _entry(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {_shown(inner)}" for key, inner in value.items())
    return _shown(value)
