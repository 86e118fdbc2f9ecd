"""How the numbers came to be."""

from __future__ import annotations

import statistics

from alexnet.core.progress import duration
from alexnet.report.document import Block, Code, Fold, Row, Section, SideBySide, Table, Text
from alexnet.report.results import Results
from alexnet.report.text import enumerated, percent, printable

# In the order they run; the report's own time is not known while it is written.
STAGES = ("check", "sample", "index", "preprocess", "rgb_pca", "train", "evaluate", "retrieve")


def section(results: Results) -> Section:
    """Return seeds, code, devices, durations, versions and every parameter."""
    blocks: list[Block] = [
        Text(
            f"The weights evaluated are the last, those after epoch {len(results.history)}. No "
            "epoch was chosen by its validation error, which would make the rate too good. A tie counts "
            + (
                "as a share of an error, as in the 2012 source."
                if results.share_ties
                else "against the network."
            )
        ),
        training_table(results),
        SideBySide((seeds_table(results), durations_table(results))),
        Fold("All parameters (params.yaml)", Code(results.params)),
    ]
    if results.photographs.missing:
        missing = results.photographs.missing
        named = enumerated([printable(name) for name in missing[:5]])
        blocks.insert(
            0,
            Text(
                f"{len(missing)} pictures could not be read for the figures and are left out of them: {named}"
                f"{', …' if len(missing) > 5 else ''}. The error rates do not depend on that.",
                warning=True,
            ),
        )
    return Section("provenance", "How it came to be", tuple(blocks))


def training_table(results: Results) -> Table:
    """Return how the network was trained: code, devices, speed and versions."""
    run, history = results.run, results.history
    rate = statistics.median(epoch.pictures_per_second for epoch in history)
    seconds = sum(epoch.seconds for epoch in history)
    waiting = sum(epoch.data_wait_seconds for epoch in history) / seconds if seconds else 0.0
    rows = (
        ("Recipe", run.recipe),
        ("Seed", f"{run.seed}"),
        ("Git commit", run.git_commit or "not under version control"),
        ("Devices", run.devices),
        ("Precision", run.precision),
        ("Loader", run.loader),
        ("Training time", f"{duration(run.seconds)} for {len(history):,} of {run.epochs:,} epochs"),
        ("Speed", f"{rate:,.0f} pictures/s (median of the epochs)"),
        ("Waiting for data", f"{percent(waiting)} of the epochs' time"),
        ("Parameters", f"{run.parameters:,}"),
        ("Network outputs", f"{run.class_count:,}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
    )
    return Table(
        caption="Training run",
        header=("", "This run"),
        rows=tuple(Row(row) for row in rows),
        numeric=False,
    )


def seeds_table(results: Results) -> Table:
    """Return the seed of every section of the parameters that has one."""
    rows = tuple(Row((section, f"{seed}")) for section, seed in results.seeds.items())
    return Table(caption="Seeds", header=("Section", "Seed"), rows=rows)


def durations_table(results: Results) -> Table:
    """Return how long each stage took."""
    found = dict(results.durations)
    if "train" in found:
        # All of it, however often it was stopped and gone on with.
        found["train"] = max(found["train"], results.run.seconds)
    return Table(
        caption="Durations",
        header=("Stage", "Took"),
        rows=tuple(
            Row((stage, duration(found[stage]) if stage in found else "not run here")) for stage in STAGES
        ),
        note="As last run in this folder.",
    )
