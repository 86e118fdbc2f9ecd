"""How much sooner and better pre-trained networks learn, and the shape of the paper's table 2.

python -m experiments.pretraining.summary
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import numpy as np
import pandas as pd
import typer
from matplotlib.ticker import MaxNLocator

from alexnet.core import stage as options
from alexnet.core.errors import UserError
from alexnet.core.files import replacing
from alexnet.core.params import read
from alexnet.core.stage import RECORDS, run
from alexnet.evaluation.params import Evaluate
from alexnet.evaluation.predictions import Predictions, average_predictions
from alexnet.report.document import Picture, Row, Table
from alexnet.report.figures import DARK, LIGHT, Dress, one_axes
from alexnet.report.text import NOTHING, percent
from alexnet.report.writing import Part
from alexnet.store.records import open_records
from experiments.ensemble.summary import PRINTED, read_members
from experiments.pretraining.plans import (
    CHOSEN,
    DIVERGED,
    HERE,
    PARAMS,
    TUNING,
    Arm,
    Pretraining,
    larger_data,
    made_with,
    of_arm,
    pretrained,
)
from experiments.shared import pages
from experiments.shared.histories import first_epoch_at, read_history
from experiments.shared.outcomes import PREDICTIONS
from experiments.shared.paired import over_pictures, over_seeds
from experiments.shared.publishing import FOLDER, publish
from experiments.shared.values import is_made_with

NAME, TITLE = "pretraining", "What pre-training on more classes gains"
DPI = 150
ARMS: dict[Arm, str] = {"scratch": "from scratch", "finetuned": "pre-trained, fine-tuned"}


@dataclass(frozen=True)
class Curves:
    """Validation errors (fractions, centre patch) of one arm, epoch by epoch.

    Attributes:
        rate: the chosen one.
        tuning: by rate, of the first seed; of a rate that diverged the epochs before.
        runs: by seed, at the chosen rate.
        diverged: the rates with which the loss was no number any more.
    """

    rate: float
    tuning: dict[float, list[float]]
    runs: dict[int, list[float]]
    diverged: tuple[float, ...] = ()

    def reached(self, target: float) -> dict[int, int | None]:
        """Return by seed the first epoch with at most the `target` error."""
        return {seed: first_epoch_at(errors, target) for seed, errors in self.runs.items()}


def read_curves(arm: Arm, plan: Pretraining, folder: Path, recipe: Path, params: Path = PARAMS) -> Curves:
    """Return what an arm left in `folder`.

    Raises:
        UserError: a run of it is missing, or was made with other parameters.
    """
    path = folder / CHOSEN
    chosen = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if chosen.get("target_error") != plan.target_error:
        raise _not_made(path)
    best = float(chosen["rate"])

    def errors(run: Path, seed: int, rate: float) -> list[float]:
        if not is_made_with(run, made_with(arm, plan, seed, rate, recipe, params)):
            raise _not_made(run)
        # A run that diverged in its first epoch has none.
        return [float(error) for error in read_history(run).get("val_top1_error", [])]

    return Curves(
        best,
        {rate: errors(folder / TUNING / f"{rate:g}", plan.seeds[0], rate) for rate in plan.rates},
        {seed: errors(folder / str(seed), seed, best) for seed in plan.seeds},
        tuple(rate for rate in plan.rates if (folder / TUNING / f"{rate:g}" / DIVERGED).exists()),
    )


def _not_made(path: Path) -> UserError:
    return UserError(
        f"{path}: not made with the parameters as they are now; dvc repro {HERE}/dvc.yaml makes it"
    )


def finding(curves: Mapping[Arm, Curves], target: float) -> str:
    """Say in which epochs the arms come to the target, and what the difference is worth."""
    parts, reached = [], {arm: found.reached(target) for arm, found in curves.items()}
    for arm, words in ARMS.items():
        parts.append(f"{words} in epoch {_epochs(reached[arm].values(), curves[arm])}")
    text = f"A validation error of {target:.0%} is reached {'; '.join(parts)} (by seed)."
    changes = [
        then - now
        for now, then in zip(reached["finetuned"].values(), reached["scratch"].values(), strict=True)
        if now is not None and then is not None
    ]
    if len(changes) < len(reached["scratch"]):
        return f"{text} Not all runs reach it, so the epochs saved have no mean."
    interval = over_seeds(changes)
    saved = f"{np.mean(changes):.1f}"
    if interval is None:
        why = (
            "of a single seed nothing can be said of noise"
            if len(changes) == 1
            else f"with each of {len(changes)} seeds as many, so there is no interval and no word on noise"
        )
        return f"{text} Pre-training saves {saved} epochs; {why}."
    noise = "larger than" if interval[0] > 0 or interval[1] < 0 else "not told from"
    bounds = " to ".join(f"{bound:.1f}" for bound in interval)
    return f"{text} Pre-training saves {saved} epochs (95% over seeds {bounds}), {noise} noise."


def _epochs(reached: Iterable[int | None], curves: Curves) -> str:
    length = len(next(iter(curves.runs.values())))
    return ", ".join(f"not within {length}" if epoch is None else str(epoch) for epoch in reached)


def arms_table(curves: Mapping[Arm, Curves], target: float) -> Table:
    """Return both arms: chosen rate, epochs to the target, errors at the end."""
    rows = []
    for arm, words in ARMS.items():
        found = curves[arm]
        last = [errors[-1] for errors in found.runs.values()]
        first = [errors[0] for errors in found.runs.values()]
        rows.append(
            Row(
                (
                    words,
                    f"{found.rate:g}",
                    _epochs(found.reached(target).values(), found),
                    percent(float(np.mean(first))),
                    percent(float(np.mean(last))),
                    ", ".join(map(percent, last)),
                ),
                ours=arm == "finetuned",
            )
        )
    header = (
        "",
        "rate",
        f"epochs to {target:.0%}",
        "epoch 1",
        "last",
        "last, by seed",
    )
    return Table(
        "Both arms: the same network with conv6, the same epochs on the same pictures",
        header,
        tuple(rows),
        note="Epochs by seed; errors after the first and the last epoch, of the centre patch on the"
        " validation pictures: means over seeds.",
    )


def tuning_table(curves: Mapping[Arm, Curves], target: float) -> Table:
    """Return how each rate did, with the first seed."""
    rows = [
        Row(
            (
                ARMS[arm],
                f"{rate:g}",
                *(
                    (f"diverged in epoch {len(errors) + 1}", NOTHING)
                    if rate in found.diverged
                    else (
                        str(first_epoch_at(errors, target) or f"not within {len(errors)}"),
                        percent(errors[-1]),
                    )
                ),
            ),
            ours=rate == found.rate,
        )
        for arm, found in curves.items()
        for rate, errors in found.tuning.items()
    ]
    return Table(
        "The sweep of the first seed; chosen rates stand out",
        ("arm", "rate", f"epochs to {target:.0%}", "error at the end"),
        tuple(rows),
        note=_edges(curves),
    )


def _edges(curves: Mapping[Arm, Curves]) -> str:
    edge = [
        ARMS[arm]
        for arm, found in curves.items()
        if len(found.tuning) > 1 and found.rate in (min(found.tuning), max(found.tuning))
    ]
    if not edge:
        return "Neither arm's rate is at the edge of the sweep."
    return f"At the edge of the sweep, so that a wider one might find better: {' and '.join(edge)}."


def as_table_2(members: Mapping[Arm, Sequence[Predictions]], share_ties: bool) -> Table:
    """Return the paper's rows of one, five, one* and seven* networks, and ours."""

    def errors(several: Sequence[Predictions], k: int) -> float:
        return float(np.mean([member.wrong(k, share_ties) for member in several]))

    plain, tuned = members["plain"], members["finetuned"]
    sets = {
        ("1 CNN", f"mean of {len(plain)}"): [errors(plain, k) for k in (1, 5)],
        ("5 CNNs", f"{len(plain)} CNNs"): _averaged(plain, share_ties),
        ("1 CNN*", f"mean of {len(tuned)}, with conv6"): [errors(tuned, k) for k in (1, 5)],
        ("7 CNNs*", f"{len(tuned)} and {len(plain)} CNNs"): _averaged([*tuned, *plain], share_ties),
    }
    rows = [
        Row((name, *map(percent, PRINTED[name]), ours, *map(percent, found)))
        for (name, ours), found in sets.items()
    ]
    change = average_predictions(plain).wrong(1, share_ties) - average_predictions([*tuned, *plain]).wrong(
        1, share_ties
    )
    return Table(
        "Errors with ten patches",
        ("", "paper: top-1", "top-5", "here", "top-1", "top-5"),
        tuple(rows),
        note=f"The pre-trained ones take {pages.points(float(change.mean()))} points of top-1 error off the"
        f" plain networks' average, 95% over the pictures {pages.interval(over_pictures(change))}; in the"
        " paper +1.4.",
    )


def _averaged(several: Sequence[Predictions], share_ties: bool) -> list[float]:
    averaged = average_predictions(several)
    return [float(averaged.wrong(k, share_ties).mean()) for k in (1, 5)]


def as_page(
    plan: Pretraining,
    curves: Mapping[Arm, Curves],
    members: Mapping[Arm, Sequence[Predictions]],
    share_ties: bool,
    recipe: Path,
    pictures: tuple[int, int],
) -> tuple[str, list[Part]]:
    """Return what was found in short, and the page's parts.

    Args:
        pictures: how many of the larger class set and of the project's own were trained on.
    """
    found = finding(curves, plan.target_error)
    before = pretrained(plan, recipe)
    tuned = of_arm("finetuned", plan, plan.seeds[0], curves["finetuned"].rate, recipe)
    classes = len(members["plain"][0].classes)
    return found, [
        f"The network with conv6, first trained on {pages.count(pictures[0], 'picture')} of other classes for"
        f" {before['train.epochs']} epochs, then on {pages.count(pictures[1], 'picture')} of"
        f" {classes} classes for {tuned['train.epochs']} by the source's fine-tuning schedule fitted into"
        " them (all layers but fc8 from the file, conv1 slowed and soon frozen, fc8 at ten times the others'"
        f" rate at first); and the same network from scratch for as long, at width {tuned['model.width']:g}."
        f" {pages.count(len(plan.seeds), 'seed')}, each with a pre-trained network of its own. What"
        " pre-training itself cost is not counted.",
        "## Fine-tuning against training from scratch",
        arms_table(curves, plan.target_error),
        Picture(
            NAME,
            as_figure(curves, plan.target_error, LIGHT),
            f"Validation error by epoch. {found}",
            dark=as_figure(curves, plan.target_error, DARK),
            caption="Validation error by epoch, a line a seed; dotted: the target.",
            least=400,
        ),
        "## How both were tuned\nThe same rates were tried with the first seed of each arm, and the one that"
        " came to the target first was taken for all seeds. The validation pictures decided, for both alike.",
        tuning_table(curves, plan.target_error),
        "## Beside table 2",
        as_table_2(members, share_ties),
        "## How it was made",
        f"`dvc repro {HERE}/dvc.yaml`; the arms are in `{PARAMS}`.",
        pages.settings("The larger class set", larger_data(plan, recipe)),
        pages.settings("Pre-training", before),
        pages.settings("Fine-tuning", tuned),
    ]


def as_figure(curves: Mapping[Arm, Curves], target: float, dress: Dress) -> bytes:
    """Draw the validation error of every run by epoch."""
    colours = {"scratch": dress.train, "finetuned": dress.top1}
    with one_axes(dress, DPI) as (axes, png):
        axes.axhline(100 * target, color=dress.faint, linestyle=":", linewidth=1.2, zorder=0)
        for arm, words in ARMS.items():
            for number, errors in enumerate(curves[arm].runs.values()):
                axes.plot(
                    range(1, len(errors) + 1),
                    [100 * error for error in errors],
                    # A lone epoch is a point: a line would not show.
                    marker="o" if len(errors) == 1 else "",
                    color=colours[arm],
                    linestyle="--" if arm == "scratch" else "-",
                    linewidth=1.4,
                    label=None if number else words,
                )
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation error, %")
        axes.figure.legend(loc="outside upper left", ncols=2, columnspacing=1, handletextpad=0.5)
    return png.getvalue()


def as_table(plan: Pretraining, curves: Mapping[Arm, Curves]) -> pd.DataFrame:
    """Return a line per run and epoch."""
    lines = [
        (arm, kind, rate, seed, epoch, error)
        for arm, found in curves.items()
        for kind, rate, seed, errors in (
            *(("tuning", rate, plan.seeds[0], errors) for rate, errors in found.tuning.items()),
            *(("chosen", found.rate, seed, errors) for seed, errors in found.runs.items()),
        )
        for epoch, error in enumerate(errors, 1)
    ]
    return pd.DataFrame(lines, columns=["arm", "kind", "rate", "seed", "epoch", "val_top1_error"])


def main(
    params: Annotated[Path, typer.Option(help="the experiment")] = PARAMS,
    recipe: Annotated[Path, typer.Option(help="the parameters of the recipe")] = options.PARAMS_FILE,
    records: Path = RECORDS,
    larger: Annotated[Path, typer.Option(help="records of the larger class set")] = HERE / "larger/records",
    runs: Annotated[Path, typer.Option(help="folder of the arms")] = HERE / "runs",
    evaluated: Annotated[Path, typer.Option(help="folder of the evaluations")] = HERE / "evaluated",
    out: Annotated[Path, typer.Option(help="folder for page, figure and table")] = FOLDER,
) -> None:
    """Compare the arms, average the networks and write the results."""
    plan, settings = read(params, Pretraining), read(recipe, Evaluate)
    curves = {arm: read_curves(arm, plan, runs / arm, recipe, params) for arm in ARMS}
    names = {f"{member.arm}-{member.seed}": member.arm for member in plan.average}
    rates = {arm: found.rate for arm, found in curves.items()}
    planned = {
        f"{arm}-{seed}": made_with(arm, plan, seed, rates.get(arm), recipe, params)
        for arm, seed in ((member.arm, member.seed) for member in plan.average)
    }
    found = read_members({name: evaluated / name / PREDICTIONS for name in names}, planned)
    members: dict[Arm, list[Predictions]] = {
        arm: [found[name] for name, own in names.items() if own == arm] for arm in get_args(Arm)
    }
    pictures = len(open_records(larger, "train")), len(open_records(records, "train"))
    said, parts = as_page(plan, curves, members, settings.ties == "fractional", recipe, pictures)
    publish(out, NAME, TITLE, said, parts)
    with replacing(out / f"{NAME}.csv") as temporary:
        as_table(plan, curves).to_csv(temporary, index=False)
    print(said)


if __name__ == "__main__":
    run(main)
