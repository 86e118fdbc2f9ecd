"""How much sooner and better pre-trained networks learn, and the shape of the paper's table 2.

python -m experiments.pretraining.page
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.ticker import MaxNLocator

from alexnet.core.params import read
from alexnet.core.places import PARAMS_FILE, RECORDS
from alexnet.core.stage import run
from alexnet.evaluation.params import Evaluate
from alexnet.evaluation.predictions import Predictions, average_predictions
from alexnet.report.canvas import Theme, one_axes
from alexnet.report.markup import table
from alexnet.report.page import Part
from alexnet.report.text import NOTHING, percent, points
from alexnet.store.records import open_records
from experiments.pretraining.arms import HERE, TUNED, Plan, Tuned
from experiments.pretraining.tune import Chosen, read_chosen
from experiments.shared import pages
from experiments.shared.outcomes import (
    first_epoch_at,
    not_finished,
    read_history,
    read_members,
    refuse_incomparable,
)
from experiments.shared.pages import PRINTED
from experiments.shared.paired import over_pictures, over_seeds
from experiments.shared.plans import Values

NAME, TITLE = "pretraining", "What pre-training on more classes gains"
# How the names of those without and with conv6 begin.
KINDS = ("plain", "finetuned")
WORDS: dict[Tuned, str] = {"scratch": "from scratch", "finetuned": "pre-trained, fine-tuned"}


@dataclass(frozen=True)
class Arm:
    """What the sweep chose, and the validation errors (fractions, centre patch) of each seed by epoch."""

    chosen: Chosen
    runs: dict[int, list[float]]


Arms = Mapping[Tuned, Arm]


def read_errors(folder: Path, values: Values) -> list[float]:
    """Return the validation error of each epoch of a run; refuse one that is not finished with `values`."""
    history = read_history(folder, values)
    if history is None:
        raise not_finished(folder)
    return [float(error) for error in history["val_top1_error"]]


def read_arm(arm: Tuned, plan: Plan, folder: Path = HERE) -> Arm:
    """Return what is in `folder` of an arm; refuse runs, or those that they began from, unless as planned."""
    chosen, runs = read_chosen(arm, plan, folder), {}
    for seed in plan.settings.seeds:
        if arm == "finetuned":
            read_errors(folder / f"larger-{seed}", {**plan.larger, "train.seed": seed})
        runs[seed] = read_errors(folder / f"{arm}-{seed}", plan.tuned(arm, seed, chosen.rate))
    return Arm(chosen, runs)


def finding(arms: Arms, target: float) -> str:
    told = "; ".join(f"{WORDS[arm]}, {_reached(found, target)}" for arm, found in arms.items())
    text = f"Networks that come to a validation error of {target:.0%}: {told}."
    saved = []
    for seed, errors in arms["scratch"].runs.items():
        then, now = (first_epoch_at(each, target) for each in (errors, arms["finetuned"].runs[seed]))
        if now is None or then is None:
            return f"{text} Not all do, so the epochs saved have no mean."
        saved.append(then - now)
    mean = pages.mean(saved)
    text += f" Pre-training {'saves' if mean >= 0 else 'costs'} {abs(mean):.1f} epochs"
    interval = over_seeds(saved)
    if interval is None:
        why = "of a single seed" if len(saved) == 1 else "with every seed the same number"
        return f"{text}; {why}, so there is no verdict."
    low, high = sorted(bound if mean >= 0 else -bound for bound in interval)
    return f"{text} (95% over seeds {low:.1f} to {high:.1f}), {pages.beyond_noise(interval)} noise."


def _reached(arm: Arm, target: float) -> str:
    """Return how many of the networks come to the target, and in which epochs."""
    ends = [end for errors in arm.runs.values() if (end := first_epoch_at(errors, target)) is not None]
    epochs = f" (in epoch {', '.join(map(str, ends))})" if ends else ""
    return f"{len(ends)} of {len(arm.runs)}{epochs}"


def arms_table(arms: Arms, target: float) -> str:
    rows = []
    for arm, found in arms.items():
        first, last = ([errors[epoch] for errors in found.runs.values()] for epoch in (0, -1))
        told = percent(pages.mean(first)), percent(pages.mean(last)), ", ".join(map(percent, last))
        rows.append((WORDS[arm], f"{found.chosen.rate:g}", _reached(found, target), *told))
    return table(
        ("", "rate", f"come to {target:.0%}", "after epoch 1", "at the end", "by seed"),
        rows,
        "Both arms: the same network with conv6, the same epochs on the same pictures",
        "Errors are of the centre patch on the validation pictures: the means over the seeds after the first"
        " and the last epoch, and each seed's after the last.",
    )


def tuning_table(arms: Arms, target: float) -> str:
    rows: list[tuple[str, ...]] = []
    ours, edges = [], []
    for arm, found in arms.items():
        rates = [tried.rate for tried in found.chosen.tried]
        if found.chosen.rate in (min(rates), max(rates)):
            edges.append(WORDS[arm])
        for tried in found.chosen.tried:
            first = first_epoch_at(tried.errors, target) or f"not within {len(tried.errors)}"
            told = str(first), percent(tried.errors[-1]) if tried.errors else NOTHING
            if tried.diverged:
                told = f"diverged in epoch {len(tried.errors) + 1}", NOTHING
            ours += [len(rows)] if tried.rate == found.chosen.rate else []
            rows.append((WORDS[arm], f"{tried.rate:g}", *told))
    at_the_edge = f"At the edge of the sweep, so that a wider one might find better: {' and '.join(edges)}."
    return table(
        ("arm", "rate", f"first epoch with {target:.0%}", "error at the end"),
        rows,
        "The sweep; chosen rates stand out",
        at_the_edge if edges else "Neither of them is at the edge of the sweep.",
        ours=ours,
    )


def as_table_2(members: Mapping[str, Predictions], rate: float, share_ties: bool) -> str:
    """Return the paper's rows of one, five, one* and seven* networks, and ours; the plain ones' `rate`."""

    def errors(several: Sequence[Predictions]) -> list[str]:
        wrong = [[float(one.wrong(k, share_ties).mean()) for one in several] for k in (1, 5)]
        return [percent(pages.mean(rates)) for rates in wrong]

    plain, tuned = ([one for name, one in members.items() if name.startswith(kind)] for kind in KINDS)
    starred = [name for name in members if name.startswith(KINDS[1])]
    five, seven = average_predictions(plain), average_predictions([*tuned, *plain])
    ours = {
        "1 CNN": (f"mean of {len(plain)}", *errors(plain)),
        "5 CNNs": (f"{len(plain)} CNNs", *errors([five])),
        "1 CNN*": (f"mean of {len(tuned)}, with conv6", *errors(tuned)),
        "7 CNNs*": (f"{len(tuned)} and {len(plain)} CNNs", *errors([seven])),
    }
    change = five.wrong(1, share_ties) - seven.wrong(1, share_ties)
    return table(
        ("", "paper: top-1", "top-5", "here", "top-1", "top-5"),
        [(name, *map(percent, PRINTED[name]), *found) for name, found in ours.items()],
        "Errors with ten patches",
        f"With conv6 are {' and '.join(starred)}, which the plan names. The networks without it have a rate"
        f" of {rate:g}, which no sweep chose. Adding the pre-trained ones takes"
        f" {points(float(change.mean()))} points of top-1 error off the plain networks' average, 95% over the"
        f" pictures {pages.interval(over_pictures(change))}; in the paper +1.4.",
    )


def as_page(
    plan: Plan, arms: Arms, members: Mapping[str, Predictions], share_ties: bool, pictures: tuple[int, int]
) -> tuple[str, list[Part]]:
    """Return what was found in short, and the page's parts.

    `members` are averaged; `pictures` are those trained on of the larger class set and of the project's own.
    """
    settings, target = plan.settings, plan.settings.target_error
    found = finding(arms, target)
    tuned = plan.tuned("finetuned", settings.seeds[0], arms["finetuned"].chosen.rate)
    classes = len(next(iter(members.values())).classes)
    return found, [
        f"The network with conv6, first trained on {pages.count(pictures[0], 'picture')} of other classes for"
        f" {plan.larger['train.epochs']} epochs, then on {pages.count(pictures[1], 'picture')} of"
        f" {classes} classes for {tuned['train.epochs']}; and the same network from scratch for"
        f" as long, at width {tuned['model.width']:g}. {pages.count(len(settings.seeds), 'seed')}, each with"
        " a pre-trained network of its own. In both arms the rates fall and the colour noise ends as in the"
        " source's fine-tuning, fitted into these epochs, and the biases keep their rate. Two things that the"
        " source did are left out: for about a quarter of its first epoch fc8 had the rate of the other"
        " layers, and the biases of conv6 had a rate of their own. What pre-training itself cost is not"
        " counted.",
        "## Fine-tuning against training from scratch",
        arms_table(arms, target),
        pages.figure(
            NAME,
            lambda theme: draw(arms, target, theme),
            f"Validation error by epoch. {found}",
            "Validation error by epoch, a line per seed; dotted: the target.",
        ),
        "## How both were tuned\n\nThe same rates were tried in each arm with a seed of its own"
        f" ({settings.tuning_seed}), and the one that came to the target first was taken for all seeds: of"
        " several, or if none came to it, the one with the lowest error at the end. Fine-tuning began there"
        " with the pre-trained network of the first seed. The validation pictures decided, for both alike.",
        tuning_table(arms, target),
        "## Beside table 2",
        as_table_2(members, plan.plain["train.learning_rate"], share_ties),
        *pages.how_it_was_made(
            NAME,
            NAME,
            pages.settings("The larger class set", plan.larger_data),
            pages.settings("Pre-training", plan.larger),
            pages.settings("Fine-tuning", tuned),
        ),
    ]


def draw(arms: Arms, target: float, theme: Theme) -> bytes:
    styles: dict[Tuned, tuple[str, str]] = {"scratch": (theme.train, "--"), "finetuned": (theme.top1, "-")}
    with one_axes(theme, pages.DPI) as (axes, png):
        axes.axhline(100 * target, color=theme.faint, linestyle=":", linewidth=1.2, zorder=0)
        for arm, (colour, line) in styles.items():
            for number, errors in enumerate(arms[arm].runs.values()):
                epochs, label = range(1, len(errors) + 1), None if number else WORDS[arm]
                # A lone epoch is a point: a line would not show.
                marker, percents = "o" if len(errors) == 1 else "", [100 * error for error in errors]
                axes.plot(epochs, percents, line, color=colour, marker=marker, label=label)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation error, %")
        axes.figure.legend(loc="outside upper left", ncols=2, columnspacing=1, handletextpad=0.5)
    return png.getvalue()


def table_of_runs(arms: Arms, tuning_seed: int) -> pd.DataFrame:
    lines = []
    for arm, found in arms.items():
        runs = [("tuning", tried.rate, tuning_seed, tried.errors) for tried in found.chosen.tried]
        runs += [("chosen", found.chosen.rate, seed, errors) for seed, errors in found.runs.items()]
        for *about, errors in runs:
            lines += [(arm, *about, epoch, error) for epoch, error in enumerate(errors, 1)]
    return pd.DataFrame(lines, columns=["arm", "kind", "rate", "seed", "epoch", "val_top1_error"])


def main() -> None:
    """Compare the arms, average the networks and write the results."""
    plan, share_ties = Plan(), read(PARAMS_FILE, Evaluate).share_ties
    arms = {arm: read_arm(arm, plan) for arm in TUNED}
    planned = {f"plain-{seed}": {**plan.plain, "train.seed": seed} for seed in plan.settings.plain_seeds}
    for seed in plan.settings.seeds:
        planned[f"finetuned-{seed}"] = plan.tuned("finetuned", seed, arms["finetuned"].chosen.rate)
    members = read_members({name: planned[name] for name in plan.settings.average}, HERE)
    refuse_incomparable(members)
    pictures = len(open_records(HERE / "larger/records", "train")), len(open_records(RECORDS, "train"))
    found, parts = as_page(plan, arms, members, share_ties, pictures)
    pages.write(NAME, TITLE, found, parts, table_of_runs(arms, plan.settings.tuning_seed))


if __name__ == "__main__":
    run(main)
