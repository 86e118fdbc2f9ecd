"""How much sooner rectified linear units learn, and what response normalisation is worth.

    python -m experiments.figure1.summary

reads the runs that are there, finished or not, and writes a page, as HTML and as Markdown with its figure,
and a table of the runs.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import pandas as pd
import typer
from matplotlib.ticker import PercentFormatter

from alexnet.core.files import replacing
from alexnet.core.params import read
from alexnet.core.stage import run
from alexnet.evaluation.intervals import exact_interval
from alexnet.report.document import Picture
from alexnet.report.figures import DARK, LIGHT, Dress, one_axes
from alexnet.report.writing import Part, table_of
from experiments.figure1.arrays import read_pictures
from experiments.figure1.settings import PARAMS, PICTURES, RUNS, SWEEPS, Activation, Beginning, Figure1
from experiments.figure1.training import epochs_to
from experiments.shared.pages import count, interval, points
from experiments.shared.paired import over_seeds
from experiments.shared.publishing import FOLDER, publish
from experiments.shared.values import is_made_with

NAME = "figure1"
TITLE = "Figure 1: rectified linear units against tanh"
NAMES: dict[Activation, str] = {"relu": "ReLU", "tanh": "tanh", "abs_tanh": "|tanh|"}
STYLES: dict[Activation, str] = {"relu": "-", "tanh": "--", "abs_tanh": ":"}
BEGINNINGS: dict[Beginning, str] = {
    "unit-gain": "with weights of deviation 1/√inputs and pictures of deviation 1",
    "cuda-convnet": "with the small weights of cuda-convnet's example with 18 % error, on grey levels",
}
TITLES: dict[Beginning, str] = {"unit-gain": TITLE, "cuda-convnet": f"{TITLE}, begun as in cuda-convnet"}
DPI = 150
# What the paper says (sections 3.1 and 3.3).
PAPER_RATIO = 6
PAPER_ERRORS = {"without": 0.13, "with": 0.11}


@dataclass(frozen=True)
class Run:
    """One training of an activation and a seed; `errors` are those of each epoch done."""

    activation: Activation
    seed: int
    errors: list[float]

    def ended(self, settings: Figure1) -> bool:
        """Whether it came to the goal, to the last epoch, or diverged."""
        if not self.errors:
            return False
        last = self.errors[-1]
        return len(self.errors) >= settings.epochs or not last > settings.goal

    def reached(self, goal: float) -> float | None:
        """Return the epochs to the goal, or None."""
        return epochs_to(self.errors, goal)

    def told(self, settings: Figure1) -> str:
        """Return the epochs to the goal in words."""
        end = self.reached(settings.goal)
        if end is not None:
            return f"{end:.1f}"
        if not self.errors:
            return "not run"
        if math.isnan(self.errors[-1]):
            return f"diverged in epoch {len(self.errors)}"
        unfinished = "" if self.ended(settings) else " (unfinished)"
        return f"not reached in {len(self.errors)} epochs{unfinished}"


@dataclass(frozen=True)
class Arm:
    """One training with or without normalisation; `error` is of the test pictures."""

    arm: str
    seed: int
    train_error: float
    error: float
    pictures: int


class Ratio(NamedTuple):
    """Epochs to the goal against ReLU's: geometric mean over paired seeds, 95 % interval of it.

    `bounded` tells that with some seeds the goal was not reached: the ratio is at least this large.
    """

    mean: float
    interval: tuple[float, float] | None
    bounded: bool

    def __str__(self) -> str:
        at_least = "at least " if self.bounded else ""
        between = f" ({self.interval[0]:.1f} to {self.interval[1]:.1f})" if self.interval else ""
        return f"{at_least}{self.mean:.1f}{between}"


def read_runs(settings: Figure1, rates: dict[Activation, float | None], folder: Path) -> list[Run]:
    """Return every planned run; one that is not there, or was made with other settings, is empty."""
    runs = []
    for activation in settings.activations:
        planned = settings.of_training() | {"learning_rate": rates[activation]}
        for seed in settings.seeds:
            path = folder / f"{activation}-{seed}"
            there = is_made_with(path, planned)
            errors = pd.read_csv(path / "history.csv")["train_error"].tolist() if there else []
            runs.append(Run(activation, seed, errors))
    return runs


def read_arms(settings: Figure1, folder: Path) -> list[Arm]:
    """Return the trainings with and without normalisation that are finished."""
    arms = []
    for arm in PAPER_ERRORS:
        for seed in settings.norm.seeds:
            path = folder / f"norm-{arm}-{seed}"
            if is_made_with(path, settings.of_norm()):
                tested = json.loads((path / "test.json").read_text())
                last = float(pd.read_csv(path / "history.csv")["train_error"].iloc[-1])
                arms.append(Arm(arm, seed, last, tested["test_error"], tested["pictures"]))
    return arms


def ratio_to_relu(runs: Sequence[Run], activation: Activation, settings: Figure1) -> Ratio | None:
    """Return how much longer `activation` takes, from the seeds with which ReLU came to the goal.

    A seed that did not reach the goal within the epochs counts with all of them. None: no such seed.
    """
    relu = {run.seed: run.reached(settings.goal) for run in runs if run.activation == "relu"}
    logs, bounded = [], False
    for trained in runs:
        base = relu.get(trained.seed)
        if trained.activation != activation or base is None or not trained.ended(settings):
            continue
        end = trained.reached(settings.goal)
        bounded |= end is None
        logs.append(math.log((end or settings.epochs) / base))
    if not logs:
        return None
    mean = statistics.fmean(logs)
    between = None if bounded else over_seeds(logs)
    exact = between and (math.exp(between[0]), math.exp(between[1]))
    return Ratio(math.exp(mean), exact, bounded)


def as_table(runs: Sequence[Run], rates: dict[Activation, float | None], goal: float) -> pd.DataFrame:
    """Return a line an epoch of every run."""
    lines = [
        (run.activation, run.seed, rates[run.activation], epoch, error, run.reached(goal))
        for run in runs
        for epoch, error in enumerate(run.errors, 1)
    ]
    columns = ["activation", "seed", "learning_rate", "epoch", "train_error", "epochs_to_goal"]
    return pd.DataFrame(lines, columns=columns)


def chosen_rates(settings: Figure1, folder: Path) -> dict[Activation, float | None]:
    """Return each activation's learning rate, or None before its sweep has ended."""
    rates: dict[Activation, float | None] = {}
    for activation in settings.activations:
        path = folder / activation
        there = is_made_with(path, settings.of_training())
        rates[activation] = json.loads((path / "rate.json").read_text())["learning_rate"] if there else None
    return rates


def sweep_table(settings: Figure1, folder: Path) -> pd.DataFrame:
    """Return a row an activation: its last training error at each rate, and after how many epochs."""
    rows = []
    for activation in settings.activations:
        row = {"activation": NAMES[activation]}
        path = folder / activation
        there = is_made_with(path, settings.of_training())
        last = pd.read_csv(path / "sweep.csv").groupby("learning_rate").last() if there else None
        for rate in settings.sweep.learning_rates:
            text = "not run"
            if last is not None and rate in last.index:
                error, epoch = last.loc[rate, "train_error"], int(last.loc[rate, "epoch"])
                text = f"diverged ({epoch})" if math.isnan(error) else f"{error:.1%} ({epoch})"
            row[f"{rate:g}"] = text
        rows.append(row)
    return pd.DataFrame(rows)


def as_page(
    settings: Figure1,
    runs: Sequence[Run],
    arms: Sequence[Arm],
    rates: dict[Activation, float | None],
    sweeps: pd.DataFrame,
    pictures: int,
    classes: int,
    name: str = NAME,
) -> tuple[str, list[Part]]:
    """Return what was found in a sentence or two, and the parts of the page `name`."""
    goal, ended = settings.goal, sum(run.ended(settings) for run in runs)
    began = BEGINNINGS[settings.beginning]
    seeds = count(len(settings.seeds), "seed")
    parts: list[Part] = [
        f"{pictures:,} training pictures of {settings.side}×{settings.side} in {classes} classes, batches of"
        f" {settings.batch_size}, momentum {settings.momentum:g}, {settings.precision}, {seeds}: {ended} of"
        f" {len(runs)} runs have ended. No weight decay, no dropout, no crops or mirrors. The training error"
        " is the share of an epoch's pictures that was classified wrongly as they came by. The paper does not"
        f" say how its networks began; ours begin alike for all activations, {began}.",
        _epochs_table(settings, runs, rates),
        Picture(
            name,
            as_figure(settings, runs),
            dark=as_figure(settings, runs, DARK),
            alt=f"Training error against epochs for {', '.join(NAMES[a] for a in settings.activations)},"
            f" a line a seed, down to {goal:.0%}.",
            caption="Training error, a line a seed, as in the paper's Figure 1.",
        ),
        "## How the learning rates were chosen\nAll rates train with a seed of their own; after"
        f" {_and(settings.sweep.rungs)} epochs the worse half is dropped.{_edges(settings, rates)}",
        table_of(sweeps, "Training error at each learning rate (after so many epochs).", numeric=False),
        "## Response normalisation\ncuda-convnet's net of two convolutions, two locally connected layers"
        f" and a full one, {settings.norm.epochs} epochs with the rate divided by 10 at the start of epochs"
        f" {_and(settings.norm.drop_epochs)}, patches of {settings.norm.crop}×{settings.norm.crop} and"
        " mirrors; tested once, at the end, on ten patches a picture. The authors trained about 520 epochs"
        " of CIFAR-10: what can be compared is the difference, not the errors.",
        _norm_table(arms),
    ]
    if text := _difference(arms):
        parts.append(text)
    parts.append(
        f"Remade by `dvc repro --keep-going experiments/{NAME}/dvc.yaml`; its settings are in"
        f" `experiments/{NAME}/params.yaml` with `beginning: {settings.beginning}`, every epoch's error in"
        f" `{name}.csv`."
    )
    return _finding(settings, runs), parts


def _epochs_table(settings: Figure1, runs: Sequence[Run], rates: dict[Activation, float | None]) -> Part:
    rows = []
    for activation in settings.activations:
        ratio, rate = ratio_to_relu(runs, activation, settings), rates[activation]
        rows.append(
            (
                NAMES[activation],
                "" if rate is None else f"{rate:g}",
                ", ".join(run.told(settings) for run in runs if run.activation == activation),
                "1" if activation == "relu" else "" if ratio is None else str(ratio),
                f"about {PAPER_RATIO}" if activation == "tanh" else "",
            )
        )
    columns = [
        "activation",
        "learning rate",
        f"epochs to {settings.goal:.0%}, by seed",
        "times ReLU's",
        "paper",
    ]
    return table_of(
        pd.DataFrame(rows, columns=columns),
        f"Epochs to {settings.goal:.0%} training error.",
        numeric=False,
        note="Parts of an epoch by a straight line between two epochs' errors. Times ReLU's: geometric mean"
        " over seeds paired with ReLU's (95 % interval by Student's t of the logarithms).",
    )


def _finding(settings: Figure1, runs: Sequence[Run]) -> str:
    texts = [
        f"{NAMES[activation]} takes {ratio} times the epochs of ReLU"
        for activation in settings.activations
        if activation != "relu" and (ratio := ratio_to_relu(runs, activation, settings)) is not None
    ]
    found = "; ".join(texts) or "no runs of ReLU and another activation have ended yet"
    return f"To {settings.goal:.0%} training error, {found}. The paper says about {PAPER_RATIO} for tanh."


def _edges(settings: Figure1, rates: dict[Activation, float | None]) -> str:
    ends = {min(settings.sweep.learning_rates), max(settings.sweep.learning_rates)}
    at_edge = [NAMES[activation] for activation, rate in rates.items() if rate in ends]
    if not at_edge:
        return ""
    return f" {_and(at_edge)} chose an end of the range: its best rate may lie beyond."


def _norm_table(arms: Sequence[Arm]) -> Part:
    rows = []
    for trained in arms:
        low, high = exact_interval(trained.error, trained.pictures)
        rows.append(
            (
                f"{trained.arm} normalisation",
                str(trained.seed),
                f"{trained.train_error:.1%}",
                f"{trained.error:.1%} ({low:.1%} to {high:.1%})",
                f"{PAPER_ERRORS[trained.arm]:.0%}",
            )
        )
    columns = ["net", "seed", "training error, last epoch", "test error", "paper"]
    note = "" if rows else "Not run yet."
    return table_of(
        pd.DataFrame(rows, columns=columns),
        "Test error with and without normalisation across maps (exact binomial 95 % interval).",
        numeric=False,
        note=note,
    )


def _difference(arms: Sequence[Arm]) -> str:
    """Say what normalisation took off the error, with the seeds that have both."""
    with_norm = {arm.seed: arm.error for arm in arms if arm.arm == "with"}
    changes = [
        arm.error - with_norm[arm.seed] for arm in arms if arm.arm == "without" and arm.seed in with_norm
    ]
    if not changes:
        return ""
    paper = PAPER_ERRORS["without"] - PAPER_ERRORS["with"]
    text = (
        f"Without normalisation the test error changes by {points(statistics.fmean(changes))} points"
        f" ({count(len(changes), 'seed')}); the paper has {points(paper)}."
    )
    between = over_seeds(changes)
    if between is None:
        why = "One seed does" if len(changes) == 1 else "Seeds that all give the same do"
        return f"{text} {why} not tell how much of it is chance."
    return f"{text} Its 95 % interval over seeds: {interval(between)} points."


def _and(values: Sequence[object]) -> str:
    *others, last = [str(value) for value in values] or ["no"]
    return f"{', '.join(others)} and {last}" if others else last


def as_figure(settings: Figure1, runs: Sequence[Run], dress: Dress = LIGHT) -> bytes:
    """Draw the training error of every run: solid ReLU, dashed tanh, dotted |tanh|."""
    colours: dict[Activation, str] = {"relu": dress.top1, "tanh": dress.train, "abs_tanh": dress.top5}
    with one_axes(dress, DPI, 7.0, 4.2) as (axes, png):
        axes.axhline(settings.goal, color=dress.train, linewidth=0.5)
        for activation in settings.activations:
            own = [run for run in runs if run.activation == activation]
            for run in own:
                axes.plot(
                    range(1, len(run.errors) + 1),
                    run.errors,
                    color=colours[activation],
                    linestyle=STYLES[activation],
                    marker="o" if len(run.errors) == 1 else None,
                    linewidth=1.4,
                    label=NAMES[activation] if run is own[0] else None,
                )
        axes.set_ylim(0, 0.8)
        axes.set_xlim(0, max([len(run.errors) for run in runs] + [1]) + 1)
        axes.set_xlabel("epochs")
        axes.set_ylabel("training error rate")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.legend()
    return png.getvalue()


def main(
    params: Annotated[Path, typer.Option(help="the experiment")] = PARAMS,
    pictures: Path = PICTURES,
    sweeps: Path = SWEEPS,
    runs: Annotated[Path, typer.Option(help="folder of the trainings")] = RUNS,
    out: Annotated[Path, typer.Option(help="folder for page, figure and table")] = FOLDER,
    name: Annotated[str, typer.Option(help="what page, figure and table are called")] = NAME,
) -> None:
    """Write the results of the runs that are there and print the page."""
    settings = read(params, Figure1)
    rates = chosen_rates(settings, sweeps)
    trained = read_runs(settings, rates, runs)
    labels = read_pictures(pictures, "train").labels
    found, parts = as_page(
        settings,
        trained,
        read_arms(settings, runs),
        rates,
        sweep_table(settings, sweeps),
        len(labels),
        int(labels.max()) + 1,
        name,
    )
    publish(out, name, TITLES[settings.beginning], found, parts)
    with replacing(out / f"{name}.csv") as temporary:
        as_table(trained, rates, settings.goal).to_csv(temporary, index=False)
    print((out / f"{name}.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run(main)
