"""The folder that is searched: features, codes and names of the training pictures.

- ``features.npy``: float32 (pictures, d), fc7's activations of the centre patch, in storage order;
- ``codes.npy``: uint64 (pictures, words); ``encoder.safetensors``: what makes a code of features;
- ``pictures.parquet``: name and label of each; ``about.json``: the classes, and the SHA-256 of the weights
  and of all files here.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from alexnet.core.errors import UserError
from alexnet.core.files import (
    checksums_of,
    parse_checked_json,
    read_parquet,
    refuse_damaged,
    replacing,
    sha256_of,
    write_checked_json,
    write_table,
)
from alexnet.model.weights import Classes
from alexnet.retrieval.codes import AutoEncoder
from alexnet.retrieval.search import Hits, by_code, nearest, rerank

FEATURES = "features.npy"
# Compared with their checksums whenever they are read, where that is cheap.
CHECKED = (FEATURES, "codes.npy", "encoder.safetensors", "pictures.parquet")
# Candidates by code whose distance is then measured.
SHORTLIST = 100


@dataclass(frozen=True, eq=False)
class Library:
    """The training pictures as they are searched, in shapes as above; labels are int64 (pictures,)."""

    features: NDArray[np.float32]
    codes: NDArray[np.uint64]
    encoder: AutoEncoder
    names: NDArray[np.str_]
    labels: NDArray[np.int64]
    classes: Classes

    def neighbours(self, queries: NDArray[np.float32], count: int) -> Hits:
        """Return the `count` nearest pictures to each query's features (q, d), exactly."""
        return nearest(self.features, queries, count)

    def neighbours_by_code(self, queries: NDArray[np.float32], count: int) -> Hits:
        """Return the nearest of the first candidates by code; few features are read from the disk."""
        shortlist = by_code(self.codes, self.encoder.codes(queries), max(SHORTLIST, count))
        return rerank(self.features, queries, shortlist, count)


def save_library(folder: Path, library: Library, weights: Path) -> None:
    """Write all of `library` but its features, which are there already, made by `weights`."""
    with replacing(folder / "codes.npy") as temporary, temporary.open("wb") as file:
        np.save(file, library.codes)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in library.encoder.state_dict().items()}
    with replacing(folder / "encoder.safetensors") as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors))
    table = pd.DataFrame({"name": library.names, "label": library.labels})
    write_table(folder / "pictures.parquet", table)
    about = {"weights": sha256_of(weights), "classes": library.classes}
    write_checked_json(folder / "about.json", {**about, "sha256": checksums_of(folder, CHECKED)})


def find_damaged_features(folder: Path) -> list[str]:
    """Return a line if a file of the library in `folder` has changed; all are read, however large."""
    if not (folder / "about.json").exists():
        return []
    try:
        about = parse_checked_json((folder / "about.json").read_bytes())
        refuse_damaged(folder, about["sha256"], largest=sys.maxsize)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{folder}: {error}"]
    return []


def load_library(folder: Path, weights: Path) -> Library:
    """Open the library that the retrieve stage made with `weights`.

    Raises:
        UserError: it is missing, incomplete, damaged (of very large features only their size is checked),
            or made with other weights.
    """
    try:
        about = parse_checked_json((folder / "about.json").read_bytes())
        refuse_damaged(folder, about["sha256"])
        pictures = read_parquet(folder / "pictures.parquet")
        tensors = safetensors.torch.load_file(folder / "encoder.safetensors")
        encoder = AutoEncoder(len(tensors["mean"]), len(tensors["encoder.2.bias"]))
        encoder.load_state_dict(tensors)
        library = Library(
            features=np.load(folder / FEATURES, mmap_mode="r"),
            codes=np.load(folder / "codes.npy"),
            encoder=encoder.eval(),
            names=pictures["name"].to_numpy(),
            labels=pictures["label"].to_numpy(np.int64, copy=True),
            classes=[(wnid, words) for wnid, words in about["classes"]],
        )
        is_of_these = about["weights"] == sha256_of(weights)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; run the retrieve stage first (dvc repro)") from None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{folder}: no features that this project wrote: {error}") from None
    if not is_of_these:
        raise UserError(
            f"{folder}: made with other weights than {weights}. `dvc repro retrieve` makes it with those of"
            " the last run. For others, run python -m stages.retrieve with --weights, --library and"
            " --summary, and name its --library here too."
        )
    if not len(library.names) == len(library.features) == len(library.codes):
        raise UserError(f"{folder}: features, codes and names do not agree. Run `dvc repro -f -s retrieve`.")
    return library
