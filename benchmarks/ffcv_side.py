"""FFCV's side of `benchmarks.load`; runs in an environment of its own, which has FFCV and not alexnet.

    python ffcv_side.py FOLDER BATCH THREADS

FOLDER holds ``pictures.npy``, uint8 (pictures, 256, 256, 3). Says ``ready`` when both files are
written and all is compiled; then for every line ``jpeg`` or ``raw`` and a number of pictures the rate.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ffcv.fields import IntField, RGBImageField
from ffcv.fields.basics import IntDecoder
from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import RandomHorizontalFlip, ToTensor, ToTorchImage
from ffcv.writer import DatasetWriter
from PIL import Image

# A crop of 224×224 from 256×256 without a change of size.
SCALE = (224 / 256) ** 2


class Pictures:
    def __init__(self, pixels: Any) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, number: int) -> tuple[Any, int]:
        return Image.fromarray(self.pixels[number]), 0


def main(folder: Path, batch: int, threads: int) -> None:
    pixels = np.load(folder / "pictures.npy", mmap_mode="r")
    mean = torch.from_numpy(pixels.mean(0)[16:240, 16:240].transpose(2, 0, 1).astype(np.float32))
    torch.set_num_threads(1)
    loaders = {}
    for mode, name in (("jpg", "jpeg"), ("raw", "raw")):
        path = str(folder / f"{name}.beton")
        image = RGBImageField(write_mode=mode, max_resolution=256, jpeg_quality=95)
        DatasetWriter(path, {"image": image, "label": IntField()}, num_workers=1).from_indexed_dataset(
            Pictures(pixels)
        )
        steps = [
            RandomResizedCropRGBImageDecoder((224, 224), scale=(SCALE, SCALE), ratio=(1, 1)),
            RandomHorizontalFlip(),
            ToTensor(),
            ToTorchImage(),
        ]
        loaders[name] = Loader(
            path,
            batch_size=batch,
            num_workers=threads,
            order=OrderOption.RANDOM,
            os_cache=True,
            drop_last=False,
            pipelines={"image": steps, "label": [IntDecoder(), ToTensor()]},
        )
        measure(loaders[name], mean, 1)
    print("ready", flush=True)
    for line in sys.stdin:
        name, pictures = line.split()
        print(measure(loaders[name], mean, int(pictures)), flush=True)


def measure(loader: Any, mean: Any, pictures: int) -> float:
    """Return pictures/s as floats, less the mean image's centre, plus a colour shift a picture."""
    done, start = 0, time.perf_counter()
    while done < pictures:
        for images, _ in loader:
            values = torch.empty(images.shape).copy_(images)
            values -= mean
            values += torch.randn(len(values), 3)[:, :, None, None]
            done += len(values)
    return done / (time.perf_counter() - start)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
