"""How much sooner rectified linear units learn, and what response normalisation is worth.

python -m experiments.figure1.page
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.ticker import PercentFormatter

from alexnet.core.params import read
from alexnet.core.stage import run
from alexnet.evaluation.intervals import exact_interval
from alexnet.report.canvas import Theme, one_axes
from alexnet.report.markup import table
from alexnet.report.page import Part
from alexnet.report.text import enumerated, interval, percent, points
from experiments.figure1.pictures import read_pictures
from experiments.figure1.settings import HERE, PARAMS, Activation, Arm, Beginning, Figure1, Norm
from experiments.figure1.training import Result, epochs_to, read_result
from experiments.shared import pages
from experiments.shared.paired import over_seeds

NAME = "figure1"
NAMES: dict[Activation, str] = {"relu": "ReLU", "tanh": "tanh", "abs_tanh": "|tanh|"}
STYLES: dict[Activation, str] = {"relu": "-", "tanh": "--", "abs_tanh": ":"}
TITLES: dict[Beginning, str] = {
    "unit-gain": "Figure 1: rectified linear units against tanh",
    "cuda-convnet": "Figure 1: rectified linear units against tanh, begun as in cuda-convnet",
}
BEGINNINGS: dict[Beginning, str] = {
    "unit-gain": "with weights of deviation 1/√inputs and pictures of deviation 1",
    "cuda-convnet": "with the small weights of cuda-convnet's example with 18 % error, on grey levels",
}
# What the paper says (sections 3.1 and 3.3).
PAPER_RATIO = 6
PAPER_ERRORS: dict[Arm, str] = {"13-percent": "13%", "11-percent-without-norms": "", "11-percent": "11%"}
ARMS: dict[Arm, str] = {
    "13-percent": "the network with 13 % test error",
    "11-percent-without-norms": "the network with 11 %, without its normalisation",
    "11-percent": "the network with 11 % test error",
}


class Results(NamedTuple):
    """What is finished with the settings as they are now, by activation or arm, and seed."""

    sweeps: dict[Activation, Result]
    runs: dict[tuple[Activation, int], Result]
    norms: dict[tuple[Arm, int], Result]


def read_results(settings: Figure1, folder: Path = HERE) -> Results:
    """Return what is finished; a training at another rate than its sweep chose is not."""
    found = Results({}, {}, {})
    for activation in settings.activations:
        if sweep := read_result(folder / f"sweep-{activation}.json", settings.of_sweep()):
            found.sweeps[activation] = sweep
            for seed in settings.seeds:
                trained = read_result(folder / f"{activation}-{seed}.json", settings.of_training())
                if trained and trained.learning_rate == sweep.learning_rate and _is_whole(trained, settings):
                    found.runs[activation, seed] = trained
    for arm in PAPER_ERRORS:
        for seed in settings.norm.seeds:
            if tested := read_result(folder / f"norm-{arm}-{seed}.json", settings.of_norm()):
                found.norms[arm, seed] = tested
    return found


def _is_whole(trained: Result, settings: Figure1) -> bool:
    """Whether a training went on to the goal, or for all epochs, as they are set now."""
    last = trained.errors[-1]
    return last <= settings.goal or math.isnan(last) or len(trained.errors) >= settings.epochs


def ratio_to_relu(results: Results, activation: Activation, settings: Figure1) -> str:
    """Return how much longer `activation` takes, from the seeds with which ReLU came to the goal; or nothing.

    It is the geometric mean of epochs to the goal over ReLU's, with its 95 % interval over the seeds, and
    their number unless it is all. A seed that did not reach the goal counts with all epochs: the ratio is at
    least this large.
    """
    logs, bounded = [], False
    for seed in settings.seeds:
        one, relu = results.runs.get((activation, seed)), results.runs.get(("relu", seed))
        base = epochs_to(relu.errors, settings.goal) if relu else None
        if one is not None and base is not None:
            end = epochs_to(one.errors, settings.goal)
            bounded |= end is None
            logs.append(math.log((end or settings.epochs) / base))
    if not logs:
        return ""
    mean, between, told = f"{math.exp(pages.mean(logs)):.1f}", over_seeds(logs), []
    if between and not bounded:
        told.append(f"{math.exp(between[0]):.1f} to {math.exp(between[1]):.1f}")
    if len(logs) < len(settings.seeds):
        told.append(f"{len(logs)} of {len(settings.seeds)} seeds")
    return ("at least " if bounded else "") + mean + (f" ({'; '.join(told)})" if told else "")


def table_of_runs(results: Results, goal: float) -> pd.DataFrame:
    all_runs: list[tuple[tuple[str, int], Result]] = [*results.runs.items(), *results.norms.items()]
    lines = [
        (*run, found.learning_rate, epoch, error, epochs_to(found.errors, goal), found.test_error)
        for run, found in all_runs
        for epoch, error in enumerate(found.errors, 1)
    ]
    columns = ["network", "seed", "learning_rate", "epoch", "train_error", "epochs_to_goal", "test_error"]
    return pd.DataFrame(lines, columns=columns)


def as_page(
    settings: Figure1, results: Results, pictures: int, classes: int, name: str
) -> tuple[str, list[Part]]:
    """Return what was found in a sentence or two, and the parts of the page `name`."""
    goal = settings.goal
    ratios = {one: ratio_to_relu(results, one, settings) for one in settings.activations}
    slower = {NAMES[one]: ratio for one, ratio in ratios.items() if ratio and one != "relu"}
    told = [f"{name} takes {ratio} times the epochs of ReLU" for name, ratio in slower.items()]
    found = "No runs of ReLU and of another activation are finished yet."
    if told:
        found = (
            f"To {goal:.0%} training error, {'; '.join(told)}. The paper says about {PAPER_RATIO} for tanh."
        )
    planned = len(settings.activations) * len(settings.seeds)
    return found, [
        f"{pages.count(pictures, 'training picture')} of {settings.side}×{settings.side} in {classes}"
        f" classes, batches of {settings.batch_size}, momentum {settings.momentum:g}, {settings.precision},"
        f" {pages.count(len(settings.seeds), 'seed')}: {len(results.runs)} of {planned} runs are finished."
        " There is no weight decay, no dropout, no crops and no mirrors. The training error counts the"
        " pictures that were misclassified when they were trained on, while the weights changed. The paper"
        " does not say how its networks were initialised; ours are initialised in the same way for all"
        f" activations, {BEGINNINGS[settings.beginning]}.",
        epochs_table(settings, results, ratios),
        pages.figure(
            name,
            lambda theme: draw(settings, results, theme),
            f"Training error against epochs for {', '.join(NAMES[one] for one in settings.activations)}, down"
            f" to {goal:.0%}.",
            "Training error, a line per seed, as in the paper's Figure 1.",
        ),
        "## How the learning rates were chosen\n\nAll rates train side by side, with a seed of their own,"
        f" until one is at {goal:.0%}, or for {settings.epochs} epochs. The rate that needs the fewest epochs"
        " is chosen; if none is there, the one with the lowest last error. While it is the lowest or highest"
        " rate, one that is √10 times lower or higher is added, at most"
        f" {pages.count(settings.sweep.more_steps, 'time')}. Finally, the rates a factor of √3 below and"
        " above it are tried.",
        sweep_table(settings, results),
        *(norm_parts(settings.norm, results) if results.norms else []),
        *pages.how_it_was_made(NAME, name, pages.settings("Settings", settings.model_dump(mode="json"))),
    ]


def norm_parts(norm: Norm, results: Results) -> list[Part]:
    return [
        "## Response normalisation\n\ncuda-convnet's networks of two convolutions, two locally connected"
        f" layers and a fully connected one are trained for {norm.epochs} epochs. The rate is divided by 10"
        f" at the start of epochs {enumerated([*map(str, norm.drop_epochs)]) or 'none'}. They are trained on"
        f" patches of {norm.crop}×{norm.crop} and their mirrors, and tested once, at the end, on nine patches"
        " of each picture without mirrors, as the authors did. The authors trained for about 520 epochs, so"
        " the errors cannot be compared with theirs, and the differences are those after"
        f" {norm.epochs} epochs. Their two networks also differ in the number of"
        " maps of the third layer (64 with normalisation, 32 without) and in the weight decay of the last"
        " one. Therefore the network with normalisation is also trained without it.",
        norm_table(results),
    ]


def epochs_table(settings: Figure1, results: Results, ratios: Mapping[Activation, str]) -> str:
    rows = []
    for one, ratio in ratios.items():
        rate = f"{results.sweeps[one].learning_rate:g}" if one in results.sweeps else ""
        told = ", ".join(_told(results.runs.get((one, seed)), settings.goal) for seed in settings.seeds)
        paper = f"about {PAPER_RATIO}" if one == "tanh" else ""
        rows.append((NAMES[one], rate, told, "1" if one == "relu" else ratio, paper))
    return table(
        ("activation", "learning rate", f"epochs to {settings.goal:.0%}, by seed", "times ReLU's", "paper"),
        rows,
        f"Epochs to {settings.goal:.0%} training error.",
        "Fractions of an epoch are interpolated linearly. Times ReLU's: geometric mean over"
        " seeds paired with ReLU's (95 % interval by Student's t of the logarithms), without the seeds with"
        " which ReLU did not come to the goal.",
        numeric=False,
    )


def _told(found: Result | None, goal: float) -> str:
    if found is None:
        return "not finished"
    if math.isnan(found.errors[-1]):
        return f"diverged in epoch {len(found.errors)}"
    end = epochs_to(found.errors, goal)
    return f"not reached in {len(found.errors)} epochs" if end is None else f"{end:.1f}"


def sweep_table(settings: Figure1, results: Results) -> str:
    rows, edges = [], []
    for activation, found in results.sweeps.items():
        rates = {float(rate): errors for rate, errors in found.swept.items()}
        for rate, errors in sorted(rates.items()):
            end, last = epochs_to(errors, settings.goal), errors[-1]
            error = "diverged" if math.isnan(last) else percent(last)
            chosen = "chosen" if rate == found.learning_rate else ""
            goal = f"{end:.1f}" if end else "not reached"
            rows.append((NAMES[activation], f"{rate:g}", error, str(len(errors)), goal, chosen))
        if found.learning_rate in (min(rates), max(rates)):
            edges.append(NAMES[activation])
    to_goal = f"epochs to {settings.goal:.0%}"
    return table(
        ("activation", "learning rate", "training error", "after epochs", to_goal, ""),
        rows,
        "Training error at each learning rate.",
        f"At an end of the range, so that a wider one might find better: {enumerated(edges) or 'none'}.",
        numeric=False,
    )


def norm_table(results: Results) -> str:
    rows = []
    for (arm, seed), found in results.norms.items():
        test = "diverged"
        if not math.isnan(found.errors[-1]):
            test = f"{percent(found.test_error)} ({interval(exact_interval(found.test_error, found.tested))})"
        rows.append((ARMS[arm], str(seed), percent(found.errors[-1]), test, PAPER_ERRORS[arm]))
    return table(
        ("network", "seed", "training error, last epoch", "test error", "paper"),
        rows,
        "Test error with and without normalisation across maps (exact binomial 95 % interval).",
        f"{_change(results, '11-percent-without-norms')} {_change(results, '13-percent')}"
        " For these two networks the paper has 2.0 points.",
        numeric=False,
    )


def _change(results: Results, arm: Arm) -> str:
    """Say by how much the test error of `arm` is above that of the net with 11 %, where neither diverged."""
    errors = {
        run: found.test_error for run, found in results.norms.items() if not math.isnan(found.errors[-1])
    }
    seeds = [seed for one, seed in errors if one == arm and ("11-percent", seed) in errors]
    changes = [errors[arm, seed] - errors["11-percent", seed] for seed in seeds]
    if not changes:
        return f"{ARMS[arm].capitalize()}: not finished yet."
    between, change = over_seeds(changes), pages.mean(changes)
    place = f"points {'above' if change >= 0 else 'below'}"
    return (
        f"{ARMS[arm].capitalize()}: the test error is {points(abs(change))[1:]} {place} that of the"
        f" network with 11 % ({pages.count(len(changes), 'seed')},"
        f" {f'95 % over seeds {pages.interval(between)}' if between else 'no verdict'})."
    )


def draw(settings: Figure1, results: Results, theme: Theme) -> bytes:
    colours: dict[Activation, str] = {"relu": theme.top1, "tanh": theme.train, "abs_tanh": theme.top5}
    labels = dict(NAMES)
    with one_axes(theme, pages.DPI, 7.0, 4.2) as (axes, png):
        axes.axhline(settings.goal, color=theme.train, linewidth=0.5)
        for (activation, _), found in results.runs.items():
            epochs, label = range(1, len(found.errors) + 1), labels.pop(activation, None)
            line, marker = STYLES[activation], "o" if len(epochs) == 1 else ""
            axes.plot(epochs, found.errors, line, color=colours[activation], label=label, marker=marker)
        axes.set_ylim(0, 0.8)
        axes.set_xlim(left=0)
        axes.set_xlabel("epochs")
        axes.set_ylabel("training error rate")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        if results.runs:
            axes.legend()
    return png.getvalue()


def main(name: pages.Name = NAME) -> None:
    """Write the page with the results of the finished runs."""
    settings = read(PARAMS, Figure1)
    results = read_results(settings)
    labels = read_pictures("train").labels
    found, parts = as_page(settings, results, len(labels), int(labels.max()) + 1, name)
    pages.write(name, TITLES[settings.beginning], found, parts, table_of_runs(results, settings.goal))


if __name__ == "__main__":
    run(main)
