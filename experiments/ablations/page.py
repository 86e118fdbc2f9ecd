"""What each thing taken away adds to the error, beside what the paper says: python -m experiments.ablations.page

Runs that are not finished are left out, so that the page shows at any time what is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from alexnet.core.errors import UserError
from alexnet.core.params import read
from alexnet.core.stage import PARAMS_FILE, RECORDS, run
from alexnet.evaluation.params import Evaluate
from alexnet.report.canvas import Dress, one_axes
from alexnet.report.markup import table
from alexnet.report.page import Part
from alexnet.report.text import NOTHING, enumerated, percent, points
from alexnet.store.records import open_records
from alexnet.training.chance import is_below_chance, loss_at_chance
from experiments.ablations.rows import FULL, Ablations, Claim, Row, plan
from experiments.shared import pages
from experiments.shared.outcomes import KINDS, Outcome, read_outcomes
from experiments.shared.paired import Difference, Verdict, difference
from experiments.shared.plans import RUNS, Values

NAME, TITLE = "ablations", "What each part of the recipe is worth"
TOP1, TOP5, ONE_PATCH, _ = KINDS
SENTENCES: dict[Verdict, str] = {
    "more": "Larger than noise: taking away {} adds errors.",
    "fewer": "Larger than noise, the other way: without {} there are fewer errors.",
    "unclear": "Not told from noise by this number of seeds and pictures: {}.",
    "one seed": "Of a single seed, so there is no verdict: {}.",
    "no spread": "The same difference with every seed, so there is no interval over seeds and no verdict: {}.",
}


@dataclass(frozen=True)
class RowResult:
    """A row's finished runs.

    Attributes:
        outcomes: by seed.
        added: for each kind of error, what the row has more of than the full recipe over the seeds that
            both have finished; empty without any, and for the full recipe.
    """

    name: str
    row: Row
    outcomes: dict[int, Outcome]
    added: dict[str, Difference]

    @property
    def claim(self) -> Claim:
        return self.row.claim or Claim(words=NOTHING)

    def mean(self, kind: str) -> float:
        """Return the mean error over the finished seeds, NaN without any."""
        return pages.mean([outcome.error(kind) for outcome in self.outcomes.values()])

    @property
    def train_error(self) -> float:
        """The mean error of the last epoch's patches over the finished seeds, NaN without any."""
        return pages.mean([outcome.train_error for outcome in self.outcomes.values()])


def results(settings: Ablations, outcomes: Mapping[str, Outcome]) -> list[RowResult]:
    """Return the results of all rows in order."""
    by_row = {
        name: {seed: outcomes[run] for seed in settings.seeds if (run := f"{name}-{seed}") in outcomes}
        for name in settings.run
    }
    rows, full = [], by_row[FULL]
    for name, own in by_row.items():
        pairs = [] if name == FULL else sorted(own.keys() & full.keys())
        added = {
            kind: difference(
                [own[seed].wrong[kind] for seed in pairs], [full[seed].wrong[kind] for seed in pairs]
            )
            for kind in KINDS
            if pairs
        }
        rows.append(RowResult(name, settings.rows[name], own, added))
    return rows


def table_of_runs(rows: Sequence[RowResult]) -> pd.DataFrame:
    """Return a line per finished run."""
    lines = [
        (row.name, seed, *map(outcome.error, KINDS), outcome.train_error, outcome.train_loss, outcome.epochs)
        for row in rows
        for seed, outcome in row.outcomes.items()
    ]
    return pd.DataFrame(lines, columns=["row", "seed", *KINDS, "train_error", "train_loss", "epochs"])


def as_page(
    rows: Sequence[RowResult], settings: Ablations, full: Values, chance: float, pictures: int
) -> tuple[str, list[Part]]:
    """Return what was found in short, and the page's parts.

    Args:
        full: the full recipe's parameters, with dotted keys.
        chance: the loss, in nats, of guessing by class frequency.
        pictures: how many were trained on.

    Raises:
        UserError: no run is finished.
    """
    finished, planned = sum(len(row.outcomes) for row in rows), len(rows) * len(settings.seeds)
    evaluated = next((outcome.predictions for row in rows for outcome in row.outcomes.values()), None)
    if evaluated is None:
        raise UserError(
            f"{RUNS / NAME}: no run is finished yet; run dvc repro --keep-going experiments/{NAME}/dvc.yaml"
        )
    found = reading(rows, chance)
    changed = {row.name: pages.listed(row.row.values) for row in rows}
    return " ".join(sentence for sentence in found if sentence.startswith("Larger")) or found[0], [
        f"{pages.count(pictures, 'training picture')} of {len(evaluated.classes)} classes,"
        f" {full['train.epochs']} epochs at width {full['model.width']:g}, errors on the {len(evaluated):,}"
        f" pictures of {evaluated.split}; {pages.count(len(settings.seeds), 'seed')} a row. {finished} of"
        f" {planned} runs are finished.",
        "\n".join(f"- {sentence}" for sentence in found),
        "## Error added by taking it away",
        added_table(rows),
        pages.figure(
            NAME,
            lambda dress: draw(rows, dress),
            "Top-1 error added in percentage points: "
            + ", ".join(f"{row.row.without} {points(row.added[TOP1].mean)}" for row in rows if row.added)
            + ".",
            "Top-1 error added, in percentage points.",
        ),
        "## Top-5, one patch, and the training itself",
        other_errors(rows),
        "## What the paper says",
        table(
            ("taken away", "paper", "here"),
            [(row.row.without, row.claim.words, changed[row.name]) for row in rows if row.name != FULL],
            "The paper's words, and the keys",
            numeric=False,
        ),
        *pages.how_it_was_made(
            NAME,
            NAME,
            pages.settings("What all rows have alike, instead of params.yaml", settings.alike),
            pages.settings("The full recipe", full),
        ),
    ]


def reading(rows: Sequence[RowResult], chance: float) -> list[str]:
    """Say which differences are larger than noise."""
    verdicts = {row.row.without: row.added[TOP1].verdict for row in rows if row.added}
    notes = [
        sentence.format(enumerated(those))
        for verdict, sentence in SENTENCES.items()
        if (those := [name for name, own in verdicts.items() if own == verdict])
    ]
    if not verdicts:
        notes.append("No row can be compared with the full recipe yet: no seed of both is finished.")
    full = next(row for row in rows if row.name == FULL)
    if full.outcomes:
        notes.append(
            f"The full recipe ends with {percent(full.train_error)} errors on the patches it learns from, with"
            f" dropout on, and {percent(full.mean(TOP1))} on the evaluated pictures."
        )
    if judged := sum(verdict in ("more", "fewer", "unclear") for verdict in verdicts.values()):
        notes.append(
            "A difference is called larger than noise when 0 lies outside both its 95% intervals. Each interval"
            f" misses once in twenty, so a false verdict is possible among {pages.count(judged, 'row')}."
        )
    flat = {
        row.row.without: sum(not is_below_chance(one.train_loss, chance) for one in row.outcomes.values())
        for row in rows
    }
    if runs := [f"{name} ({pages.count(number, 'run')})" for name, number in flat.items() if number]:
        notes.append(f"At chance, the loss of guessing by class frequency, at the end: {enumerated(runs)}.")
    return notes


def added_table(rows: Sequence[RowResult]) -> str:
    """Return the paper's difference beside ours, top-1 with ten patches."""
    lines = []
    for row in rows:
        found = [NOTHING] * 4
        if added := row.added.get(TOP1):
            clear = {"more": "yes", "fewer": "yes", "unclear": "no"}.get(added.verdict, NOTHING)
            intervals = map(pages.interval, (added.over_seeds, added.over_pictures))
            found = [points(added.mean), *intervals, clear]
        lines.append((row.row.without, _paper(row.claim.top1), percent(row.mean(TOP1)), *found))
    return table(
        ("taken away", "paper", "error", "added", "over seeds", "over pictures", "clear"),
        lines,
        "Top-1 error with ten patches; added: percentage points more than the full recipe",
        "95% intervals. Over seeds: Student's t of the paired differences, for other seeds and these pictures. Over"
        " pictures: paired bootstrap of the mean over seeds, for other pictures and these networks. Clear: 0 is in"
        " neither. The paper's figures are ImageNet's, at full width and length.",
        ours=[number for number, row in enumerate(rows) if row.name == FULL],
    )


def other_errors(rows: Sequence[RowResult]) -> str:
    """Return the other kinds of error, and how the training ended."""
    lines = [
        (
            row.row.without,
            percent(row.mean(TOP5)),
            _paper(row.claim.top5),
            _added(row, TOP5),
            percent(row.mean(ONE_PATCH)),
            _added(row, ONE_PATCH),
            percent(row.train_error),
            ", ".join(percent(outcome.error(TOP1)) for outcome in row.outcomes.values()),
        )
        for row in rows
    ]
    return table(
        (
            "taken away",
            "top-5",
            "paper: added",
            "added",
            "top-1, one patch",
            "added",
            "training error",
            "by seed",
        ),
        lines,
        "Means over seeds; added: percentage points, in brackets the 95% interval over seeds",
        "Training error: of the last epoch's patches, while learning, with dropout on. By seed: top-1 with ten"
        " patches, in the order of the seeds.",
        ours=[number for number, row in enumerate(rows) if row.name == FULL],
    )


def _paper(added: float | None) -> str:
    return NOTHING if added is None else f"+{added:.1f}"


def _added(row: RowResult, kind: str) -> str:
    added = row.added.get(kind)
    if added is None:
        return NOTHING
    return points(added.mean) + (f" ({pages.interval(added.over_seeds)})" if added.over_seeds else "")


def draw(rows: Sequence[RowResult], dress: Dress) -> bytes:
    """Draw a line per row: the mean with its interval over seeds, each seed, and the paper's number."""
    drawn = [row for row in rows if row.added]
    with one_axes(dress, pages.DPI, 6.4, 0.9 + 0.34 * max(1, len(drawn))) as (axes, png):
        axes.axvline(0, color=dress.faint, linewidth=1, zorder=0)
        for place, row in enumerate(drawn):
            _draw_row(axes, place, row, dress)
        axes.set_yticks(range(len(drawn)), [row.row.without for row in drawn])
        axes.set_ylim(len(drawn) - 0.4, -0.6)
        axes.set_xlabel("top-1 error added, percentage points")
        axes.figure.legend(loc="outside upper left", ncols=3, columnspacing=1, handletextpad=0.4)
    return png.getvalue()


def _draw_row(axes: Axes, place: int, row: RowResult, dress: Dress) -> None:
    added, first = row.added[TOP1], place == 0
    seeds = [100 * change for change in added.by_seed]
    if added.over_seeds is not None:
        bounds = [100 * bound for bound in added.over_seeds]
        axes.plot(bounds, [place] * 2, color=dress.middle, linewidth=2.2, zorder=1)
    label = "a pair of equal seeds" if first else None
    axes.plot(seeds, [place] * len(seeds), "|", color=dress.ink, markersize=7, label=label)
    label = "mean, 95% interval over seeds" if first else None
    axes.plot(100 * added.mean, place, "o", color=dress.top1, markersize=5, label=label)
    if row.claim.top1 is not None:
        label, edge = "paper, ImageNet" if first else None, dress.top5
        style = {"markerfacecolor": "none", "markeredgecolor": edge, "markersize": 6}
        axes.plot(row.claim.top1, place, "D", label=label, **style)


def main() -> None:
    """Write the results of the runs that are finished."""
    settings, planned = plan()
    share_ties = read(PARAMS_FILE, Evaluate).ties == "fractional"
    outcomes = read_outcomes(planned, RUNS / NAME, share_ties)
    labels = open_records(RECORDS, "train").labels
    rows = results(settings, outcomes)
    full = planned[f"{FULL}-{settings.seeds[0]}"]
    found, parts = as_page(rows, settings, full, loss_at_chance(labels), len(labels))
    pages.write(NAME, TITLE, found, parts, table_of_runs(rows))


if __name__ == "__main__":
    run(main)
