"""What the network learnt from: pictures, their colours, and the patches it was shown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.core.draws import generator
from alexnet.feed.colour import colour_shift
from alexnet.feed.order import training_epoch
from alexnet.report.document import Block, Fold, Picture, Pictures, Row, Section, Table, Text
from alexnet.report.figures import DARK, LIGHT, photographs
from alexnet.report.figures.colours import rgb_components
from alexnet.report.paper import CHANNEL_MEANS, RGB_STANDARD_DEVIATIONS
from alexnet.report.params import Report
from alexnet.report.results import Results
from alexnet.report.text import MINUS, percent, printable, short

SKIPPED_SHOWN = 20
AUGMENTED = 4
EPOCHS_SHOWN = 5
SEED = 2012
PATCH = 224


def data_section(results: Results) -> Section:
    """Return how many pictures there are and which were skipped."""
    listing: Block = Text("No picture was skipped.")
    if results.skipped:
        listing = Fold(f"Why {len(results.skipped):,} could not be used", skipped_table(results))
    return Section("data", "Data", (pictures_table(results), listing))


def colours_section(results: Results, settings: Report) -> Section:
    """Return patches as training cut them, and the principal components of RGB beside the authors'."""
    blocks: list[Block] = []
    patches = _augmented(results)
    if patches:
        blocks.append(
            Pictures(
                patches,
                "Training pictures (first) and the patches that epochs "
                f"1 to {EPOCHS_SHOWN} cut of them: place, mirror and colour shift as drawn for this run "
                "(Section 4.1 of the paper). The colour shift as printed is of a few grey levels.",
                across=1,
            )
        )
    else:
        blocks.append(Text("None of the training pictures could be read.", warning=True))
    pca, dpi = results.rgb_pca, settings.figure_dpi
    strips = Picture(
        "rgb_components",
        rgb_components(pca, dpi, LIGHT),
        "Three strips of colour, one a component, from two standard deviations below the mean "
        "colour to two above.",
        dark=rgb_components(pca, dpi, DARK),
        width=480,
    )
    blocks += [
        Text(
            "The colour noise of training shifts a picture along "
            "these three directions. The authors' values, shipped with their cuda-convnet2, "
            "are ImageNet's; a small sample's need not be near them."
        ),
        components_table(results),
        Pictures((strips,), "The colours along each component, through the mean colour."),
        means_table(results),
    ]
    return Section("colours", "Patches and colours", tuple(blocks))


def _augmented(results: Results) -> tuple[Picture, ...]:
    training, augment = results.photographs.records("train"), results.augment
    if training is None:
        return ()
    count = len(training)
    drawn = np.sort(generator(SEED, "augmented pictures shown").permutation(count)[:AUGMENTED])
    whole = {int(record): results.photographs.pixels("train", int(record)) for record in drawn}
    rows = {record: [_shrunk(pixels)] for record, pixels in whole.items() if pixels is not None}
    for number in range(1, EPOCHS_SHOWN + 1):
        epoch = training_epoch(results.seeds["train"], number, count, augment)
        for record, row in rows.items():
            shift, divisor = colour_shift(
                epoch.noise[record : record + 1], results.statistics, augment, number
            )
            top, left = int(epoch.top[record]), int(epoch.left[record])
            pixels = whole[record]
            assert pixels is not None
            patch = pixels[top : top + PATCH, left : left + PATCH].astype(np.float64)
            patch = patch[:, ::-1] if epoch.mirrored[record] else patch
            # What is seen is relative to the mean image, so the source's divisor shrinks the contrast.
            patch = (patch - 127.5 + (0 if shift is None else shift)) / divisor + 127.5
            row.append(np.rint(patch.clip(0, 255)).astype(np.uint8))
    return tuple(
        Picture(
            f"patches-{number}",
            photographs.row(row),
            f"{printable(str(training.names[record]))}, a picture of "
            f"{short(results.predictions.classes[int(training.labels[record])][1])}, and {EPOCHS_SHOWN} "
            "patches of it.",
        )
        for number, (record, row) in enumerate(rows.items(), 1)
    )


def _shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a whole picture in a patch's size."""
    small = Image.fromarray(pixels).resize((PATCH, PATCH), Image.Resampling.LANCZOS)
    return np.asarray(small)


def components_table(results: Results) -> Table:
    """Return the principal components of the RGB values beside the authors' (Section 4.1)."""
    pca = results.rgb_pca
    variance = sum(pca.eigenvalues_unit)
    rows = [
        Row(
            (
                f"{number}",
                f"{deviation:.2f}",
                f"{theirs:.2f}",
                percent(eigenvalue / variance if variance else 0.0),
                *(f"{weight:+.3f}".replace("-", MINUS) for weight in vector),
            )
        )
        for number, (deviation, theirs, eigenvalue, vector) in enumerate(
            zip(
                pca.standard_deviations,
                RGB_STANDARD_DEVIATIONS,
                pca.eigenvalues_unit,
                pca.eigenvectors,
                strict=True,
            ),
            start=1,
        )
    ]
    return Table(
        caption=f"Principal components over {pca.images:,} training pictures",
        header=("Component", "This run", "The authors", "Variance", "Red", "Green", "Blue"),
        rows=tuple(rows),
        note="This run, the authors: standard deviations in grey levels, 0 to 255. The sign of a "
        "component is arbitrary.",
    )


def means_table(results: Results) -> Table:
    """Return the mean image's channel means beside the authors'."""
    return Table(
        caption="Channel means, in grey levels",
        header=("", "Red", "Green", "Blue"),
        rows=(
            Row(
                ("This run", *(f"{mean:.2f}" for mean in results.rgb_pca.channel_means)),
                ours=True,
            ),
            Row(("The authors", *(f"{mean:.2f}" for mean in CHANNEL_MEANS))),
        ),
    )


def pictures_table(results: Results) -> Table:
    """Return how many pictures each split holds and how many were skipped."""
    return Table(
        caption="Pictures",
        header=("Split", "Pictures", "Skipped"),
        rows=tuple(
            Row((name, f"{split.pictures:,}", f"{split.skipped:,}"))
            for name, split in results.data.splits.items()
        ),
    )


def skipped_table(results: Results) -> Table:
    """Return the first skipped pictures and why they were skipped."""
    shown = results.skipped[:SKIPPED_SHOWN]
    total = len(results.skipped)
    first = f", the first {len(shown)} of {total:,}" if total > len(shown) else ""
    return Table(
        caption=f"Skipped pictures{first}",
        header=("Split", "Picture", "Reason"),
        rows=tuple(Row((row.split, printable(row.name), printable(row.reason))) for row in shown),
        numeric=False,
    )
