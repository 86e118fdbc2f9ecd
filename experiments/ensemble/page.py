"""What averaging several networks gains, in the shape of the paper's table 2.

python -m experiments.ensemble.summary
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from alexnet.core import stage as options
from alexnet.core.errors import UserError
from alexnet.core.files import replacing
from alexnet.core.params import read
from alexnet.core.stage import RECORDS, run
from alexnet.evaluation.ensemble import refuse_duplicates
from alexnet.evaluation.params import Evaluate
from alexnet.evaluation.predictions import Predictions, average_predictions, load_predictions
from alexnet.report.document import Picture, Row, Table
from alexnet.report.figures import DARK, LIGHT, Dress, one_axes
from alexnet.report.paper import TABLE_2
from alexnet.report.text import percent
from alexnet.report.writing import Part, table_of
from alexnet.store.records import open_records
from experiments.ensemble.members import HERE, MEMBER, PARAMS, Ensemble, parameters
from experiments.shared import pages
from experiments.shared.outcomes import PREDICTIONS, refuse_other_pictures
from experiments.shared.paired import Interval, over_pictures
from experiments.shared.publishing import FOLDER, publish
from experiments.shared.settings import runs_of
from experiments.shared.values import Values, is_made_with

NAME, TITLE = "ensemble", "What averaging several networks gains"
DPI = 150
# Of more networks there are too many subsets to go through, and the curve has said what it can.
MOST_DRAWN = 7
# Top-1 and top-5 on ILSVRC-2012's validation pictures, fractions.
PRINTED = {row.model: np.array([row.top1_val, row.top5_val], np.float64) / 100 for row in TABLE_2}


@dataclass(frozen=True)
class Gain:
    """How much less a network's average errs than the networks do one by one.

    Attributes:
        single: mean error of the single networks, fraction.
        averaged: error of their average.
        over_pictures: 95 % interval of the gain for other pictures and these networks.
    """

    single: float
    averaged: float
    over_pictures: Interval

    @property
    def gain(self) -> float:
        return self.single - self.averaged


def gain(members: Sequence[NDArray[np.float64]], averaged: NDArray[np.float64]) -> Gain:
    """Return the gain; each array is each picture's share of an error, (pictures,)."""
    single = np.mean(members, 0)
    return Gain(float(single.mean()), float(averaged.mean()), over_pictures(single - averaged))


def read_members(folders: Mapping[str, Path], planned: Mapping[str, Values]) -> dict[str, Predictions]:
    """Return the predictions in `folders`, by the networks' names.

    Args:
        planned: the parameters, with dotted keys, of the networks that are trained here.

    Raises:
        UserError: one is missing, made with other parameters, twice there, or of other pictures or
            classes; names its folder.
    """
    for name, folder in folders.items():
        if not (folder / "about.json").exists():
            raise UserError(f"{folder}: this network's predictions are missing; dvc repro makes them")
        if name in planned and not is_made_with(folder.parent, planned[name]):
            raise UserError(
                f"{folder}: this network was not made with the parameters as they are now; dvc repro makes it"
            )
    members = {name: load_predictions(folder) for name, folder in folders.items()}
    by_folder = {str(folder): members[name] for name, folder in folders.items()}
    refuse_other_pictures(by_folder)
    refuse_duplicates(by_folder)
    first = next(iter(members.values()))
    if not first.labelled:
        raise UserError(f"evaluate.split: found {first.split}, which has no labels; allowed: one with labels")
    return members


def errors_by_size(members: Sequence[Predictions], share_ties: bool) -> list[list[float]]:
    """Return the top-1 errors of the averages of every subset, for subsets of 1, 2, … networks."""
    count = min(len(members), MOST_DRAWN)
    return [
        [
            float(average_predictions(subset).wrong(1, share_ties).mean())
            for subset in itertools.combinations(members[:count], size)
        ]
        for size in range(1, count + 1)
    ]


def as_page(
    members: Mapping[str, Predictions], share_ties: bool, ensemble: Ensemble, values: Values, pictures: int
) -> tuple[str, list[Part]]:
    """Return what was found in short, and the page's parts.

    Args:
        values: parameters of the networks, with dotted keys.
        pictures: how many were trained on.
    """
    several = list(members.values())
    averaged = average_predictions(several)
    gains = {
        k: gain([member.wrong(k, share_ties) for member in several], averaged.wrong(k, share_ties))
        for k in (1, 5)
    }
    top1 = gains[1]
    low, high = top1.over_pictures
    noise = "larger than" if low > 0 or high < 0 else "not told from"
    found = (
        f"The average of {len(several)} networks errs {percent(top1.averaged)} where one alone errs"
        f" {percent(top1.single)}: a gain of {pages.points(top1.gain)} points"
        f" ({pages.interval(top1.over_pictures)}), {noise} noise of the pictures; the paper's is"
        f" {pages.points((PRINTED['1 CNN'] - PRINTED['5 CNNs'])[0])}."
    )
    sizes = errors_by_size(several, share_ties)
    return found, [
        f"{pages.count(len(several), 'network')}, which differ by their seed alone: weights, order, crops,"
        f" mirrors, noise and dropout. {pages.count(pictures, 'training picture')} of"
        f" {len(averaged.classes)} classes, {values['train.epochs']} epochs at width"
        f" {values['model.width']:g}, errors with ten patches on the {len(averaged):,} pictures of"
        f" {averaged.split}. The average is that of their class probabilities.",
        "## Beside table 2",
        as_table_2(gains, len(several)),
        "## More and more networks",
        Picture(
            NAME,
            as_figure(sizes, LIGHT),
            "Top-1 error of averages: "
            + ", ".join(f"of {size} {percent(float(np.mean(e)))}" for size, e in enumerate(sizes, 1))
            + ".",
            dark=as_figure(sizes, DARK),
            caption="Top-1 error of the average of so many networks: every choice among them, and the mean.",
            least=400,
        ),
        "## Each network",
        table_of(
            table_of_members(members, share_ties),
            "Errors of each network",
            dict.fromkeys(["top-1", "top-5", "top-1, one patch"], ".1%"),
        ),
        "## How it was made",
        f"`dvc repro {HERE}/dvc.yaml`; the networks are named in `{PARAMS}`.",
        pages.settings("What the networks have instead of params.yaml", ensemble.alike),
        pages.settings("Their parameters", values),
    ]


def as_table_2(gains: Mapping[int, Gain], count: int) -> Table:
    """Return the paper's rows of one and five networks, and ours."""
    rows = (
        Row(("1 CNN, paper", *map(percent, PRINTED["1 CNN"]))),
        Row(("5 CNNs, paper", *map(percent, PRINTED["5 CNNs"]))),
        Row(("gain, paper", *map(pages.points, PRINTED["1 CNN"] - PRINTED["5 CNNs"]))),
        Row((f"1 CNN, mean of {count}", *(percent(gains[k].single) for k in (1, 5))), ours=True),
        Row((f"{count} CNNs", *(percent(gains[k].averaged) for k in (1, 5))), ours=True),
        Row(("gain", *(pages.points(gains[k].gain) for k in (1, 5))), ours=True),
        Row(
            ("95% interval of the gain", *(pages.interval(gains[k].over_pictures) for k in (1, 5))), ours=True
        ),
    )
    return Table(
        "Errors with ten patches; gains in percentage points",
        ("", "top-1", "top-5"),
        rows,
        note="The interval is the paired bootstrap's over the pictures: for other pictures of the kind and"
        " these networks. The paper's rows are of ILSVRC-2012's validation set.",
    )


def table_of_members(members: Mapping[str, Predictions], share_ties: bool) -> pd.DataFrame:
    """Return a line a network."""
    lines = [
        (
            name,
            float(member.wrong(1, share_ties).mean()),
            float(member.wrong(5, share_ties).mean()),
            float(member.wrong(1, share_ties, member.one).mean()),
        )
        for name, member in members.items()
    ]
    return pd.DataFrame(lines, columns=["network", "top-1", "top-5", "top-1, one patch"])


def as_figure(sizes: Sequence[Sequence[float]], dress: Dress) -> bytes:
    """Draw the errors of all subsets over their size, and their mean."""
    with one_axes(dress, DPI) as (axes, png):
        for size, errors in enumerate(sizes, 1):
            axes.plot([size] * len(errors), [100 * e for e in errors], "o", color=dress.middle, markersize=3)
        means = [100 * float(np.mean(errors)) for errors in sizes]
        axes.plot(range(1, len(sizes) + 1), means, "o-", color=dress.top1, linewidth=1.6, markersize=4)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("networks averaged")
        axes.set_ylabel("top-1 error, %")
    return png.getvalue()


def main(
    params: Annotated[Path, typer.Option(help="the ensemble")] = PARAMS,
    recipe: Annotated[Path, typer.Option(help="the parameters of the recipe")] = options.PARAMS_FILE,
    records: Path = RECORDS,
    evaluated: Annotated[Path, typer.Option(help="folder of the evaluations")] = HERE / "evaluated",
    out: Annotated[Path, typer.Option(help="folder for page, figure and table")] = FOLDER,
) -> None:
    """Average the stored predictions and write the results."""
    ensemble, settings = read(params, Ensemble), read(recipe, Evaluate)
    values = parameters(ensemble, recipe, params)
    folders = {name: evaluated / name / PREDICTIONS for name in ensemble.names}
    planned = runs_of({MEMBER: values}, ensemble.seeds)
    members = read_members({**folders, **{name: Path(name) for name in ensemble.others}}, planned)
    share_ties = settings.ties == "fractional"
    found, parts = as_page(members, share_ties, ensemble, values, len(open_records(records, "train").labels))
    publish(out, NAME, TITLE, found, parts)
    with replacing(out / f"{NAME}.csv") as temporary:
        table_of_members(members, share_ties).to_csv(temporary, index=False)
    print(found)


if __name__ == "__main__":
    run(main)
