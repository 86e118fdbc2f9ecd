"""The sample in the official files of ILSVRC-2012, with the dirt that the real ones have.

The same settings give the same bytes, on one machine and with the same versions of the packages,
whatever the number of workers.
"""

import contextlib
import gzip
import io
import itertools
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import scipy.io
from PIL import Image

from alexnet.core.draws import generator
from alexnet.core.errors import UserError
from alexnet.core.files import add_to_tar, naming_what_cannot_be_written
from alexnet.core.processes import local_pool
from alexnet.core.progress import Progress, Style
from alexnet.sample.params import Sample
from alexnet.sample.pictures import CLASSES, Pixels, Split, Texture, draw_picture

TRAIN = "ILSVRC2012_img_train.tar"
VAL = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
META = "ILSVRC2012_devkit_t12/data/meta.mat"
GROUND_TRUTH = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"

Kind = Literal["rgb", "grey", "cmyk", "adobe-cmyk", "png"]

# The share of each kind of dirt in a split. A train split of at least `ENOUGH_FOR_EACH_KIND` pictures has one
# of each kind, and its one PNG.
SHARES: dict[Kind, float] = {"grey": 0.04, "cmyk": 0.01, "adobe-cmyk": 0.01}
ENOUGH_FOR_EACH_KIND = 16
# Pictures that a worker takes at once.
PICTURES_PER_TASK = 16

# WNID, words and gloss of the synsets that are no classes.
INTERNAL_LABELS = {
    "pattern": ("n99199403", "pattern, texture", "a drawing that goes on over the whole plane"),
    "figure": ("n99320618", "figure, shape", "a drawing with an outline"),
    "drawing": ("n99090215", "drawing", "what is drawn"),
}


class Synset(NamedTuple):
    """A row of meta.mat, with the official names and order of its fields."""

    ILSVRC2012_ID: int
    WNID: str
    words: str
    gloss: str
    num_children: int
    children: list[int]
    wordnet_height: int
    num_train_images: int


@dataclass(frozen=True)
class Entry:
    """A picture of the sample: picture `number`, from 1, of the class, stored as `kind`."""

    split: Split
    class_index: int
    number: int
    kind: Kind


def generate(root: Path, settings: Sample, style: Style, workers: int = 1) -> None:
    """Write the sample that `settings` ask for as ILSVRC-2012's official files into `root`.

    Without classes `root` gets a README.txt only. The folder appears under its name when all is
    written.

    Raises:
        UserError: `root` exists already and is not an empty folder, or the disk is full.
    """
    if root.exists() and not (root.is_dir() and next(root.iterdir(), None) is None):
        raise UserError(f"{root}: exists already. Remove it, or name another folder.")
    partial = root.with_name(f"{root.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with naming_what_cannot_be_written(root):
        partial.mkdir(parents=True)
        if settings.classes:
            _write_archives(partial, settings, style, workers)
        else:
            (partial / "README.txt").write_text("No sample was asked for: sample.classes is 0.\n")
        partial.replace(root)


def train_entries(settings: Sample) -> list[Entry]:
    """Return the train split, class by class in the order of `CLASSES`."""
    return _entries(settings, "train", settings.train_per_class)


def val_entries(settings: Sample) -> list[Entry]:
    """Return the validation split in the order of its files."""
    entries = _entries(settings, "val", settings.val_per_class)
    order = generator(settings.seed, "sample val order").permutation(len(entries))
    return [entries[place] for place in order]


def class_ids(settings: Sample) -> dict[int, int]:
    """Return the ILSVRC2012_ID of each class index: 1 to N, in another order than the WNIDs."""
    by_wnid = sorted(_class_indices(settings), key=lambda index: CLASSES[index].wnid)
    ids = 1 + generator(settings.seed, "sample ids").permutation(len(by_wnid))
    if np.all(np.diff(ids) == 1):
        ids = np.roll(ids, 1)
    return dict(zip(by_wnid, ids.tolist(), strict=True))


def encoded(seed: int, entry: Entry) -> bytes:
    """Draw a picture and return its file's content."""
    pixels = draw_picture(seed, entry.split, entry.class_index, entry.number)
    draw = generator(seed, f"sample encoding {entry.split}", entry.class_index, entry.number)
    quality, full_chroma = int(draw.integers(75, 96)), draw.uniform() < 0.25
    content = io.BytesIO()
    if entry.kind == "png":
        Image.fromarray(pixels).save(content, "PNG")
    elif entry.kind == "grey":
        Image.fromarray(pixels).convert("L").save(content, "JPEG", quality=quality)
    elif entry.kind == "rgb":
        subsampling = "4:4:4" if full_chroma else "4:2:0"
        Image.fromarray(pixels).save(content, "JPEG", quality=quality, subsampling=subsampling)
    else:
        adobe, inks = entry.kind == "adobe-cmyk", _inks(pixels)
        # Pillow writes the complement of the values, as Adobe does, and always says that Adobe did.
        bands = [Image.fromarray(band) for band in np.moveaxis(inks if adobe else 255 - inks, 2, 0)]
        Image.merge("CMYK", bands).save(content, "JPEG", quality=quality, subsampling="4:4:4")
        return content.getvalue() if adobe else _without_adobe_marker(content.getvalue())
    return content.getvalue()


def _inks(pixels: Pixels) -> Pixels:
    """Return RGB `pixels` as CMYK, 0 = no ink, with most of the grey part printed in black."""
    light = pixels.astype(np.float32) / 255
    black = 0.8 * (1 - light.max(axis=2, keepdims=True))
    inks = np.concatenate([1 - light / (1 - black), black], axis=2)
    return (255 * inks).round().astype(np.uint8)


def _without_adobe_marker(jpeg: bytes) -> bytes:
    """Cut the APP14 segment out of a JPEG."""
    start = jpeg.index(b"\xff\xee")
    length = int.from_bytes(jpeg[start + 2 : start + 4], "big")
    return jpeg[:start] + jpeg[start + 2 + length :]


def _class_indices(settings: Sample) -> range:
    return range(settings.first_class, settings.first_class + settings.classes)


def _entries(settings: Sample, split: Split, per_class: int) -> list[Entry]:
    names = list(itertools.product(_class_indices(settings), range(1, per_class + 1)))
    kinds = _kinds(settings.seed, split, len(names))
    return [Entry(split, index, n, kind) for (index, n), kind in zip(names, kinds, strict=True)]


def _kinds(seed: int, split: Split, count: int) -> list[Kind]:
    at_least = int(split == "train" and count >= ENOUGH_FOR_EACH_KIND)
    kinds: list[Kind] = ["png"] * at_least
    for kind, share in SHARES.items():
        kinds += [kind] * max(at_least, round(share * count))
    kinds += ["rgb"] * (count - len(kinds))
    return [kinds[place] for place in generator(seed, f"sample kinds {split}").permutation(count)]


def _write_archives(folder: Path, settings: Sample, style: Style, workers: int) -> None:
    train, val = train_entries(settings), val_entries(settings)
    with Progress("sample", len(train) + len(val), style) as progress:
        contents = _all_encoded(train + val, settings.seed, workers, progress)
        with (folder / TRAIN).open("wb") as file:
            _write_tar(file, _class_tars(train, contents))
        with (folder / VAL).open("wb") as file:
            names = (f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, len(val) + 1))
            _write_tar(file, zip(names, contents, strict=True))
    # The time of writing would differ from run to run, as would a name behind the compression.
    with (folder / DEVKIT).open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(_tar(_devkit(settings, val)))


def _all_encoded(entries: list[Entry], seed: int, workers: int, progress: Progress) -> Iterator[bytes]:
    """Yield the files' contents in the order of `entries`."""
    tasks = [entries[at : at + PICTURES_PER_TASK] for at in range(0, len(entries), PICTURES_PER_TASK)]
    with local_pool(workers) if workers > 1 else contextlib.nullcontext() as pool:
        # Not by `map`, which cancels what is left after Ctrl-C: that ends the pool with a traceback.
        futures = [pool.submit(_encoded, seed, task) for task in tasks] if pool else []
        done = (future.result() for future in futures) if pool else (_encoded(seed, task) for task in tasks)
        for content in itertools.chain.from_iterable(done):
            progress.advance(1)
            yield content


def _encoded(seed: int, entries: list[Entry]) -> list[bytes]:
    return [encoded(seed, entry) for entry in entries]


def _class_tars(entries: list[Entry], contents: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    for index, group in itertools.groupby(entries, key=lambda entry: entry.class_index):
        wnid = CLASSES[index].wnid
        names = [f"{wnid}_{entry.number}.JPEG" for entry in group]
        yield f"{wnid}.tar", _tar(zip(names, itertools.islice(contents, len(names)), strict=True))


def _tar(members: Iterable[tuple[str, bytes]]) -> bytes:
    content = io.BytesIO()
    _write_tar(content, members)
    return content.getvalue()


def _write_tar(file: BinaryIO, members: Iterable[tuple[str, bytes]]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            add_to_tar(archive, name, content)


def _devkit(settings: Sample, val: list[Entry]) -> Iterator[tuple[str, bytes]]:
    ids = class_ids(settings)
    readme = (
        "Development kit of a drawn sample in the layout of ILSVRC-2012.\n\n"
        f"{settings.classes} classes, {settings.train_per_class} train and "
        f"{settings.val_per_class} validation pictures each, seed {settings.seed}.\n"
        "data/meta.mat: the synsets; those above the classes are internal.\n"
        "data/ILSVRC2012_validation_ground_truth.txt: the ILSVRC2012_ID of each validation "
        "picture, in the order of the files.\n"
    )
    yield "ILSVRC2012_devkit_t12/readme.txt", readme.encode()
    yield GROUND_TRUTH, "".join(f"{ids[entry.class_index]}\n" for entry in val).encode()
    yield META, _meta(settings, ids)


def _meta(settings: Sample, ids: dict[int, int]) -> bytes:
    """Return meta.mat with the struct array `synsets`, shape (synsets, 1), in the order of IDs."""
    leaves = []
    for index in sorted(ids, key=ids.__getitem__):
        drawn = CLASSES[index]
        leaf = Synset(ids[index], drawn.wnid, drawn.words, drawn.gloss, 0, [], 0, settings.train_per_class)
        leaves.append(leaf)
    table = np.array([*leaves, *_internal_synsets(ids)], dtype=[(field, object) for field in Synset._fields])
    content = io.BytesIO()
    scipy.io.savemat(content, {"synsets": table[:, None]}, do_compression=True)  # type: ignore[arg-type]
    # The file starts with 116 bytes of free text, where SciPy puts the time.
    return b"MATLAB 5.0 MAT-file".ljust(116) + content.getvalue()[116:]


def _internal_synsets(ids: dict[int, int]) -> list[Synset]:
    """Return the families of the classes and the root above them, with IDs above the classes'."""
    families: dict[str, list[int]] = {"pattern": [], "figure": []}
    for index, id_ in ids.items():
        family = "pattern" if isinstance(CLASSES[index].form, Texture) else "figure"
        families[family].append(id_)
    free_ids = itertools.count(len(ids) + 1)
    parents = [
        Synset(next(free_ids), *INTERNAL_LABELS[family], len(children), sorted(children), 1, 0)
        for family, children in families.items()
        if children
    ]
    below = [parent.ILSVRC2012_ID for parent in parents]
    return [*parents, Synset(next(free_ids), *INTERNAL_LABELS["drawing"], len(below), below, 2, 0)]
