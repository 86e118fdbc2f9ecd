"""What averaging several networks gains, as in the paper's table 2: python -m experiments.ensemble.page"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from alexnet.core.params import read
from alexnet.core.places import PARAMS_FILE, RECORDS
from alexnet.core.stage import run
from alexnet.evaluation.params import Evaluate
from alexnet.evaluation.predictions import (
    Predictions,
    average_predictions,
    load_predictions,
    refuse_duplicates,
)
from alexnet.report.canvas import Theme, one_axes
from alexnet.report.markup import table
from alexnet.report.page import Part
from alexnet.report.text import percent, points
from alexnet.store.records import open_records
from experiments.ensemble.members import Ensemble, plan
from experiments.shared import pages
from experiments.shared.outcomes import read_members, refuse_incomparable
from experiments.shared.pages import PRINTED
from experiments.shared.paired import over_pictures
from experiments.shared.plans import RUNS, Values

NAME, TITLE = "ensemble", "What averaging several networks gains"
# Of more networks there are too many subsets to go through, and the curve has said what it can.
MOST_DRAWN = 7
Floats = NDArray[np.float64]


def wrong_by(members: Sequence[Predictions], share_ties: bool) -> tuple[Floats, Floats]:
    """Return shares of a top-1 and a top-5 error, (2, pictures): the mean of `members`; their average."""
    average = average_predictions(members)
    single = [np.mean([member.wrong(k, share_ties) for member in members], 0) for k in (1, 5)]
    return np.array(single), np.array([average.wrong(k, share_ties) for k in (1, 5)])


def all_members(planned: Mapping[str, Values], others: Sequence[str], runs: Path) -> dict[str, Predictions]:
    """Return the predictions of the networks that were trained here, and of the others, by name.

    A UserError names the folder of one that is not finished, twice there, or of other pictures or classes.
    """
    members = read_members(planned, runs) | {name: load_predictions(Path(name)) for name in others}
    named = {str(runs / name) if name in planned else name: found for name, found in members.items()}
    refuse_incomparable(named)
    refuse_duplicates(named.items())
    return members


def errors_by_size(members: Sequence[Predictions], share_ties: bool) -> list[list[float]]:
    """Return the top-1 errors of the averages of every subset, for subsets of 1, 2, … networks."""
    drawn, sizes = members[:MOST_DRAWN], []
    for size in range(1, len(drawn) + 1):
        averages = map(average_predictions, itertools.combinations(drawn, size))
        sizes.append([float(average.wrong(1, share_ties).mean()) for average in averages])
    return sizes


def as_page(
    members: Mapping[str, Predictions], share_ties: bool, settings: Ensemble, values: Values, pictures: int
) -> tuple[str, list[Part]]:
    """Return what was found in short, and the page's parts; trained on were so many `pictures`."""
    several = list(members.values())
    first, (single, averaged) = several[0], wrong_by(several, share_ties)
    sizes = errors_by_size(several, share_ties)
    runs = table_of_members(members, share_ties)
    means = ", ".join(f"of {size} {percent(pages.mean(errors))}" for size, errors in enumerate(sizes, 1))
    one, together, interval = single[0].mean(), averaged[0].mean(), over_pictures(single[0] - averaged[0])
    found = (
        f"The average of {len(several)} networks errs {percent(together)} where one alone errs"
        f" {percent(one)}: a gain of {points(one - together)} points ({pages.interval(interval)}),"
        f" {pages.beyond_noise(interval)} noise of the pictures; the paper's is"
        f" {points((PRINTED['1 CNN'] - PRINTED['5 CNNs'])[0])}."
    )
    return found, [
        f"{pages.count(len(several), 'network')}."
        f" {pages.count(pictures, 'training picture')} of {len(first.classes)} classes,"
        f" {values['train.epochs']} epochs at width {values['model.width']:g}, errors with ten patches on the"
        f" {len(first):,} pictures of {first.split}. The average is that of their class probabilities.",
        "## Beside table 2",
        as_table_2(single, averaged, len(several)),
        "## More and more networks",
        pages.figure(
            NAME,
            lambda theme: draw(sizes, theme),
            f"Top-1 error of averages: {means}.",
            "Top-1 error of averages by the number of networks: every choice among"
            f" {'them' if len(several) <= MOST_DRAWN else f'the first {MOST_DRAWN}'}, and the mean.",
        ),
        "## Each network",
        table(
            [*runs],
            [(name, *map(percent, errors)) for name, *errors in runs.itertuples(index=False)],
            "Errors of each network",
        ),
        *pages.how_it_was_made(
            NAME,
            NAME,
            pages.settings("What the networks have instead of params.yaml", settings.alike),
            pages.settings("Their parameters", values),
        ),
    ]


def as_table_2(single: Floats, averaged: Floats, count: int) -> str:
    """Return the paper's rows of one and five networks, and ours."""
    one, five = PRINTED["1 CNN"], PRINTED["5 CNNs"]
    rows = [
        ("1 CNN, paper", *map(percent, one)),
        ("5 CNNs, paper", *map(percent, five)),
        ("gain, paper", *map(points, one - five)),
        (f"1 CNN, mean of {count}", *map(percent, single.mean(1))),
        (f"{count} CNNs", *map(percent, averaged.mean(1))),
        ("gain", *map(points, single.mean(1) - averaged.mean(1))),
        ("95% interval of the gain", *(pages.interval(over_pictures(each)) for each in single - averaged)),
    ]
    return table(
        ("", "top-1", "top-5"),
        rows,
        "Errors with ten patches; gains in percentage points",
        "The interval is the paired bootstrap's over the pictures: for other pictures of the kind and these"
        " networks. The paper's rows are of ILSVRC-2012's validation set.",
        ours=range(3, len(rows)),
    )


def table_of_members(members: Mapping[str, Predictions], share_ties: bool) -> pd.DataFrame:
    lines = []
    for name, one in members.items():
        wrong = one.wrong(1, share_ties), one.wrong(5, share_ties), one.wrong(1, share_ties, one.one)
        lines.append((name, *(float(errors.mean()) for errors in wrong)))
    return pd.DataFrame(lines, columns=["network", "top-1", "top-5", "top-1, one patch"])


def draw(sizes: Sequence[Sequence[float]], theme: Theme) -> bytes:
    with one_axes(theme, pages.DPI) as (axes, png):
        for size, errors in enumerate(sizes, 1):
            axes.plot([size] * len(errors), [100 * e for e in errors], "o", color=theme.middle, markersize=3)
        means = [100 * pages.mean(errors) for errors in sizes]
        axes.plot(range(1, len(sizes) + 1), means, "o-", color=theme.top1, linewidth=1.6, markersize=4)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("networks averaged")
        axes.set_ylabel("top-1 error, %")
    return png.getvalue()


def main() -> None:
    """Average the stored predictions and write the results."""
    settings, planned = plan()
    share_ties = read(PARAMS_FILE, Evaluate).share_ties
    members = all_members(planned, settings.others, RUNS / NAME)
    values, pictures = next(iter(planned.values())), len(open_records(RECORDS, "train"))
    found, parts = as_page(members, share_ties, settings, values, pictures)
    pages.write(NAME, TITLE, found, parts, table_of_members(members, share_ties))


if __name__ == "__main__":
    run(main)
