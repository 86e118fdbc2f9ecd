"""Figure 4 of the paper, left: pictures and what the network makes of them; and its worst mistakes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alexnet.core.draws import generator
from alexnet.report.document import Block, Picture, Pictures, Section, Text
from alexnet.report.figures import DARK, LIGHT, photographs
from alexnet.report.params import Report
from alexnet.report.results import Results
from alexnet.report.text import percent, printable, short

SHOWN = 8
# Which pictures are shown; drawn, not chosen.
SEED = 2012


def section(results: Results, settings: Report) -> Section:
    """Return some pictures with the five likeliest labels, and the surest mistakes."""
    found = results.predictions
    drawn = np.sort(generator(SEED, "pictures shown").permutation(len(found))[:SHOWN])
    shown = _pictures(results, settings, "guesses", drawn)
    blocks: list[Block] = []
    if shown:
        blocks.append(
            Pictures(
                shown,
                f"{len(shown)} pictures of the split {found.split}, drawn by a fixed seed, not chosen, with "
                "the five likeliest labels over ten patches, as in the paper's Figure 4. "
                + (
                    "The true label stands above each; its bar is in another colour."
                    if found.labelled
                    else ""
                ),
                across=4,
            )
        )
    if found.labelled:
        worst = worst_mistakes(results)
        mistakes = _pictures(results, settings, "mistake", worst)
        if mistakes:
            blocks.append(
                Pictures(
                    mistakes,
                    "The worst mistakes: the wrong labels of which the network was surest. Some are "
                    "the picture's fault, or the label's.",
                    across=4,
                )
            )
        elif not len(worst):
            blocks.append(Text("The likeliest label was never wrong, so there are no worst mistakes."))
    if not shown:
        blocks.append(
            Text(f"None of these pictures could be read from {results.photographs.folder}.", warning=True)
        )
    return Section("guesses", "What it sees", tuple(blocks))


def worst_mistakes(results: Results) -> NDArray[np.int64]:
    """Return the pictures whose likeliest label is wrong, the surest first; at most `SHOWN`."""
    guesses, shares = results.predictions.guesses(1)
    wrong = np.flatnonzero(guesses[:, 0] != results.predictions.labels)
    return wrong[np.argsort(-shares[wrong, 0], kind="stable")][:SHOWN]


def _pictures(
    results: Results, settings: Report, name: str, chosen: NDArray[np.int64]
) -> tuple[Picture, ...]:
    found = results.predictions
    guesses, shares = found.guesses()
    words = [words for _, words in found.classes]
    pictures: list[Picture] = []
    for picture in chosen:
        pixels = results.photographs.pixels(found.split, int(picture))
        if pixels is None:
            continue
        label = int(found.labels[picture])
        true = short(words[label]) if found.labelled else ""
        bars = [
            (short(words[guess]), float(share), bool(guess == label))
            for guess, share in zip(guesses[picture], shares[picture], strict=True)
        ]
        # The network's five labels may have one short name; the description says all.
        said = ", ".join(
            f"{printable(words[guess])} {percent(float(share))}"
            for guess, share in zip(guesses[picture], shares[picture], strict=True)
        )
        truth = f"true label {printable(words[label])}" if found.labelled else "true label unknown"
        pictures.append(
            Picture(
                f"{name}-{len(pictures) + 1}",
                photographs.guesses(pixels, true, bars, settings.figure_dpi, LIGHT),
                f"{printable(str(found.names[picture]))}: {truth}; likeliest labels: {said}.",
                dark=photographs.guesses(pixels, true, bars, settings.figure_dpi, DARK),
            )
        )
    return tuple(pictures)
