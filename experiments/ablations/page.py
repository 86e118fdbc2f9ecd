"""What each thing taken away adds to the error: python -m experiments.ablations.page

Runs that are not finished are left out, so that the page shows at any time what is known.
"""

import math
import textwrap
from collections.abc import Mapping

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.core.params import read
from alexnet.core.places import PARAMS_FILE, RECORDS
from alexnet.core.stage import run
from alexnet.evaluation.params import Evaluate
from alexnet.evaluation.predictions import KINDS
from alexnet.report.canvas import Theme, one_axes
from alexnet.report.markup import table_of
from alexnet.report.page import Part
from alexnet.report.text import NOTHING, enumerated, percent, points
from alexnet.store.records import open_records
from alexnet.training.chance import is_below_chance, loss_at_chance
from experiments.ablations.rows import FULL, Ablations, plan
from experiments.shared import pages
from experiments.shared.outcomes import Outcome, read_outcomes
from experiments.shared.paired import Difference, Verdict, difference, surviving
from experiments.shared.plans import RUNS, Values, differing, planned

NAME = "ablations"
TITLE = "What each part of the recipe is worth"
# The title of each page, and its plan.
PAGES = {
    NAME: (TITLE, "params.yaml"),
    "ablations_tiny_imagenet": (f"{TITLE}: 25,000 photographs of Tiny ImageNet", "tiny_imagenet.yaml"),
    "ablations_tiny_imagenet_layers": (
        f"{TITLE}: more rows on 25,000 photographs of Tiny ImageNet",
        "tiny_imagenet_layers.yaml",
    ),
}
TOP1, TOP5, ONE_PATCH, _ = KINDS
SENTENCES: dict[Verdict, str] = {
    "more": "Larger than noise, each by itself: the error rises without {}.",
    "fewer": "Larger than noise, each by itself: the error falls without {}.",
    "unclear": "Not told from noise by this number of seeds and pictures: {}.",
    "one seed": "Of a single seed, so there is no verdict: {}.",
    "no spread": "The same difference with every seed, so there is no interval and no verdict: {}.",
}
CLEAR: dict[Verdict, str] = {"more": "yes", "fewer": "yes", "unclear": "no"}
NOTE = (
    "The intervals cover 95%. Over seeds, they are Student's t of the paired differences, and hold for other"
    " seeds and the same pictures. Over pictures, they are a paired bootstrap of the mean over seeds, and"
    " hold for other pictures and the same networks. A row is clear if 0 is in neither, and it survives"
    " Holm's correction over the rows. Added is a mean over the seeds that are finished for the row and for"
    " the full recipe; the error is a mean over all that are finished. The paper's figures are from its"
    " training on ImageNet."
)
PRINTED_RECIPE = "profiles/imagenet-2012-paper.yaml"
# What the page says anyway, and the seed.
SAID = ("train.seed", "train.epochs", "model.width")
# Of a row and a kind of error: what the row has more of than the full recipe.
Added = Mapping[tuple[str, str], Difference]


def table_of_runs(settings: Ablations, outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """Return a line per finished run: its errors, and error and loss (nats) of its last epoch's patches."""
    lines = []
    for name in settings.run:
        for seed in settings.seeds:
            if one := outcomes.get(f"{name}-{seed}"):
                errors, last = (one.wrong[kind].mean() for kind in KINDS), one.history.iloc[-1]
                trained = last["train_error"], last["train_loss"], len(one.history)
                lines.append((name, seed, *errors, *trained))
    return pd.DataFrame(lines, columns=["row", "seed", *KINDS, "train_error", "train_loss", "epochs"])


def compare(settings: Ablations, outcomes: Mapping[str, Outcome]) -> Added:
    """Compare the rows with the full recipe over the seeds that both have finished; without any, not."""
    added = {}
    for name in settings.run:
        seeds = [seed for seed in settings.seeds if {f"{name}-{seed}", f"{FULL}-{seed}"} <= outcomes.keys()]
        for kind in KINDS if seeds and name != FULL else ():
            one, full = ([outcomes[f"{row}-{seed}"].wrong[kind] for seed in seeds] for row in (name, FULL))
            added[name, kind] = difference(one, full)
    return added


def verdicts_of(added: Added) -> dict[str, Verdict]:
    """Return each row's verdict on its top-1 error, with Holm's correction over the rows."""
    compared = {name: found for (name, kind), found in added.items() if kind == TOP1}
    left = surviving({name: found.p_value for name, found in compared.items() if found.over_seeds})
    return {
        name: "unclear" if found.verdict in ("more", "fewer") and name not in left else found.verdict
        for name, found in compared.items()
    }


def as_page(
    settings: Ablations,
    outcomes: Mapping[str, Outcome],
    full: Values,
    chance: float,
    pictures: int,
    name: str = NAME,
) -> tuple[str, list[Part]]:
    """Return what was found in short, and the parts of the page `name`; refuse to without a finished run.

    `full` are the full recipe's parameters, with dotted keys; `chance` is the loss, in nats, of guessing by
    class frequency; trained on were so many `pictures`.
    """
    if not outcomes:
        raise UserError(f"{RUNS / NAME}: no run is finished yet; run python -m experiments.run {NAME}")
    evaluated = next(iter(outcomes.values())).predictions
    runs, added = table_of_runs(settings, outcomes), compare(settings, outcomes)
    found, rows = reading(settings, runs, added, chance), table_of_rows(settings, runs, added)
    departures = [key for key in differing(full, planned([PRINTED_RECIPE])) if key not in SAID]
    told = "Apart from width and epochs, the full recipe differs from the printed one in"
    return " ".join(sentence for sentence in found if sentence.startswith("Larger")) or found[0], [
        f"{pages.count(pictures, 'training picture')} of {len(evaluated.classes)} classes,"
        f" {full['train.epochs']} epochs at width {full['model.width']:g}, errors on the {len(evaluated):,}"
        f" pictures of {evaluated.split}. With {pages.count(len(settings.seeds), 'seed')} a row,"
        f" {len(outcomes)} of {len(settings.run) * len(settings.seeds)} runs are finished."
        f" {f'{told} {enumerated(departures)}.' if departures else ''}",
        "\n".join(f"- {sentence}" for sentence in found),
        "## Error added by taking it away",
        table_of(
            rows[["taken away", "paper", "error", "added", "over seeds", "over pictures", "clear"]],
            "Top-1 error with ten patches; added: percentage points more than the full recipe",
            note=NOTE,
        ),
        pages.figure(
            name,
            lambda theme: draw(settings, added, theme),
            f"Top-1 error added in percentage points: {', '.join(rows['taken away'] + ' ' + rows['added'])}.",
            "Top-1 error added, in percentage points.",
        ),
        "## Top-5, one patch, and the training itself",
        table_of(
            rows[["taken away", *rows.columns[7:14]]],
            "Means over seeds; added: percentage points, in brackets the 95% interval over seeds",
            note="Training error: of the last epoch's patches, while learning, with the row's dropout. By"
            " seed: top-1 with ten patches, in the order of the seeds.",
        ),
        "## What the paper says",
        table_of(
            rows[["taken away", "in the paper", "keys"]], "The paper's words, and the keys", numeric=False
        ),
        *pages.how_it_was_made(
            NAME,
            name,
            pages.settings("Common to all rows, instead of the values in params.yaml", settings.alike),
            pages.settings("The full recipe", full),
            plan=PAGES.get(name, PAGES[NAME])[1],
        ),
    ]


def _size(found: Difference) -> str:
    seeds = pages.count(len(found.by_seed), "seed")
    between = f", {pages.interval(found.over_seeds)}" if found.over_seeds else ""
    return f"{points(found.mean)} points{between} over {seeds}"


def reading(settings: Ablations, runs: pd.DataFrame, added: Added, chance: float) -> list[str]:
    names, verdicts = {name: row.without for name, row in settings.rows.items()}, verdicts_of(added)
    those: dict[Verdict, list[str]] = {}
    for name, verdict in verdicts.items():
        those.setdefault(verdict, []).append(f"{names[name]} ({_size(added[name, TOP1])})")
    notes = [
        text.format(enumerated(those[verdict])) for verdict, text in SENTENCES.items() if verdict in those
    ]
    if not verdicts:
        notes.append("No row can be compared with the full recipe yet: no seed of both is finished.")
    full = runs[runs["row"] == FULL].mean(numeric_only=True)
    if not math.isnan(full[TOP1]):
        notes.append(
            f"The full recipe ends with {percent(full['train_error'])} errors on the patches it learns from,"
            f" with dropout on. On the evaluated pictures, it has {percent(full[ONE_PATCH])} with one patch"
            f" and {percent(full[TOP1])} with ten."
        )
    if judged := sum(verdict in CLEAR for verdict in verdicts.values()):
        notes.append(
            "A difference is called larger than noise when 0 lies outside both its 95% intervals and"
            " Student's test over the seeds is significant with Holm's correction for"
            f" {pages.count(judged, 'row')}."
        )
    if left_out := [without for name, without in names.items() if name not in settings.run]:
        notes.append(f"Rows that are not in this plan take away: {'; '.join(left_out)}.")
    stuck = runs[[not is_below_chance(loss, chance) for loss in runs["train_loss"]]]["row"]
    if len(stuck):
        told = [
            f"{names[row]} ({pages.count(number, 'run')})"
            for row, number in stuck.value_counts(sort=False).items()
        ]
        notes.append(
            f"At chance or above it, the loss of guessing by class frequency, at the end: {enumerated(told)}."
        )
    return notes


def table_of_rows(settings: Ablations, runs: pd.DataFrame, added: Added) -> pd.DataFrame:
    means, lines = runs.groupby("row").mean(numeric_only=True).reindex(settings.run), []
    verdicts = verdicts_of(added)
    for name in settings.run:
        row, found = settings.rows[name], added.get((name, TOP1))
        lines.append(
            {
                "taken away": row.without,
                "paper": f"{row.claim.exactly} {_paper(row.claim.top1)}".strip(),
                "error": percent(means[TOP1][name]),
                "added": points(found.mean) if found else NOTHING,
                "over seeds": pages.interval(found.over_seeds if found else None),
                "over pictures": pages.interval(found.over_pictures if found else None),
                "clear": CLEAR.get(verdicts[name], NOTHING) if found else NOTHING,
                "top-5": percent(means[TOP5][name]),
                "top-5, paper": _paper(row.claim.top5),
                "top-5 added": _added(added.get((name, TOP5))),
                "one patch": percent(means[ONE_PATCH][name]),
                "one patch added": _added(added.get((name, ONE_PATCH))),
                "training error": percent(means["train_error"][name]),
                "by seed": ", ".join(map(percent, runs[runs["row"] == name][TOP1])),
                "in the paper": row.claim.words,
                "keys": pages.listed(row.values),
            }
        )
    return pd.DataFrame(lines)


def _paper(added: float | None) -> str:
    return NOTHING if added is None else f"+{added:.1f}"


def _added(found: Difference | None) -> str:
    if found is None:
        return NOTHING
    return points(found.mean) + (f" ({pages.interval(found.over_seeds)})" if found.over_seeds else "")


def draw(settings: Ablations, added: Added, theme: Theme) -> bytes:
    drawn = {row: found for (row, kind), found in added.items() if kind == TOP1}
    names = [textwrap.fill(settings.rows[row].without, 36) for row in drawn]
    lines = sum(2 + name.count("\n") for name in names)
    with one_axes(theme, pages.DPI, 6.4, 0.9 + 0.17 * max(2, lines)) as (axes, png):
        axes.axvline(0, color=theme.faint, linewidth=1, zorder=0)
        for place, found in enumerate(drawn.values()):
            if found.over_seeds:
                bounds = [100 * bound for bound in found.over_seeds]
                axes.plot(bounds, [place] * 2, color=theme.middle, linewidth=2.2, zorder=1)
        seeds = [(100 * one, place) for place, found in enumerate(drawn.values()) for one in found.by_seed]
        means = [(100 * found.mean, place) for place, found in enumerate(drawn.values())]
        claims = [(settings.rows[row].claim.top1, place) for place, row in enumerate(drawn)]
        for dots, marker, colour, size, label in (
            (seeds, "|", theme.ink, 7, "a pair of equal seeds"),
            (means, "o", theme.top1, 5, "mean, 95% interval over seeds"),
            ([(x, y) for x, y in claims if x is not None], "d", theme.top5, 5, "paper, ImageNet"),
        ):
            across, down = [x for x, _ in dots], [y for _, y in dots]
            axes.plot(across, down, marker, color=colour, markersize=size, label=label)
        axes.set_yticks(range(len(drawn)), names)
        axes.set_ylim(len(drawn) - 0.4, -0.6)
        axes.set_xlabel("top-1 error added, percentage points")
        axes.figure.legend(loc="outside upper left", ncols=3, columnspacing=1, handletextpad=0.4)
    return png.getvalue()


def main(name: pages.Name = NAME) -> None:
    """Write the page with the results of the finished runs."""
    settings, wanted = plan()
    outcomes = read_outcomes(wanted, RUNS / NAME, read(PARAMS_FILE, Evaluate).share_ties)
    labels = open_records(RECORDS, "train").labels
    full = wanted[f"{FULL}-{settings.seeds[0]}"]
    found, parts = as_page(settings, outcomes, full, loss_at_chance(labels), len(labels), name)
    pages.write(name, PAGES.get(name, PAGES[NAME])[0], found, parts, table_of_runs(settings, outcomes))


if __name__ == "__main__":
    run(main)
