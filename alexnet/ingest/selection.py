"""From raw files to the index: list, split, choose the subset, number the classes."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from alexnet.core.draws import generator
from alexnet.core.errors import UserError
from alexnet.core.files import fingerprint, read_parquet, write_table
from alexnet.core.machine import Machine
from alexnet.core.places import LASTING, SKIPPED
from alexnet.core.terminal import say
from alexnet.ingest.params import Data
from alexnet.ingest.raw_files import identity, root_of
from alexnet.ingest.sources import list_source
from alexnet.ingest.sources.listing import NO_CLASS, Listing
from alexnet.store.index import COLUMNS, SPLITS, UNKNOWN, Index, write_index


def index_pictures(data: Data, split: str, machine: Machine, out: Path) -> None:
    """Write the index of the pictures that `data` asks for into the folder `out`.

    Raises:
        UserError: there is none of `split`, on which the network will be evaluated; or see `select_pictures`.
    """
    root = root_of(machine.data_root)
    index = select_pictures(root, data)
    require_split(index, split, root)
    write_index(out, index)
    counts = index.pictures["split"].value_counts()
    pictures = ", ".join(f"{counts[name]:,} {name}" for name in SPLITS if name in counts)
    kinds = index.left_out["reason"].str.removeprefix("no picture: ").value_counts()
    others = ", ".join(f"{count:,} × {kind}" for kind, count in kinds.items())
    rest = f"; other files, left out: {others} (see {SKIPPED})" if others else ""
    say(f"index: {root} ({index.layout}): {len(index.classes)} classes; pictures: {pictures}{rest}")


def select_pictures(root: Path, data: Data, state: Path = LASTING / "index") -> Index:
    """Index what lies below `root`, or the seeded subset that `data` asks for, equal wherever `root` lies.

    Archives that were scanned before are not scanned again while name, size and time are the same.

    Raises:
        UserError: the source is missing, broken or contradicts itself; see `list_source`. Or a class has no
            training picture.
    """
    scans = _Scans(root, state)
    listing = list_source(root, data.layout, scans)
    scans.keep()
    if len(listing.classes) < 2:
        only = "".join(listing.classes["wnid"])
        raise UserError(
            f"data_root {root}: {f'one class ({only})' if only else 'no class'} as {listing.layout}; allowed:"
            " at least 2 classes"
        )
    pictures = listing.pictures.sort_values(["split", "name"], ignore_index=True)
    has_validation = (pictures["split"] == "val").any()
    if not has_validation:
        pictures = _with_validation(pictures, listing.layout, data)
    classes = _chosen_classes(listing, data)
    label_of = pd.Series(range(len(classes)), index=classes["wnid"], dtype="int32")
    if len(classes) < len(listing.classes):
        # Pictures without a label may be of other classes, so they are left out too.
        pictures = pictures[pictures["wnid"].isin(label_of.index)]
    labels = label_of.reindex(pictures["wnid"], fill_value=UNKNOWN)
    pictures = pictures.assign(label=labels.to_numpy("int32"))
    if data.per_class != "all":
        pictures = _some_per_class(pictures, data.per_class, len(classes), data.seed)
    if not pictures["split"].is_monotonic_increasing:
        # Test pictures that became val. Not earlier, as the draws above follow the order of the rows.
        pictures = pictures.sort_values("split", kind="stable")
    if not has_validation and data.held_out > 0:
        train, held = ((pictures["split"] == split).sum() for split in ("train", "val"))
        say(
            f"index: there are no validation pictures, so {held:,} of {train + held:,} training pictures are"
            f" held out as val (data.held_out: {data.held_out:g} of each class, but at least one)"
        )
    _refuse_gaps(root, pictures, classes)
    return Index(pictures[COLUMNS].reset_index(drop=True), classes, listing.layout, listing.left_out)


def _refuse_gaps(root: Path, pictures: pd.DataFrame, classes: pd.DataFrame) -> None:
    """Refuse a class without a training picture, before all others are prepared."""
    trained = set(pictures["label"][pictures["split"] == "train"])
    if missing := [wnid for label, wnid in enumerate(classes["wnid"]) if label not in trained]:
        raise UserError(
            f"data_root {root}: class {missing[0]} has no training picture ({len(missing)} such classes);"
            " allowed: at least one for each class. Take it away, or choose others (data.classes, data.seed)."
        )


def require_split(index: Index, split: str, root: Path) -> None:
    """Check, before days of training, that there are pictures to evaluate on.

    Raises:
        UserError: the index holds none of `split`.
    """
    there = index.pictures["split"].unique()
    if split not in there:
        raise UserError(
            f"evaluate.split: found {split}; allowed: {' | '.join(sorted(there))}, of which {root} has some"
        )


KEY = ["file", "reader", "file_size", "file_time"]


class _Scans:
    """What was found in the archives of one root, remembered by name, size and time."""

    def __init__(self, root: Path, state: Path) -> None:
        self._root = root
        # One table for all, as a release can have 20,000 tars. Lists of an earlier version may be of tars
        # that had lost their end, or have sparse members.
        name = fingerprint(root=str(root.resolve()), ends_checked=True, sparse_refused=True)
        self._table = state / f"{name}.parquet"
        self._known: dict[tuple[str, str, int, int], pd.DataFrame] = {}
        self._used: dict[tuple[str, str, int, int], pd.DataFrame] = {}
        # Without the table, or when it is damaged or of an earlier version, the archives are read again.
        with contextlib.suppress(OSError, ValueError, KeyError):
            rows = read_parquet(self._table)
            for key, found in rows.groupby(KEY, sort=False, observed=True):
                self._known[key] = found.drop(columns=KEY)

    def __call__(self, path: Path, read: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
        size, changed = identity(path)
        # The same file may be tried as several layouts.
        key = (str(path.relative_to(self._root)), read.__name__, size, changed)
        if key not in self._used:
            self._used[key] = self._known[key] if key in self._known else read(path)
        return self._used[key].reset_index(drop=True)

    def keep(self) -> None:
        """Write down what was used, when that is anything new."""
        if not self._used or set(self._used) == set(self._known):
            return
        parts = [found.assign(**dict(zip(KEY, key, strict=True))) for key, found in self._used.items()]
        write_table(self._table, pd.concat(parts, ignore_index=True))


def _with_validation(pictures: pd.DataFrame, layout: str, data: Data) -> pd.DataFrame:
    """Hold out a seeded share of each class as ``val``, but at least one picture of a class that has two."""
    if data.held_out == 0:
        if not (pictures["split"] == "test").any():
            raise UserError(
                f"data.held_out: found 0, but the {layout} source has no validation pictures;"
                " allowed: above 0, e.g. 0.02"
            )
        if (pictures["wnid"] == NO_CLASS).any():
            raise UserError(
                "data.held_out: found 0, but the test pictures, which would be the validation pictures then,"
                " have no labels; allowed: above 0, e.g. 0.02"
            )
        return pictures.assign(split=pictures["split"].where(pictures["split"] != "test", "val"))
    train = pictures[pictures["split"] == "train"]
    draw = pd.Series(generator(data.seed, "held-out pictures").permutation(len(train)), index=train.index)
    by_class = draw.groupby(train["wnid"])
    size = by_class.transform("size")
    held = by_class.rank() <= (size * data.held_out).round().clip(lower=(size > 1).astype(int))
    if not held.any():
        raise UserError(
            f"data.held_out: found {data.held_out:g}, but no class has two training pictures, of which one"
            f" could be held out, and the {layout} source has no validation pictures. Add pictures."
        )
    split = pictures["split"].mask(held.reindex(pictures.index, fill_value=False), "val")
    return pictures.assign(split=split).sort_values(["split", "name"], ignore_index=True)


def _chosen_classes(listing: Listing, data: Data) -> pd.DataFrame:
    classes = listing.classes
    wanted = data.classes
    if isinstance(wanted, list):
        unknown = [name for name in wanted if name not in set(classes["wnid"])]
        if unknown:
            raise UserError(
                f"data.classes: found {unknown[0]}; allowed: classes of the source, e.g."
                f" {', '.join(classes['wnid'][:3])}"
            )
        classes = classes[classes["wnid"].isin(wanted)]
    elif wanted != "all":
        if wanted > len(classes):
            raise UserError(f"data.classes: found {wanted}; allowed: up to {len(classes)}, what is there")
        chosen = generator(data.seed, "subset of classes").permutation(len(classes))[:wanted]
        classes = classes.iloc[sorted(chosen)]
    return classes.reset_index(drop=True)


def _some_per_class(pictures: pd.DataFrame, count: int, classes: int, seed: int) -> pd.DataFrame:
    """Keep `count` pictures of each class in each split; without labels as many as of all `classes`."""
    rank = generator(seed, "subset of pictures").permutation(len(pictures))
    place = pictures.assign(rank=rank).groupby(["split", "label"])["rank"].rank()
    return pictures[place <= np.where(pictures["wnid"] == NO_CLASS, count * classes, count)]
