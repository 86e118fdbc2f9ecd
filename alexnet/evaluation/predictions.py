"""Class probabilities of a whole split: kept as arrays, averaged, counted.

A folder of predictions holds

- ``ten.npy``, ``one.npy``: the arrays of `Predictions`; float64, so that what is counted from the files is
  what was counted from the network;
- ``pictures.parquet``: name and label of each picture, in the same order; label −1 is unknown;
- ``about.json``: the split, WNID, words and ILSVRC ID of the classes, and the SHA-256 of
  the weights, the arrays and the table;
- ``ilsvrc.txt``: what the challenge's server takes; or ``guesses.txt``, the same with the names of the
  classes, where the source has no devkit and so no IDs (Kaggle's copy, folders); see `server_lines`.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from alexnet.core.errors import UserError
from alexnet.core.files import (
    checksums_of,
    parse_checked_json,
    read_parquet,
    refuse_damaged,
    replacing,
    write_checked_json,
    write_table,
    write_text,
)
from alexnet.evaluation.calibration import reliability
from alexnet.model.top_k import top_k_error
from alexnet.store.index import UNKNOWN

SERVER_FILE, NAMES_FILE = "ilsvrc.txt", "guesses.txt"
GUESSES = 5
CHECKED = ("ten.npy", "one.npy", "pictures.parquet")
# A kind of error: among how many guesses, by ten patches or by the centre patch.
KINDS = {
    "top1_error": (1, "ten"),
    "top5_error": (5, "ten"),
    "top1_error_one_patch": (1, "one"),
    "top5_error_one_patch": (5, "one"),
}
# Rows counted at once: of 1000 classes, 32 MB.
_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Predictions:
    """The probabilities of every picture of a split, in storage order.

    Attributes:
        ten, one: float64 (pictures, classes), perhaps mapped from a file: mean softmax of ten patches,
            softmax of the centre.
        labels: int64 (pictures,); all `UNKNOWN` when the split has none.
        names: (pictures,), names in the index.
        classes: WNID and words of each class, in label order.
        ids: the classes' numbers on the challenge's server; none where they are not known.
        skipped: names of the split's pictures that could not be read, and have no probabilities.
        weights: SHA-256 of the weights file of the network; empty where it is not known.
    """

    ten: NDArray[np.float64]
    one: NDArray[np.float64]
    labels: NDArray[np.int64]
    names: NDArray[np.str_]
    split: str
    classes: tuple[tuple[str, str], ...]
    ids: tuple[int, ...]
    skipped: tuple[str, ...] = ()
    weights: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> bool:
        """Whether the true classes are known."""
        return bool((self.labels != UNKNOWN).all())

    @property
    def guesses_file(self) -> str:
        """The name of the file of the five likeliest classes of each picture."""
        return SERVER_FILE if self.ids else NAMES_FILE

    def metrics(self, share_ties: bool = False) -> dict[str, float | int | str]:
        """Return error rates (fractions), and the mean loss (nats) and calibration error over ten patches.

        A split without labels has just its name and size.
        """
        about: dict[str, float | int | str] = {"images": len(self), "split": self.split}
        if not self.labelled:
            return about
        guesses, confidence = self.guesses(1)
        return {
            **self.rates(share_ties),
            "loss": self.loss(),
            "calibration_error": reliability(confidence[:, 0], guesses[:, 0] == self.labels).error,
            **about,
        }

    def rates(self, share_ties: bool) -> dict[str, float]:
        """Return the error rate (fraction) of each of `KINDS`; the labels must be known."""
        return {kind: float(wrong.mean()) for kind, wrong in self.wrong_by_kind(share_ties).items()}

    def loss(self) -> float:
        """Return the mean loss of the ten-patch probabilities in nats; the labels must be known."""
        truth = self.ten[np.arange(len(self)), self.labels]
        return float(-np.log(truth.clip(min=np.finfo(np.float64).tiny)).mean())

    def wrong(
        self, k: int, share_ties: bool, scores: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return each picture's share of a top-k error, (pictures,); `scores` are `ten` unless given."""
        scores = self.ten if scores is None else scores
        labels, shares = torch.from_numpy(self.labels), []
        for start, rows in _blocks(scores):
            truth = labels[start : start + _ROWS]
            shares.append(top_k_error(torch.from_numpy(rows), truth, k, share_ties))
        return torch.cat(shares).numpy()

    def wrong_by_kind(self, share_ties: bool) -> dict[str, NDArray[np.float64]]:
        """Return each picture's share of an error, (pictures,), for each of `KINDS`."""
        return {kind: self.wrong(k, share_ties, getattr(self, name)) for kind, (k, name) in KINDS.items()}

    def per_class(self, share_ties: bool) -> pd.DataFrame:
        """Return a row per class in label order: wnid, words, images, top1_error, top5_error.

        The errors are fractions over ten patches, NaN for a class that never occurs.
        """
        count = len(self.classes)
        images = np.bincount(self.labels, minlength=count)
        table = pd.DataFrame(self.classes, columns=["wnid", "words"]).assign(images=images)
        for k in (1, 5):
            wrong = np.bincount(self.labels, self.wrong(k, share_ties), count)
            with np.errstate(invalid="ignore"):
                table[f"top{k}_error"] = wrong / images
        return table

    def guesses(self, count: int = GUESSES) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the likeliest labels and their ten-patch probabilities, best first, (pictures, count).

        Among equals the lowest label comes first. With fewer classes there are fewer columns.
        """
        labels, values = [], []
        for _, rows in _blocks(self.ten):
            # A copy, as a view would keep the order of all classes.
            best = np.argsort(-rows, axis=1, kind="stable")[:, :count].copy()
            labels.append(best)
            values.append(np.take_along_axis(rows, best, 1))
        return np.concatenate(labels), np.concatenate(values)


def _blocks(scores: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    for start in range(0, len(scores), _ROWS):
        # A copy: rows of a mapped file are read-only, which torch warns of.
        yield start, np.array(scores[start : start + _ROWS])


def save_predictions(folder: Path, predictions: Predictions) -> None:
    """Write `predictions` and the server's file into `folder`."""
    for name in ("ten", "one"):
        with replacing(folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, getattr(predictions, name))
    table = pd.DataFrame({"name": predictions.names, "label": predictions.labels})
    write_table(folder / "pictures.parquet", table)
    about = {name: getattr(predictions, name) for name in ("split", "classes", "ids", "skipped", "weights")}
    write_checked_json(folder / "about.json", {**about, "sha256": checksums_of(folder, CHECKED)})
    write_text(folder / predictions.guesses_file, "".join(f"{line}\n" for line in server_lines(predictions)))


def load_predictions(folder: str | Path) -> Predictions:
    """Read what `save_predictions` wrote, the arrays mapped, not read.

    Raises:
        UserError: the folder is missing or not such a one, or holds NaN, or is damaged.
    """
    folder = Path(folder)
    try:
        about = parse_checked_json((folder / "about.json").read_bytes())
        refuse_damaged(folder, about["sha256"])
        pictures = read_parquet(folder / "pictures.parquet")
        ten, one = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("ten", "one"))
        found = Predictions(
            ten,
            one,
            labels=pictures["label"].to_numpy(np.int64, copy=True),
            names=pictures["name"].to_numpy(),
            split=str(about["split"]),
            classes=tuple((str(wnid), str(words)) for wnid, words in about["classes"]),
            ids=tuple(int(number) for number in about["ids"]),
            skipped=tuple(str(name) for name in about["skipped"]),
            weights=str(about.get("weights", "")),
        )
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; run the evaluate stage first (dvc repro)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: no predictions that this project wrote: {error}") from None
    if not ten.shape == one.shape == (len(found), len(found.classes)):
        raise UserError(
            f"{folder}: found arrays of {ten.shape} and {one.shape};"
            f" allowed: {len(found)} pictures × {len(found.classes)} classes"
        )
    if any(np.isnan(rows).any() for scores in (ten, one) for _, rows in _blocks(scores)):
        raise UserError(f"{folder}: the probabilities hold NaN. Train and evaluate again.")
    return found


def what_differs(one: Predictions, other: Predictions) -> str | None:
    """Return in a word what two networks' predictions do not have in common, or None.

    Classes are the same where their WNIDs are: their words may differ.
    """
    for what, same in (
        ("split", other.split == one.split),
        ("classes", [wnid for wnid, _ in other.classes] == [wnid for wnid, _ in one.classes]),
        ("pictures", np.array_equal(other.names, one.names)),
        ("labels", np.array_equal(other.labels, one.labels)),
    ):
        if not same:
            return what
    return None


def average_predictions(several: Sequence[Predictions], names: Sequence[str] = ()) -> Predictions:
    """Return the mean of several networks' predictions (paper, section 6: "averaging").

    Errors call them by their `names`, or else by their numbers from 1.

    Raises:
        UserError: they are not of the same pictures and classes.
    """
    first, *others = several
    names = names or [str(number) for number in range(1, len(several) + 1)]
    for name, other in zip(names[1:], others, strict=True):
        if what := what_differs(first, other):
            raise UserError(
                f"predictions {names[0]} and {name} differ in their {what}; only predictions of the same"
                " pictures and classes can be averaged"
            )
    ten = sum((other.ten for other in others), start=np.array(first.ten)) / len(several)
    one = sum((other.one for other in others), start=np.array(first.one)) / len(several)
    return replace(first, ten=ten, one=one, weights="")


def refuse_duplicates(several: Iterable[tuple[str, Predictions]]) -> None:
    """Raise a `UserError` that names two of the predictions if they are the same."""
    for (before, other), (name, one) in itertools.combinations(several, 2):
        if np.array_equal(one.ten, other.ten):
            raise UserError(
                f"{before} and {name} hold the same predictions, which would count twice; allowed: folders of"
                " other runs' predictions, each once"
            )


def server_lines(predictions: Predictions) -> Iterator[str]:
    """Yield the lines that the ILSVRC server takes: five IDs per picture, best first, by the picture's name.

    Where IDs are not known the names of the classes stand in their place, with tabs between them. A skipped
    picture gets a line too, or all later lines would shift: the classes that are most likely on average.
    """
    guesses, _ = predictions.guesses()
    usual = np.argsort(-predictions.ten.mean(0), kind="stable")[: guesses.shape[1]]
    named = np.array(predictions.ids or [" ".join(wnid.split()) for wnid, _ in predictions.classes])
    between = " " if predictions.ids else "\t"
    names = np.concatenate([predictions.names, predictions.skipped]).astype(str)
    labels = np.concatenate([guesses, np.tile(usual, (len(predictions.skipped), 1))])
    for picture in np.argsort(names, kind="stable"):
        yield between.join(map(str, named[labels[picture]]))
