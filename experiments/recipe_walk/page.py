"""How long each row of the walk stays on the plateau, and which knob ends it.

    python -m experiments.recipe_walk.summary

reads the runs that are there, finished or not, and writes a page, as HTML and as Markdown with its figure,
and a table of the runs. The plateau is the loss of a network that knows how frequent each class is: the
entropy of the class frequencies.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from matplotlib.ticker import MaxNLocator

from alexnet.core.files import replacing
from alexnet.core.params import read
from alexnet.core.stage import RECORDS, run
from alexnet.report.document import Picture
from alexnet.report.figures import DARK, LIGHT, Dress, canvas
from alexnet.report.writing import Part, table_of
from alexnet.store.records import open_records
from alexnet.training.chance import TOLERANCE, is_below_chance, loss_at_chance
from experiments.recipe_walk.walk import HERE, PARAMS, RUNS, Walk, parameters
from experiments.shared.publishing import FOLDER, publish
from experiments.shared.values import Values, is_made_with

NAME = "recipe_walk"
TITLE = "Which of the published settings trains?"
ACROSS = 4
DPI = 150
COLUMNS = ["train_loss", "val_top1_error"]


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        losses: the training loss of each epoch, nats; none when the run, with the parameters as they are
            now, has not begun.
        error: validation error (fraction) of the centre patch after the last epoch, or None.
    """

    seed: int
    losses: list[float]
    error: float | None

    def plateau_end(self, entropy: float) -> int | None:
        """Return the first epoch (from 1) whose loss is below the plateau, or None."""
        below = (epoch for epoch, loss in enumerate(self.losses, 1) if is_below_chance(loss, entropy))
        return next(below, None)

    def came_back(self, entropy: float) -> bool:
        """Return whether the run left the plateau and ended on it all the same."""
        return self.plateau_end(entropy) is not None and not is_below_chance(self.losses[-1], entropy)


@dataclass(frozen=True)
class RowResult:
    """A row's runs, one a seed, and what it changed."""

    name: str
    changed: Values
    signal: tuple[float, float] | None
    runs: list[Run]

    def finished(self, epochs: int) -> list[Run]:
        return [run for run in self.runs if len(run.losses) >= epochs]


def read_run(folder: Path, seed: int, values: Values) -> Run:
    """Read a run's history; a run that has not come to its first epoch with `values` is empty."""
    path = folder / "training" / "history.csv"
    if not path.exists() or not is_made_with(folder, {**values, "train.seed": seed}):
        return Run(seed, [], None)
    history = pd.read_csv(path, usecols=COLUMNS)
    return Run(seed, history["train_loss"].tolist(), float(history["val_top1_error"].iloc[-1]))


def read_results(walk: Walk, params: Path, runs: Path, signals: Path) -> list[RowResult]:
    """Return the results of all rows in order."""
    rows = parameters(walk, params)
    before = next(iter(rows.values()))
    reach = {}
    if signals.exists():
        table = pd.read_csv(signals).set_index("row")
        reach = {str(name): (float(line.iloc[0]), float(line.iloc[1])) for name, line in table.iterrows()}
    results = []
    for row in walk.rows:
        values = rows[row.name]
        reference = rows[row.after] if row.after else before
        changed = {key: value for key, value in values.items() if reference[key] != value}
        trained = [read_run(runs / f"{row.name}-{seed}", seed, values) for seed in walk.seeds]
        results.append(RowResult(row.name, changed, reach.get(row.name), trained))
        before = values
    return results


def as_table(results: Sequence[RowResult], entropy: float) -> pd.DataFrame:
    """Return a line per run."""
    lines = []
    for row in results:
        for trained in row.runs:
            done = len(trained.losses)
            end = trained.plateau_end(entropy)
            loss = trained.losses[-1] if done else None
            lines.append((row.name, trained.seed, done, end, loss, trained.error))
    columns = ["row", "seed", "epochs", "first_epoch_below_plateau", "train_loss", "val_top1_error"]
    table = pd.DataFrame(lines, columns=columns)
    return table.astype({"first_epoch_below_plateau": "Int64"})


def as_page(
    results: Sequence[RowResult], walk: Walk, entropy: float, epochs: int, pictures: int
) -> tuple[str, list[Part]]:
    """Return the page's summary and its parts."""
    done = sum(len(row.finished(epochs)) for row in results)
    planned = len(results) * len(walk.seeds)
    alike = ", ".join(f"`{key}: {_shown(value)}`" for key, value in walk.alike.items())
    after = {row.name: row.after for row in walk.rows}
    parts: list[Part] = [
        f"From `{walk.start}` to `{walk.goal}`, one knob at a time, and on. Each row"
        " keeps what the rows above it changed; a row “after” another starts from that one."
        f" {pictures:,} training pictures, {epochs} epochs, {len(walk.seeds)} seeds a row:"
        f" {done} of {planned} runs are finished"
        + ("." if done == planned else "; the others are marked as not run or with the epochs they came to."),
        f"Alike in all rows: {alike}.",
        f"A network that knows how frequent each class is, and nothing else, has a loss of {entropy:.3f}:"
        f" the plateau. It is left in the first epoch whose mean training loss is {TOLERANCE:.0%} below. The"
        " signal is how far fc8's outputs differ between pictures before training (their standard"
        " deviation), at width 1 and as trained here.",
        table_of(
            _rows(results, after, entropy, epochs),
            caption="The rows of the walk",
            numeric=False,
            note="Losses and errors: mean over the finished seeds (lowest to highest); errors are of the"
            " centre patch after the last epoch.",
        ),
        "\n".join(_reading(results, after, entropy, epochs)),
        Picture(
            NAME,
            as_figure(results, entropy, epochs),
            dark=as_figure(results, entropy, epochs, DARK),
            alt=f"Training loss of every row over {epochs} epochs, a panel a row and a line a seed; dotted:"
            f" the plateau at {entropy:.3f} nats.",
            caption="Training loss of every row, a line a seed; dotted: the plateau.",
        ),
        f"Made by `dvc repro --keep-going experiments/{NAME}/dvc.yaml`; the rows are in"
        f" `experiments/{NAME}/params.yaml`, the figures of each run in `{NAME}.csv`.",
    ]
    return _summary(results, entropy, epochs), parts


def _summary(results: Sequence[RowResult], entropy: float, epochs: int) -> str:
    finished = [(row.name, row.finished(epochs)) for row in results if row.finished(epochs)]
    flat = [name for name, runs in finished if all(run.plateau_end(entropy) is None for run in runs)]
    return (
        "From the paper's recipe to the authors' own, one knob at a time. Of"
        f" {len(finished)} rows, still at the entropy of the class frequencies after {epochs} epochs with"
        f" every seed: {', '.join(flat) or 'none'}."
    )


def _rows(
    results: Sequence[RowResult], after: dict[str, str | None], entropy: float, epochs: int
) -> pd.DataFrame:
    rows = []
    for row in results:
        changes = ", ".join(f"{key}: {_shown(value)}" for key, value in row.changed.items()) or "as printed"
        if after[row.name]:
            changes += f" (after {after[row.name]})"
        full, here = (f"{row.signal[1]:.2g}", f"{row.signal[0]:.2g}") if row.signal else ("", "")
        ends = ", ".join(_end(trained, entropy, epochs) for trained in row.runs)
        complete = row.finished(epochs)
        loss = _spread([trained.losses[-1] for trained in complete], "{:.2f}")
        error = _spread([trained.error for trained in complete if trained.error is not None], "{:.1%}")
        rows.append((row.name, changes, full, here, ends, loss, error))
    columns = ("row", "changes", "signal at width 1", "here", "plateau left in epoch, by seed")
    return pd.DataFrame(rows, columns=[*columns, "last training loss", "validation error"])


def _end(trained: Run, entropy: float, epochs: int) -> str:
    end = trained.plateau_end(entropy)
    if end is not None:
        return f"{end}, but ended on it" if trained.came_back(entropy) else str(end)
    done = len(trained.losses)
    return "not run" if done == 0 else f"not within {done}" + (" (unfinished)" if done < epochs else "")


def _reading(
    results: Sequence[RowResult], after: dict[str, str | None], entropy: float, epochs: int
) -> list[str]:
    """Say which rows are flat, and where the plateau grows shorter or longer from one row to the next."""
    by_name = {row.name: row for row in results}
    lines = []
    before: RowResult | None = None
    for row in results:
        complete = row.finished(epochs)
        ends = [trained.plateau_end(entropy) for trained in complete]
        other = by_name[str(after[row.name])] if after[row.name] else before
        before = row
        if not complete:
            lines.append(f"- **{row.name}**: no finished run.")
            continue
        left = [end for end in ends if end is not None]
        if not left:
            text = f"flat: on the plateau to the end, epoch {epochs}, with {_seeds(len(complete))}"
        else:
            text = f"left the plateau in epoch {_numbers(left)}"
            if len(left) < len(complete):
                text += f"; flat with {_seeds(len(complete) - len(left))}"
            if back := sum(trained.came_back(entropy) for trained in complete):
                text += f"; ended on it all the same with {_seeds(back)}"
        lines.append(f"- **{row.name}**: {text}{_compared(row, other, entropy, epochs)}.")
    return lines


def _compared(row: RowResult, other: RowResult | None, entropy: float, epochs: int) -> str:
    """Compare the runs of equal seeds of two rows: a seed is one draw of weights and order."""
    if other is None:
        return ""
    there = {trained.seed: _length(trained, entropy, epochs) for trained in other.finished(epochs)}
    changes = [
        _length(trained, entropy, epochs) - there[trained.seed]
        for trained in row.finished(epochs)
        if trained.seed in there
    ]
    if not changes:
        return ""
    if all(change < 0 for change in changes):
        return f": sooner than {other.name} with every seed"
    if all(change > 0 for change in changes):
        return f": later than {other.name} with every seed"
    return f"; against {other.name} neither sooner nor later with every seed"


def _length(trained: Run, entropy: float, epochs: int) -> int:
    return trained.plateau_end(entropy) or epochs + 1


def _seeds(count: int) -> str:
    return f"{count} seed{'s' if count != 1 else ''}"


def _numbers(values: list[int]) -> str:
    return ", ".join(str(value) for value in values)


def _spread(values: list[float], form: str) -> str:
    if not values:
        return ""
    mean = form.format(statistics.fmean(values))
    return f"{mean} ({form.format(min(values))} to {form.format(max(values))})"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def as_figure(results: Sequence[RowResult], entropy: float, epochs: int, dress: Dress = LIGHT) -> bytes:
    """Draw a panel a row: the training loss of each seed, and the plateau as a dotted line."""
    down = math.ceil(len(results) / ACROSS)
    with canvas(dress, DPI, 2.1 * ACROSS, 1.6 * down) as (figure, png):
        panels = figure.subplots(down, ACROSS, sharex=True, sharey=True, squeeze=False).flatten()
        for row, panel in zip(results, panels, strict=False):
            panel.set_facecolor("none")
            panel.axhline(entropy, color=dress.train, linestyle=":", linewidth=1)
            for trained in row.runs:
                panel.plot(range(1, len(trained.losses) + 1), trained.losses, color=dress.top1, linewidth=1)
            panel.set_title(row.name, fontsize=9.5, loc="left")
            if not any(trained.losses for trained in row.runs):
                panel.text(0.5, 0.5, "not run", transform=panel.transAxes, ha="center")
        for panel in panels[len(results) :]:
            panel.set_visible(False)
        panels[0].set_xlim(0.5, epochs + 0.5)
        panels[0].set_ylim(0, 1.25 * entropy)
        panels[0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
        figure.supxlabel("epoch", fontsize=9.5)
        figure.supylabel("training loss, nats", fontsize=9.5)
    return png.getvalue()


def main(
    params: Annotated[Path, typer.Option(help="the walk")] = PARAMS,
    records: Path = RECORDS,
    runs: Annotated[Path, typer.Option(help="folder of the trainings")] = RUNS,
    signals: Annotated[Path, typer.Option(help="what `signal` measured; may be absent")] = HERE
    / "signal.csv",
    out: Annotated[Path, typer.Option(help="folder for page, figure and table")] = FOLDER,
) -> None:
    """Write the results of the runs that are there and print the page."""
    walk = read(params, Walk)
    labels = open_records(records, "train").labels
    entropy, epochs = loss_at_chance(labels), int(walk.alike["train.epochs"])
    results = read_results(walk, params, runs, signals)
    description, parts = as_page(results, walk, entropy, epochs, len(labels))
    publish(out, NAME, TITLE, description, parts)
    with replacing(out / f"{NAME}.csv") as temporary:
        as_table(results, entropy).to_csv(temporary, index=False)
    print((out / f"{NAME}.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run(main)
