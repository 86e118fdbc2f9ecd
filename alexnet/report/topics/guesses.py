"""Figure 4 of the paper, left: pictures and the network's guesses; and its worst mistakes."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.core.draws import generator
from alexnet.report.canvas import Theme, canvas, drawn
from alexnet.report.facts import Facts
from alexnet.report.page import Figure, Figures, Part
from alexnet.report.photographs import Photograph, webp
from alexnet.report.text import percent, short

SHOWN = 8
# Which pictures are shown; drawn, not chosen.
SEED = 2012
# Inches of a photograph with its guesses: the photograph's side, its title, the bars with the gap above.
SIDE, TITLE, BARS, GAP = 2.1, 0.2, 1.15, 0.06


def topic(facts: Facts) -> list[Part]:
    """Return some pictures with the five likeliest labels, and the surest mistakes."""
    found = facts.predictions
    drawn = np.sort(generator(SEED, "pictures shown").permutation(len(found))[:SHOWN])
    shown = _figures(facts, "guesses", drawn)
    true = " The true label stands above each; its bar is in another colour." if found.labelled else ""
    caption = (
        f"{len(shown)} pictures of the split {found.split}, drawn by a fixed seed, not chosen, with the five"
        f" likeliest labels over ten patches, as in the paper's Figure 4.{true}"
    )
    parts: list[Part] = ["## What it sees"]
    if shown:
        parts.append(Figures(shown, caption, across=4))
    if found.labelled:
        worst = worst_mistakes(facts)
        caption = "The worst mistakes: the wrong labels that the network was surest of."
        if mistakes := _figures(facts, "mistake", worst):
            parts.append(Figures(mistakes, caption, across=4))
        elif not len(worst):
            parts.append("The likeliest label was never wrong, so there are no worst mistakes.")
    if not shown:
        parts.append(facts.photographs.absence)
    return parts


def worst_mistakes(facts: Facts) -> NDArray[np.int64]:
    """Return the pictures whose likeliest label is wrong, the surest first; at most `SHOWN`."""
    guesses, shares = facts.predictions.guesses(1)
    wrong = np.flatnonzero(guesses[:, 0] != facts.predictions.labels)
    return wrong[np.argsort(-shares[wrong, 0], kind="stable")][:SHOWN]


def _figures(facts: Facts, name: str, chosen: NDArray[np.int64]) -> tuple[Figure, ...]:
    found = facts.predictions
    guesses, shares = found.guesses()
    words = [words for _, words in found.classes]
    figures: list[Figure] = []
    for picture in chosen:
        pixels = facts.photographs.pixels(found.split, int(picture))
        if pixels is None:
            continue
        label = int(found.labels[picture])
        likeliest = [*zip(guesses[picture].tolist(), shares[picture].tolist(), strict=True)]
        bars = [(short(words[guess]), share, guess == label) for guess, share in likeliest]
        # The network's five labels may have one short name; the description says all.
        said = ", ".join(f"{words[guess]} {percent(share)}" for guess, share in likeliest)
        truth = f"true label {words[label]}" if found.labelled else "true label unknown"
        true = short(words[label]) if found.labelled else ""
        figures.append(
            drawn(
                f"{name}-{len(figures) + 1}",
                partial(with_guesses, pixels, true, bars, facts.settings.figure_dpi),
                f"{found.names[picture]}: {truth}; likeliest labels: {said}.",
            )
        )
    return tuple(figures)


def with_guesses(
    photograph: Photograph, true: str, labels: Sequence[tuple[str, float, bool]], dpi: int, theme: Theme
) -> bytes:
    """Draw a photograph, its true label, if known, and a bar for each of the likeliest labels.

    `labels` are name, probability and whether it is the true one, the likeliest first.
    """
    height = TITLE + SIDE + BARS
    with canvas(theme, dpi, SIDE, height, photograph=True) as (figure, png):
        above = figure.add_axes((0, BARS / height, 1, SIDE / height))
        below = figure.add_axes((0, 0, 1, (BARS - GAP) / height), facecolor="none")
        above.imshow(photograph, interpolation="lanczos")
        figure.text(0.5, 1, true, fontsize=9, ha="center", va="top")
        colours = [theme.top5 if right else theme.top1 for _, _, right in labels]
        shares = [share for _, share, _ in labels]
        below.barh(range(len(labels)), shares, 0.26, color=colours, align="edge")
        for place, (name, share, right) in enumerate(labels):
            # The name stands on its bar, the share at the right.
            look: dict[str, Any] = {"fontsize": 8, "va": "bottom"}
            below.text(0, place - 0.05, name, weight="bold" if right else "normal", **look)
            below.text(1, place - 0.05, f"{share:.0%}", ha="right", color=theme.train, **look)
        below.set_xlim(0, 1)
        below.set_ylim(4.32, -0.72)
        for axes in (above, below):
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
    return webp(Image.open(png))
