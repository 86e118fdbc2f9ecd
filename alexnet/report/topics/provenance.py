"""How the numbers came to be: seeds, code, devices, durations, versions and every parameter."""

import statistics
from collections.abc import Iterator

from alexnet.core.progress import duration
from alexnet.report.facts import Facts
from alexnet.report.markup import code, fold, table, warning
from alexnet.report.page import Part
from alexnet.report.text import enumerated, percent

# In the order they run; the report's own time is not known while it is written.
STAGES = ("check", "sample", "index", "preprocess", "rgb_pca", "train", "evaluate", "retrieve")


def topic(facts: Facts) -> list[Part]:
    """Return how the run was made. It comes last, to name the pictures that other topics could not read."""
    ties = "as a share of an error, as in the 2012 source" if facts.share_ties else "against the network"
    return [
        "## How it came to be",
        *_left_out([*facts.photographs.missing]),
        f"The weights evaluated are the last, those after epoch {len(facts.history)}. No epoch was chosen by"
        f" its validation error, which would make the rate look too good. A tie counts {ties}.",
        training_table(facts),
        table(("Section", "Seed"), [(section, f"{seed}") for section, seed in facts.seeds.items()], "Seeds"),
        durations_table(facts),
        fold("All parameters (params.yaml)", code(facts.params)),
    ]


def _left_out(missing: list[str]) -> Iterator[str]:
    if missing:
        named = enumerated(missing[:5])
        yield warning(
            f"{len(missing)} pictures could not be read for the figures and are left out of them: {named}"
            f"{', …' if len(missing) > 5 else ''}. The error rates do not depend on that."
        )


def training_table(facts: Facts) -> str:
    """Return how the network was trained: code, devices, speed and versions."""
    run, history = facts.run, facts.history
    rate = statistics.median(epoch.pictures_per_second for epoch in history)
    seconds = sum(epoch.seconds for epoch in history)
    waiting = sum(epoch.data_wait_seconds for epoch in history) / seconds if seconds else 0.0
    rows = (
        ("Recipe", run.recipe),
        ("Seed", f"{run.seed}"),
        ("Git commit", run.git_commit or "none: the code is in no repository that Git reads"),
        ("Devices", run.devices),
        ("Precision", run.precision),
        ("Loader", run.loader),
        ("Training time, without validation", f"{duration(run.seconds)} for {facts.epochs} epochs"),
        ("Speed", f"{rate:,.0f} pictures/s (median of the epochs)"),
        ("Waiting for data", f"{percent(waiting)} of the epochs' time"),
        ("Parameters", f"{run.parameter_count:,}"),
        ("Network outputs", f"{run.class_count:,}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
    )
    return table(("", "This run"), rows, "Training run", numeric=False)


def durations_table(facts: Facts) -> str:
    """Return how long each stage took."""
    found = dict(facts.durations)
    if "train" in found:
        # All of it, however often it was stopped and resumed.
        found["train"] = max(found["train"], facts.run.seconds)
    return table(
        ("Stage", "Took"),
        [(stage, duration(found[stage]) if stage in found else "not run here") for stage in STAGES],
        "Durations",
        "As last run by DVC in this folder.",
    )
