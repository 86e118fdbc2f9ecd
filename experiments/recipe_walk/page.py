"""How long each row of the walk stays at chance: python -m experiments.recipe_walk.page

Chance is the loss of a network that knows how frequent each class is: the entropy of the class frequencies.
Runs that are not finished are left out.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

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
BACK = ", but ended at chance"


# Of the table of finished runs: losses in nats, errors as fractions, of the centre patch.
COLUMNS = ["row", "seed", "epochs", "first_epoch_below_chance", "train_loss", "val_top1_error"]


def read_runs(walk: Walk, rows: Mapping[str, Values], chance: float) -> pd.DataFrame:
    """Return a line per finished run: `COLUMNS`, its losses by epoch, and in words when it left chance."""
    lines = []
    for name, values in rows.items():
        for seed in walk.seeds:
            history = read_history(RUNS / NAME / f"{name}-{seed}", {**values, "train.seed": seed})
            if history is not None:
                losses, error = history["train_loss"].tolist(), history["val_top1_error"].iloc[-1]
                below = [is_below_chance(loss, chance) for loss in losses]
                end = below.index(True) + 1 if True in below else None
                told = f"{end}{'' if below[-1] else BACK}" if end else f"not within {len(losses)}"
                lines.append((name, seed, len(losses), end, losses[-1], error, losses, told))
    runs = pd.DataFrame(lines, columns=[*COLUMNS, "losses", "told"])
    return runs.astype({"first_epoch_below_chance": "Int64"})


def as_page(
    walk: Walk,
    rows: Mapping[str, Values],
    runs: pd.DataFrame,
    signals: pd.DataFrame,
    chance: float,
    pictures: int,
    name: str = NAME,
) -> tuple[str, list[Part]]:
    """Return what was found in short, and the parts of the page `name`.

    `signals` is what `experiments.recipe_walk.signal` measured, by row; trained on were so many `pictures`.
    """
    epochs, done, ends = walk.alike["train.epochs"], len(runs), runs["first_epoch_below_chance"]
    left = ends.notna().groupby(runs["row"], sort=False).any()
    at_chance = left.index[~left]
    finished = set(runs["row"] + "-" + runs["seed"].astype(str))
    missing = [run for name in rows for seed in walk.seeds if (run := f"{name}-{seed}") not in finished]
    back = int(runs["told"].str.endswith(BACK).sum())
    found = f"{ends.count() - back} of {done} runs end with more learnt than the class frequencies, after"
    found += f" {epochs} epochs{f'; {back} more left chance and came back' if back else ''}."
    if len(at_chance):
        found += f" No run of {', '.join(at_chance)} ever left chance."
    return found, [
        f"From `{walk.start}` to `{walk.goal.profile}`; each row says what it changes."
        f" {pages.count(pictures, 'training picture')}, {epochs} epochs,"
        f" {pages.count(len(walk.seeds), 'seed')} a row: {done} of {len(rows) * len(walk.seeds)} runs are"
        f" finished{' (not ' + ', '.join(missing) + ')' if missing else ''}."
        f"{' A run whose loss becomes no number does not finish.' if missing else ''}",
        "The row before is the one under “after”. A network that knows how frequent each class is, and"
        f" nothing else, has a loss of {chance:.3f}: it is at chance. A run leaves chance in the first epoch"
        f" whose mean training loss is {TOLERANCE:.0%} below. The signal is how far fc8's outputs differ"
        " between pictures before training (their standard deviation), at width 1 and as trained here.",
        table_of(
            table_of_rows(rows, runs, signals),
            "The rows of the walk",
            numeric=False,
            note="Losses and errors: mean over the finished seeds (lowest to highest); errors are of the"
            " centre patch after the last epoch.",
        ),
        pages.figure(
            name,
            lambda theme: draw(rows, runs, chance, epochs, theme),
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


def table_of_rows(rows: Mapping[str, Values], runs: pd.DataFrame, signals: pd.DataFrame) -> pd.DataFrame:
    lines: list[dict[str, str]] = []
    all_changes = changes_of(rows)
    for name in rows:
        before = row_before(name, rows) if lines else ""
        own = runs[runs["row"] == name]
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
                "chance left in epoch, by seed": "; ".join(own["told"]) or "not finished",
                "than the row before": _compared(own, runs[runs["row"] == before]),
                "last training loss": _spread(own["train_loss"].tolist(), "{:.2f}".format),
                "validation error": _spread(own["val_top1_error"].tolist(), percent),
            }
        )
    return pd.DataFrame(lines)


def changes_of(rows: Mapping[str, Values]) -> dict[str, Values]:
    """Return what each row but the first has otherwise than the row before it."""
    return {name: differing(rows[name], rows[row_before(name, rows)]) for name in list(rows)[1:]}


def _compared(own: pd.DataFrame, before: pd.DataFrame) -> str:
    pairs = own.merge(before, on="seed")[["first_epoch_below_chance_x", "first_epoch_below_chance_y"]]
    now, then = pairs.astype(float).fillna(math.inf).to_numpy().T
    if 1 < len(pairs) == len(own) == len(before) and ((now < then).all() or (now > then).all()):
        return f"{'sooner' if now[0] < then[0] else 'later'} with every seed"
    return ""


def _spread(values: Sequence[float], form: Callable[[float], str]) -> str:
    return f"{form(pages.mean(values))} ({form(min(values))} to {form(max(values))})" if values else ""


def draw(rows: Iterable[str], runs: pd.DataFrame, chance: float, epochs: int, theme: Theme) -> bytes:
    """Draw a panel per row."""
    names = list(rows)
    down = math.ceil(len(names) / ACROSS)
    with canvas(theme, pages.DPI, 2.1 * ACROSS, 1.6 * down) as (figure, png):
        panels = figure.subplots(down, ACROSS, sharex=True, sharey=True, squeeze=False).flatten()
        for name, panel in zip(names, panels, strict=False):
            panel.set_facecolor("none")
            panel.axhline(chance, color=theme.train, linestyle=":", linewidth=1)
            for losses in runs.loc[runs["row"] == name, "losses"]:
                panel.plot(range(1, len(losses) + 1), losses, color=theme.top1, linewidth=1)
            panel.set_title(name, fontsize=9.5, loc="left")
        for panel in panels[len(names) :]:
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
    pages.write(name, PAGES.get(name, PAGES[NAME])[0], found, parts, runs[COLUMNS])


if __name__ == "__main__":
    run(main)
