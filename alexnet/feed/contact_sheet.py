"""A picture of training patches, without and with each augmentation, for people to look at."""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from alexnet.core.sizes import PATCH, PICTURE
from alexnet.feed.colour import colour_shift
from alexnet.feed.order import CENTRE, Epoch
from alexnet.feed.params import Augment
from alexnet.feed.threads import ThreadLoader
from alexnet.model.input import Batch
from alexnet.store.records import Records, decoded
from alexnet.store.statistics import Statistics

COLUMNS = (
    "256×256 record",
    "centre patch",
    "random patch",
    "its mirror",
    "noise: paper",
    "noise: source-2012",
    "as trained on",
)
GAP, HEADING = 8, 28
# It has letters that Pillow's own font lacks.
FONT = str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")


def contact_sheet(
    records: Records,
    words: list[str],
    statistics: Statistics,
    augment: Augment,
    plan: Epoch,
    epoch: int,
    pictures: int,
) -> Image.Image:
    """Draw the first `pictures` of a training epoch, one per row, one column per step (paper, section 4.1).

    The last column is what the loader gives the network in that epoch, with the noise `augment` asks
    for. Of the 2012 source's division the contrast remains, around the mean image.

    Args:
        plan: of the epoch with the number `epoch`.
    """
    loader = ThreadLoader(records, min(pictures, len(records)), torch.device("cpu"), threads=1)
    batch = next(loader.batches(plan))
    width = PICTURE + (len(COLUMNS) - 1) * (PATCH + GAP)
    sheet = Image.new("RGB", (width + 2 * GAP, HEADING + len(batch.records) * (PICTURE + HEADING)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.truetype(FONT, 14)
    for number, record in enumerate(batch.records.tolist()):
        top, left = HEADING + number * (PICTURE + HEADING), GAP
        row = _row(records, batch, number, statistics, augment, plan, epoch)
        for column, picture in zip(COLUMNS, row, strict=True):
            if number == 0:
                draw.text((left, 6), column, "black", font)
            sheet.paste(Image.fromarray(picture), (left, top))
            left += picture.shape[1] + GAP
        name = f"{words[records.labels[record]]}: {records.names[record]}"
        draw.text((GAP, top + PICTURE + 2), name, "grey", font)
    return sheet


def _row(
    records: Records,
    batch: Batch,
    number: int,
    statistics: Statistics,
    augment: Augment,
    plan: Epoch,
    epoch: int,
) -> list[NDArray[np.uint8]]:
    whole = decoded(records, int(batch.records[number]))
    top, left = int(batch.top[number]), int(batch.left[number])
    patch = whole[top : top + PATCH, left : left + PATCH]
    trained = batch.pixels[number].numpy()
    mean = statistics.mean_image.transpose(1, 2, 0)[top : top + PATCH, left : left + PATCH]
    noise = plan.noise[batch.records[number : number + 1].numpy()]

    def noisy(pixels: NDArray[np.uint8], around: NDArray[np.float32], kind: str) -> NDArray[np.uint8]:
        settings = augment.model_copy(update={"colour_noise": kind})
        shift, divisor = colour_shift(noise, statistics, settings, epoch)
        if shift is None:
            return pixels
        shown = around + (pixels - around + shift[0]) / divisor
        return np.clip(np.rint(shown), 0, 255).astype(np.uint8)

    around = mean[:, ::-1] if bool(batch.mirrored[number]) else mean
    return [
        whole,
        whole[CENTRE : CENTRE + PATCH, CENTRE : CENTRE + PATCH],
        patch,
        patch[:, ::-1],
        noisy(patch, mean, "paper"),
        noisy(patch, mean, "source-2012"),
        noisy(trained, around, augment.colour_noise),
    ]
