"""How long each row of the walk stays at chance: python -m experiments.recipe_walk.page

Chance is the loss of a network that knows how frequent each class is: the entropy of the class frequencies.
Runs that are not finished are left out.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.ticker import MaxNLocator

from alexnet.core.files import read_csv
from alexnet.core.places import RECORDS
from alexnet.core.stage import run
from alexnet.report.canvas import Theme, canvas
from alexnet.report.markup import table_of
from alexnet.report.page import Part
from alexnet.report.text import percent
from alexnet.store.records import open_records
from alexnet.training.chance import TOLERANCE, is_below_chance, loss_at_chance
from experiments.recipe_walk.signal import OUT
from experiments.recipe_walk.walk import Walk, plan, row_before
from experiments.shared import pages
from experiments.shared.outcomes import read_history
from experiments.shared.plans import RUNS, Values, differing

NAME = "recipe_walk"
# The title of each page, and its plan.
PAGES = {
    NAME: ("Which of the published settings trains?", "params.yaml"),
    "recipe_walk_full_width": ("Do the published recipes train at full width?", "full_width.yaml"),
}
ACROSS = 4
# The most settings that the table lists for a row.
LISTED = 3


@dataclass(frozen=True)
class Run:
    """The training loss of each epoch, the last validation error of the centre patch, and the loss of chance.

    Losses are in nats, the error is a fraction.
    """

    losses: list[float]
    error: float
    chance: float

    @property
    def end(self) -> int | None:
        """The first epoch (from 1) whose loss is below chance, or None."""
        below = (epoch for epoch, loss in enumerate(self.losses, 1) if is_below_chance(loss, self.chance))
        return next(below, None)

    def __str__(self) -> str:
        if self.end is None:
            return f"not within {len(self.losses)}"
        came_back = not is_below_chance(self.losses[-1], self.chance)
        return f"{self.end}{', but ended at chance' if came_back else ''}"


# The finished runs of each row, by seed.
Runs = Mapping[str, Mapping[int, Run]]


def read_runs(walk: Walk, rows: Mapping[str, Values], chance: float) -> Runs:
    runs: dict[str, dict[int, Run]] = {name: {} for name in rows}
    for name, values in rows.items():
        for seed in walk.seeds:
            history = read_history(RUNS / NAME / f"{name}-{seed}", {**values, "train.seed": seed})
            if history is not None:
                error = float(history["val_top1_error"].iloc[-1])
                runs[name][seed] = Run(history["train_loss"].tolist(), error, chance)
    return runs


def table_of_runs(runs: Runs) -> pd.DataFrame:
    lines = [
        (name, seed, len(one.losses), one.end, one.losses[-1], one.error)
        for name, own in runs.items()
        for seed, one in own.items()
    ]
    columns = ["row", "seed", "epochs", "first_epoch_below_chance", "train_loss", "val_top1_error"]
    return pd.DataFrame(lines, columns=columns).astype({"first_epoch_below_chance": "Int64"})


def as_page(
    walk: Walk,
    rows: Mapping[str, Values],
    runs: Runs,
    signals: pd.DataFrame,
    chance: float,
    pictures: int,
    name: str = NAME,
) -> tuple[str, list[Part]]:
    """Return what was found in short, and the parts of the page `name`.

    `signals` is what `experiments.recipe_walk.signal` measured, by row; trained on were so many `pictures`.
    """
    ends = table_of_runs(runs).set_index("row")["first_epoch_below_chance"]
    epochs, done = walk.alike["train.epochs"], len(ends)
    at_chance = [name for name, own in runs.items() if own and ends[[name]].isna().all()]
    missing = [f"{name}-{seed}" for name in rows for seed in walk.seeds if seed not in runs[name]]
    found = f"{ends.count()} of {done} runs learn more than the class frequencies within {epochs} epochs."
    if at_chance:
        found += f" None of the runs of {', '.join(at_chance)} does."
    return found, [
        f"From `{walk.start}` to `{walk.goal.profile}`; each row says what it changes."
        f" {pages.count(pictures, 'training picture')}, {epochs} epochs,"
        f" {pages.count(len(walk.seeds), 'seed')} a row: {done} of {len(rows) * len(walk.seeds)} runs are"
        f" finished{' (not ' + ', '.join(missing) + ')' if missing else ''}.",
        "A network that knows how frequent each class is, and nothing else, has a loss of"
        f" {chance:.3f}: it is at chance. A run leaves chance in the first epoch whose mean training loss is"
        f" {TOLERANCE:.0%} below. The signal is how far fc8's outputs differ between pictures before training"
        " (their standard deviation), at width 1 and as trained here.",
        table_of(
            table_of_rows(rows, runs, signals),
            "The rows of the walk",
            numeric=False,
            note="Losses and errors: mean over the finished seeds (lowest to highest); errors are of the"
            " centre patch after the last epoch.",
        ),
        pages.figure(
            name,
            lambda theme: draw(runs, chance, epochs, theme),
            f"Training loss of every row over {epochs} epochs; dotted: chance at {chance:.3f} nats.",
            "Training loss of every row, a line per seed; dotted: chance.",
        ),
        *pages.how_it_was_made(
            NAME,
            name,
            *(
                pages.settings(f"What {name} changes", changed)
                for name, changed in changes_of(rows).items()
                if len(changed) > LISTED
            ),
            pages.settings("What all rows have alike", walk.alike),
            plan=PAGES.get(name, PAGES[NAME])[1],
        ),
    ]


def table_of_rows(rows: Mapping[str, Values], runs: Runs, signals: pd.DataFrame) -> pd.DataFrame:
    lines: list[dict[str, str]] = []
    all_changes = changes_of(rows)
    for name, own in runs.items():
        before = row_before(name, rows) if lines else ""
        changed = all_changes.get(name, {})
        changes = pages.listed(changed) if len(changed) <= LISTED else f"{len(changed)} settings, see below"
        full, here = signals.loc[name, ["signal_at_width_1", "signal"]] if name in signals.index else ("", "")
        lines.append(
            {
                "row": name,
                "after": before,
                "changes": changes if before else "as printed",
                "signal at width 1": full if full == "" else f"{full:.2g}",
                "here": here if here == "" else f"{here:.2g}",
                "chance left in epoch, by seed": "; ".join(map(str, own.values())) or "not finished",
                "": _compared(own, runs[before]) if before else "",
                "last training loss": _spread([one.losses[-1] for one in own.values()], "{:.2f}".format),
                "validation error": _spread([one.error for one in own.values()], percent),
            }
        )
    return pd.DataFrame(lines)


def changes_of(rows: Mapping[str, Values]) -> dict[str, Values]:
    """Return what each row but the first has otherwise than the row before it."""
    return {name: differing(rows[name], rows[row_before(name, rows)]) for name in list(rows)[1:]}


def _compared(own: Mapping[int, Run], before: Mapping[int, Run]) -> str:
    pairs = [(own[seed].end or math.inf, before[seed].end or math.inf) for seed in own.keys() & before.keys()]
    told = {"sooner" if now < then else "later" if now > then else "" for now, then in pairs}
    return f"{told.pop()} with every seed" if told in ({"sooner"}, {"later"}) else ""


def _spread(values: Sequence[float], form: Callable[[float], str]) -> str:
    return f"{form(pages.mean(values))} ({form(min(values))} to {form(max(values))})" if values else ""


def draw(runs: Runs, chance: float, epochs: int, theme: Theme) -> bytes:
    down = math.ceil(len(runs) / ACROSS)
    with canvas(theme, pages.DPI, 2.1 * ACROSS, 1.6 * down) as (figure, png):
        panels = figure.subplots(down, ACROSS, sharex=True, sharey=True, squeeze=False).flatten()
        for (name, own), panel in zip(runs.items(), panels, strict=False):
            panel.set_facecolor("none")
            panel.axhline(chance, color=theme.train, linestyle=":", linewidth=1)
            for one in own.values():
                panel.plot(range(1, len(one.losses) + 1), one.losses, color=theme.top1, linewidth=1)
            panel.set_title(name, fontsize=9.5, loc="left")
        for panel in panels[len(runs) :]:
            panel.set_visible(False)
        panels[0].set_xlim(0.5, epochs + 0.5)
        panels[0].set_ylim(0, 1.25 * chance)
        panels[0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
        figure.supxlabel("epoch", fontsize=9.5)
        figure.supylabel("training loss, nats", fontsize=9.5)
    return png.getvalue()


def main(name: pages.Name = NAME) -> None:
    """Write the page with the results of the finished runs."""
    walk, rows = plan()
    labels = open_records(RECORDS, "train").labels
    chance = loss_at_chance(labels)
    runs = read_runs(walk, rows, chance)
    signals = read_csv(OUT, index_col="row") if OUT.exists() else pd.DataFrame()
    found, parts = as_page(walk, rows, runs, signals, chance, len(labels), name)
    pages.write(name, PAGES.get(name, PAGES[NAME])[0], found, parts, table_of_runs(runs))


if __name__ == "__main__":
    run(main)
