"""What each thing taken away adds to the error, beside what the paper says.

    python -m experiments.ablations.summary

reads the runs that are finished and writes a page, a figure and a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from matplotlib.axes import Axes

from alexnet.core import stage as options
from alexnet.core.errors import UserError
from alexnet.core.files import replacing
from alexnet.core.params import read
from alexnet.core.stage import RECORDS, run
from alexnet.evaluation.params import Evaluate
from alexnet.report.document import Picture, Table
from alexnet.report.document import Row as Line
from alexnet.report.figures import DARK, LIGHT, Dress, one_axes
from alexnet.report.text import NOTHING, enumerated, percent
from alexnet.report.writing import Part
from alexnet.store.records import open_records
from alexnet.training.chance import is_below_chance, loss_at_chance
from experiments.ablations.rows import FULL, HERE, PARAMS, Ablations, Claim, parameters
from experiments.shared import pages
from experiments.shared.outcomes import KINDS, Outcome, read_outcomes
from experiments.shared.paired import Difference, difference
from experiments.shared.publishing import FOLDER, publish
from experiments.shared.settings import runs_of
from experiments.shared.values import Values

NAME, TITLE = "ablations", "What each part of the recipe is worth"
DPI = 150
CLEAR = "Larger than noise"


@dataclass(frozen=True)
class RowResult:
    """A row's finished runs.

    Attributes:
        outcomes: by seed.
        added: for each kind of error, what the row has more of than the full recipe over the seeds that
            both have finished; empty without any, and for the full recipe.
        flat: how many runs ended on the plateau, the entropy of the class frequencies.
    """

    name: str
    without: str
    claim: Claim | None
    values: Values
    outcomes: dict[int, Outcome]
    added: dict[str, Difference]
    flat: int

    def mean(self, kind: str) -> float:
        """Return the mean error over the finished seeds, NaN without any."""
        errors = [outcome.error(kind) for outcome in self.outcomes.values()]
        return float(np.mean(errors)) if errors else float("nan")

    @property
    def train_error(self) -> float:
        """The mean error of the last epoch's patches over the finished seeds, NaN without any."""
        errors = [outcome.train_error for outcome in self.outcomes.values()]
        return float(np.mean(errors)) if errors else float("nan")


def results(table: Ablations, outcomes: Mapping[str, Outcome], entropy: float) -> list[RowResult]:
    """Return the results of all rows in order."""

    def of(name: str) -> dict[int, Outcome]:
        found = {seed: outcomes.get(f"{name}-{seed}") for seed in table.seeds}
        return {seed: outcome for seed, outcome in found.items() if outcome is not None}

    full, rows = of(FULL), []
    for name in table.run:
        own = of(name)
        pairs = [] if name == FULL else sorted(own.keys() & full.keys())
        added = {
            kind: difference(
                [own[seed].wrong[kind] for seed in pairs], [full[seed].wrong[kind] for seed in pairs]
            )
            for kind in KINDS
            if pairs
        }
        row = table.rows.get(name)
        flat = sum(not is_below_chance(outcome.train_loss, entropy) for outcome in own.values())
        rows.append(
            RowResult(
                name,
                row.without if row else "nothing (the full recipe)",
                row.claim if row else None,
                row.values if row else {},
                own,
                added,
                flat,
            )
        )
    return rows


def as_table(rows: Sequence[RowResult]) -> pd.DataFrame:
    """Return a line per finished run."""
    lines = [
        (row.name, seed, *map(outcome.error, KINDS), outcome.train_error, outcome.train_loss, outcome.epochs)
        for row in rows
        for seed, outcome in row.outcomes.items()
    ]
    return pd.DataFrame(lines, columns=["row", "seed", *KINDS, "train_error", "train_loss", "epochs"])


def as_page(
    rows: Sequence[RowResult], table: Ablations, full: Values, pictures: int
) -> tuple[str, list[Part]]:
    """Return what was found in short, and the page's parts.

    Args:
        full: the full recipe's parameters, with dotted keys.
        pictures: how many were trained on.

    Raises:
        UserError: no run is finished.
    """
    finished, planned = sum(len(row.outcomes) for row in rows), len(rows) * len(table.seeds)
    evaluated = next((outcome.predictions for row in rows for outcome in row.outcomes.values()), None)
    if evaluated is None:
        raise UserError(f"{HERE}: no run is finished yet; run dvc repro --keep-going {HERE}/dvc.yaml")
    state = (
        f"All {planned} runs are finished."
        if finished == planned
        else f"{finished} of {planned} runs are finished; the rest of this page is of those."
    )
    found = reading(rows)
    return _in_short(found), [
        "The full recipe, and a row for each thing taken away:"
        f" {pages.count(pictures, 'training picture')} of {len(evaluated.classes)} classes,"
        f" {full['train.epochs']} epochs at width {full['model.width']:g}, errors on the {len(evaluated):,}"
        f" pictures of {evaluated.split}; {pages.count(len(table.seeds), 'seed')} a row. {state}",
        "\n".join(f"- {sentence}" for sentence in found),
        "## Error added by taking it away",
        added_table(rows),
        picture(rows),
        "## Top-5, one patch, and the training itself",
        other_errors(rows),
        "## What the paper says",
        claims(rows),
        "## How it was made",
        f"`dvc repro --keep-going {HERE}/dvc.yaml`, or two runs at a time `python -m experiments.side_by_side"
        f" {HERE}/dvc.yaml`. The rows are in `{PARAMS}`, the figures of each run in `{NAME}.csv`.",
        pages.settings("What all rows have alike, instead of params.yaml", table.alike),
        pages.settings("The full recipe", full),
    ]


def _in_short(found: Sequence[str]) -> str:
    clear = [sentence for sentence in found if sentence.startswith(CLEAR)]
    return " ".join(clear) or found[0]


def reading(rows: Sequence[RowResult]) -> list[str]:
    """Say which differences are larger than noise, and how far that can be trusted."""
    kind = KINDS[0]
    compared = [row for row in rows if row.added]
    worse: list[str] = []
    better: list[str] = []
    unclear: list[str] = []
    alone: list[str] = []
    same: list[str] = []
    for row in compared:
        added = row.added[kind]
        if added.over_seeds is None:
            (alone if len(added.by_seed) == 1 else same).append(row.without)
        elif not added.is_clear:
            unclear.append(row.without)
        else:
            (worse if added.mean > 0 else better).append(row.without)
    notes = []
    if not compared:
        notes.append("No row can be compared with the full recipe yet: no seed of both is finished.")
    if unclear and not worse and not better:
        notes.append("No row differs from the full recipe by more than noise.")
    if worse:
        notes.append(f"{CLEAR}: taking away {enumerated(worse)} adds errors.")
    if better:
        notes.append(f"{CLEAR}, the other way: without {enumerated(better)} there are fewer errors.")
    if unclear:
        notes.append(
            f"Not told from noise: {enumerated(unclear)}. That is no word on ImageNet; it says that this many"
            " seeds and pictures do not settle it."
        )
    if alone:
        notes.append(f"Of a single seed, so nothing can be said of noise: {enumerated(alone)}.")
    if same:
        notes.append(
            "The same difference with every seed, so there is no interval over seeds and no word on noise:"
            f" {enumerated(same)}."
        )
    notes += _unfinished_learning(rows)
    if (judged := len(compared) - len(alone) - len(same)) > 1:
        notes.append(
            "A difference is called larger than noise when 0 lies outside both its 95% intervals: Student's"
            " over the paired seeds, and the bootstrap's over the pictures. Each such interval misses once in"
            f" twenty, so among {judged} rows a false one is to be reckoned with."
        )
    if flat := [row for row in rows if row.flat]:
        runs = enumerated([f"{row.without} ({pages.count(row.flat, 'run')})" for row in flat])
        notes.append(f"Still on the plateau, the loss of guessing by class frequency, at the end: {runs}.")
    return notes


def _unfinished_learning(rows: Sequence[RowResult]) -> list[str]:
    """Say whether the full recipe errs more on what it learns from than on what it is tested on."""
    full = next(row for row in rows if row.name == FULL)
    if not full.outcomes:
        return []
    learning, tested = full.train_error, full.mean(KINDS[0])
    if learning <= tested:
        return []
    split = next(iter(full.outcomes.values())).predictions.split
    return [
        f"The full recipe ends with {percent(learning)} errors on the patches it learns from, with dropout"
        f" on, and {percent(tested)} on the {split} pictures: it does not overfit in so short a training, so"
        " parts that keep a long one from overfitting, and those that learn slowly, need not pay here."
    ]


def added_table(rows: Sequence[RowResult]) -> Table:
    """Return the paper's delta beside ours, top-1 with ten patches."""
    kind = KINDS[0]
    lines = []
    for row in rows:
        added = row.added.get(kind)
        lines.append(
            Line(
                (
                    row.without,
                    _paper(row.claim.top1 if row.claim else None),
                    percent(row.mean(kind)),
                    pages.points(added.mean) if added else NOTHING,
                    pages.interval(added.over_seeds) if added else NOTHING,
                    pages.interval(added.over_pictures) if added else NOTHING,
                    _verdict(added),
                ),
                ours=row.name == FULL,
            )
        )
    return Table(
        caption="Top-1 error with ten patches; added: percentage points more than the full recipe",
        header=(
            "taken away",
            "paper",
            "error",
            "added",
            "over seeds",
            "over pictures",
            "clear",
        ),
        rows=tuple(lines),
        note="95% intervals. Over seeds: Student's t of the paired differences, for other seeds and these"
        " pictures. Over pictures: paired bootstrap of the mean over seeds, for other pictures and these"
        " networks. Clear: 0 is in neither. The paper's figures are ImageNet's, at full width and length:"
        " the sign may carry over, the size need not.",
    )


def _paper(points: float | None) -> str:
    return NOTHING if points is None else f"+{points:.1f}"


def _verdict(added: Difference | None) -> str:
    if added is None or added.over_seeds is None:
        return NOTHING
    return "yes" if added.is_clear else "no"


def other_errors(rows: Sequence[RowResult]) -> Table:
    """Return the other kinds of error, and how the training ended."""
    lines = []
    for row in rows:
        top5 = row.added.get("top5_error")
        one = row.added.get("top1_error_one_patch")
        lines.append(
            Line(
                (
                    row.without,
                    percent(row.mean("top5_error")),
                    _paper(row.claim.top5 if row.claim else None),
                    _with_interval(top5),
                    percent(row.mean("top1_error_one_patch")),
                    _with_interval(one),
                    percent(row.train_error),
                    ", ".join(percent(outcome.error(KINDS[0])) for outcome in row.outcomes.values()),
                ),
                ours=row.name == FULL,
            )
        )
    return Table(
        caption="Means over seeds; added: percentage points, in brackets the 95% interval over seeds",
        header=(
            "taken away",
            "top-5",
            "paper: added",
            "added",
            "top-1, one patch",
            "added",
            "training error",
            "top-1, by seed",
        ),
        rows=tuple(lines),
        note="Training error: of the last epoch's patches, while learning, with dropout on. By seed:"
        " with ten patches, in the order of the seeds.",
    )


def _with_interval(added: Difference | None) -> str:
    if added is None:
        return NOTHING
    bounds = "" if added.over_seeds is None else f" ({pages.interval(added.over_seeds)})"
    return pages.points(added.mean) + bounds


def claims(rows: Sequence[RowResult]) -> Table:
    """Return what the paper says of each row, and which keys take it away here."""
    lines = [
        Line(
            (
                row.without,
                row.claim.words if row.claim else NOTHING,
                ", ".join(f"{key}: {pages.shown(value)}" for key, value in row.values.items()),
            )
        )
        for row in rows
        if row.name != FULL
    ]
    return Table(
        "The paper's words, and the keys", ("taken away", "paper", "here"), tuple(lines), numeric=False
    )


def picture(rows: Sequence[RowResult]) -> Picture:
    """Return the differences with their intervals as a figure."""
    said = [f"{row.without} {pages.points(row.added[KINDS[0]].mean)}" for row in rows if row.added]
    return Picture(
        NAME,
        as_figure(rows, LIGHT),
        "Top-1 error added in percentage points: " + ", ".join(said) + ".",
        dark=as_figure(rows, DARK),
        caption="Top-1 error added, in percentage points.",
        least=480,
    )


def as_figure(rows: Sequence[RowResult], dress: Dress) -> bytes:
    """Draw a line a row: the mean with its interval over seeds, each seed, and the paper's number."""
    drawn = [row for row in rows if row.added]
    with one_axes(dress, DPI, 6.4, 0.9 + 0.34 * max(1, len(drawn))) as (axes, png):
        axes.axvline(0, color=dress.faint, linewidth=1, zorder=0)
        for place, row in enumerate(drawn):
            _draw_row(axes, place, row, dress)
        axes.set_yticks(range(len(drawn)), [row.without for row in drawn])
        axes.set_ylim(len(drawn) - 0.4, -0.6)
        axes.set_xlabel("top-1 error added, percentage points")
        axes.figure.legend(loc="outside upper left", ncols=3, columnspacing=1, handletextpad=0.4)
    return png.getvalue()


def _draw_row(axes: Axes, place: int, row: RowResult, dress: Dress) -> None:
    added = row.added[KINDS[0]]
    first = place == 0
    if added.over_seeds is not None:
        low, high = (100 * bound for bound in added.over_seeds)
        axes.plot([low, high], [place, place], color=dress.middle, linewidth=2.2, zorder=1)
    seeds = [100 * change for change in added.by_seed]
    axes.plot(
        seeds,
        [place] * len(seeds),
        "|",
        color=dress.ink,
        markersize=7,
        label="a pair of equal seeds" if first else None,
    )
    axes.plot(
        100 * added.mean,
        place,
        "o",
        color=dress.top1,
        markersize=5,
        label="mean, 95% interval over seeds" if first else None,
    )
    if row.claim is not None and row.claim.top1 is not None:
        axes.plot(
            row.claim.top1,
            place,
            "D",
            markerfacecolor="none",
            markeredgecolor=dress.top5,
            markersize=6,
            label="paper, ImageNet" if first else None,
        )


def main(
    params: Annotated[Path, typer.Option(help="the table")] = PARAMS,
    recipe: Annotated[Path, typer.Option(help="the parameters of the full recipe")] = options.PARAMS_FILE,
    records: Path = RECORDS,
    runs: Annotated[Path, typer.Option(help="folder of the trainings")] = HERE / "runs",
    evaluated: Annotated[Path, typer.Option(help="folder of the evaluations")] = HERE / "evaluated",
    out: Annotated[Path, typer.Option(help="folder for page, figure and table")] = FOLDER,
) -> None:
    """Write the results of the runs that are finished."""
    table, settings = read(params, Ablations), read(recipe, Evaluate)
    planned = parameters(table, recipe, params)
    labels = open_records(records, "train").labels
    wanted = runs_of(planned, table.seeds)
    outcomes = read_outcomes(wanted, runs, evaluated, settings.ties == "fractional")
    rows = results(table, outcomes, loss_at_chance(labels))
    found, parts = as_page(rows, table, planned[FULL], len(labels))
    publish(out, NAME, TITLE, found, parts)
    with replacing(out / f"{NAME}.csv") as temporary:
        as_table(rows).to_csv(temporary, index=False)
    print(f"ablations: {len(outcomes)} of {len(wanted)} runs are finished: {out / NAME}.html")


if __name__ == "__main__":
    run(main)
