"""What the network learnt from: the pictures, their colours, and the patches it was shown."""

import numpy as np
from PIL import Image

from alexnet.core.draws import generator
from alexnet.core.sizes import PATCH
from alexnet.feed.colour import colour_shift
from alexnet.feed.order import training_epoch
from alexnet.report.canvas import Theme, drawn, one_axes
from alexnet.report.facts import Facts
from alexnet.report.markup import fold, table
from alexnet.report.page import Figure, Figures, Part
from alexnet.report.paper import CHANNEL_MEANS, RGB_STANDARD_DEVIATIONS
from alexnet.report.photographs import GAP, Photograph, webp
from alexnet.report.text import MINUS, NOTHING, percent, short
from alexnet.store.statistics import StatisticsSummary

SKIPPED_SHOWN = 20
AUGMENTED = 4
EPOCHS_SHOWN = 5
SEED = 2012
# A component is drawn this many standard deviations to either side of the mean colour.
DEVIATIONS_SHOWN = 2


def topic(facts: Facts) -> list[Part]:
    """Return patches as training cut them, the components of RGB beside the authors', and the counts."""
    patches, splits = _augmented(facts), facts.data.splits.items()
    shown, noisy = _epochs_shown(facts), facts.augment.colour_noise != "none"
    caption = (
        f"Training pictures, and the patches that the first {shown} epochs cut from them, with place and"
        " mirroring as drawn for this run (Section 4.1 of the paper)."
    )
    if noisy:
        caption += " The colour shift is drawn, too; as printed, it is only a few grey levels."
    means = (("This run", facts.rgb_pca.channel_means), ("The authors", CHANNEL_MEANS))
    return [
        "## Patches and colours",
        Figures(patches, caption) if patches else facts.photographs.absence,
        "The paper's colour noise shifts a picture along these three directions"
        f"{'' if noisy else ', but this run had none'}. The authors' values, shipped with their"
        " cuda-convnet2, are ImageNet's; those of a small sample need not be near them.",
        components_table(facts),
        drawn(
            "rgb_components",
            lambda theme: rgb_components(facts.rgb_pca, facts.settings.figure_dpi, theme),
            "Three strips of colour, one per component, from two standard deviations below the mean colour"
            " to two above.",
            "The colours along each component, through the mean colour.",
            width=480,
        ),
        table(
            ("", "Red", "Green", "Blue"),
            [(name, *(f"{mean:.2f}" for mean in levels)) for name, levels in means],
            "Channel means, in grey levels",
            ours=[0],
        ),
        "## Data",
        table(
            ("Split", "Pictures", "Skipped"),
            [(name, f"{split.pictures:,}", f"{split.skipped:,}") for name, split in splits],
            "Pictures",
        ),
        fold(f"Files that were not used: {len(facts.skipped):,}", skipped_table(facts))
        if facts.skipped
        else "No file was left out.",
    ]


def _epochs_shown(facts: Facts) -> int:
    return min(EPOCHS_SHOWN, len(facts.history))


def _augmented(facts: Facts) -> tuple[Figure, ...]:
    training, augment = facts.photographs.records("train"), facts.augment
    if training is None:
        return ()
    count = len(training)
    drawn = np.sort(generator(SEED, "augmented pictures shown").permutation(count)[:AUGMENTED])
    seed, order = facts.seeds["train"], facts.recipes.ours["train.order"]
    numbers = range(1, _epochs_shown(facts) + 1)
    epochs = [training_epoch(seed, number, count, augment, order) for number in numbers]
    figures: list[Figure] = []
    for record in drawn.tolist():
        pixels = facts.photographs.pixels("train", record)
        if pixels is None:
            continue
        small = Image.fromarray(pixels).resize((PATCH, PATCH), Image.Resampling.LANCZOS)
        row = [np.asarray(small)]
        for number, epoch in enumerate(epochs, 1):
            noise = epoch.noise[record : record + 1]
            shift, divisor = colour_shift(noise, facts.statistics, augment, number)
            top, left = int(epoch.top[record]), int(epoch.left[record])
            patch = pixels[top : top + PATCH, left : left + PATCH].astype(np.float64)
            patch = patch[:, ::-1] if epoch.mirrored[record] else patch
            # What is seen is relative to the mean image, so the source's divisor shrinks the contrast.
            patch = (patch - 127.5 + (0 if shift is None else shift)) / divisor + 127.5
            row.append(np.rint(patch.clip(0, 255)).astype(np.uint8))
        name, label = str(training.names[record]), training.labels[record]
        alt = (
            f"{name}, a picture of {short(facts.predictions.classes[label][1])}, and patches of it:"
            f" {len(epochs)}."
        )
        figures.append(Figure(f"patches-{len(figures) + 1}", _in_a_row(row), alt))
    return tuple(figures)


def _in_a_row(photographs: list[Photograph]) -> bytes:
    """Set photographs of equal size side by side, with transparent gaps."""
    side = len(photographs[0])
    sheet = Image.new("RGBA", (len(photographs) * (side + GAP) - GAP, side))
    for place, one in enumerate(photographs):
        sheet.paste(Image.fromarray(one), (place * (side + GAP), 0))
    return webp(sheet)


def components_table(facts: Facts) -> str:
    """Return the principal components of the RGB values beside the authors' (Section 4.1)."""
    pca = facts.rgb_pca
    variance = sum(pca.eigenvalues_unit)
    rows = []
    for place, theirs in enumerate(RGB_STANDARD_DEVIATIONS):
        share = percent(pca.eigenvalues_unit[place] / variance if variance else 0.0)
        weights = [f"{weight:+.3f}".replace("-", MINUS) for weight in pca.eigenvectors[place]]
        rows.append(
            (f"{place + 1}", f"{pca.standard_deviations[place]:.2f}", f"{theirs:.2f}", share, *weights)
        )
    return table(
        ("Component", "This run", "The authors", "Variance", "Red", "Green", "Blue"),
        rows,
        f"Principal components over {pca.images:,} training pictures",
        "This run, the authors: standard deviations in grey levels, 0 to 255. The sign of a component is"
        " arbitrary.",
    )


def rgb_components(pca: StatisticsSummary, dpi: int, theme: Theme) -> bytes:
    """Draw the colours along each RGB component, two standard deviations either side of the mean.

    Along these directions the colour noise (Section 4.1) shifts a picture, by far less.
    """
    reach = np.linspace(-DEVIATIONS_SHOWN, DEVIATIONS_SHOWN, 256)
    shifts = np.array(pca.eigenvectors) * np.array(pca.standard_deviations)[:, np.newaxis]
    colours = np.array(pca.channel_means) + reach[:, np.newaxis] * shifts[:, np.newaxis, :]
    with one_axes(theme, dpi, height=1.5) as (axes, png):
        for position, strip in enumerate(np.clip(colours, 0, 255).astype(np.uint8), start=1):
            extent = (-DEVIATIONS_SHOWN, DEVIATIONS_SHOWN, position + 0.45, position - 0.45)
            axes.imshow(strip[np.newaxis], aspect="auto", extent=extent, interpolation="nearest")
        axes.set_ylim(3.5, 0.5)
        axes.set_yticks([1, 2, 3])
        axes.set_ylabel("component")
        axes.set_xticks([-2, -1, 0, 1, 2])
        axes.set_xlabel("standard deviations from the mean colour")
        axes.spines[:].set_visible(False)
    return png.getvalue()


def skipped_table(facts: Facts) -> str:
    """Return the first pictures that could not be used, or files that are no pictures, and why."""
    shown, total = facts.skipped[:SKIPPED_SHOWN], len(facts.skipped)
    first = f", the first {len(shown)} of {total:,}" if total > len(shown) else ""
    return table(
        ("Split", "File", "Reason"),
        [(row.split or NOTHING, row.name, row.reason) for row in shown],
        f"Files that were not used{first}",
        numeric=False,
    )
