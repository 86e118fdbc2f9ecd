"""Features, codes, and how well the codes find what is nearest: what the retrieve stage does."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet.core.draws import generator
from alexnet.core.files import new_array, sha256_of, write_checked_json
from alexnet.core.machine import Machine
from alexnet.core.sizes import PICTURE
from alexnet.feed.loader import open_loader
from alexnet.model.weights import load_network
from alexnet.parallel.device import choose_device, memory_errors_told, memory_format
from alexnet.retrieval.codes import signs, train_encoder
from alexnet.retrieval.features import features_of_records
from alexnet.retrieval.library import FEATURES, SHORTLIST, Library, save_library
from alexnet.retrieval.params import Retrieve
from alexnet.retrieval.search import by_code, nearest, recall
from alexnet.retrieval.summary import CandidateRecall, Example, RetrievalSummary
from alexnet.store.records import Records, open_records
from alexnet.store.verified import refuse_damaged_shards

AT_ONCE = {"cpu": 32, "cuda": 256}
# The paper's Figure 4 has six neighbours, too, but of five queries; two columns show an even number.
NEIGHBOURS = 6
EXAMPLES = 6
CANDIDATES = (6, 12, 25, 50, 100, 200, 500, 1000)
# Which pictures are shown; drawn, not chosen.
SHOWN_SEED = 2012


@memory_errors_told()
def retrieve_pictures(
    *,
    settings: Retrieve,
    split: str,
    machine: Machine,
    records: Path,
    weights: Path,
    library: Path,
    summary: Path,
) -> None:
    """Make the training pictures searchable: write the folder `library`, and measurements to `summary`.

    Raises:
        UserError: an input is missing, or the disk or the memory of the GPU is too small.
    """
    refuse_damaged_shards(records)
    network, classes = load_network(weights)
    device = choose_device(machine)
    network.to(device).set_memory_format(memory_format(machine))
    training, asked = open_records(records, "train"), open_records(records, split)

    def fill(out: NDArray[np.float32], pictures: Records, chosen: NDArray[np.int64]) -> None:
        loader = open_loader(machine, pictures, AT_ONCE[device.type], device, side=PICTURE)
        features_of_records(network, loader, chosen, len(pictures), out, machine.progress)

    shape = (len(training), network.fc7.out_features)
    with new_array(library / FEATURES, shape, np.float32) as features:
        fill(features, training, np.arange(len(training)))

    encoder = train_encoder(features, settings, device)
    found = Library(features, encoder.codes(features), encoder, training.names, training.labels, classes)
    save_library(library, found, weights)

    chosen = _queries(len(asked), settings)
    queries = np.empty((len(chosen), features.shape[1]), np.float32)
    fill(queries, asked, chosen)
    own = chosen if split == "train" else None
    used = sha256_of(weights)
    measured = _measure(found, settings, chosen, asked.labels[chosen], queries, own, device, used)
    write_checked_json(summary, measured.model_dump())


def _queries(pictures: int, settings: Retrieve) -> NDArray[np.int64]:
    """Return the pictures shown in the report, then others by seed, each once."""
    shown = generator(SHOWN_SEED, "queries shown").permutation(pictures)[:EXAMPLES]
    others = generator(settings.seed, "queries").permutation(pictures)
    others = others[~np.isin(others, shown)]
    return np.concatenate([shown, others])[: max(settings.queries, len(shown))]


def _measure(
    library: Library,
    settings: Retrieve,
    chosen: NDArray[np.int64],
    labels: NDArray[np.int64],
    queries: NDArray[np.float32],
    own: NDArray[np.int64] | None,
    device: torch.device,
    weights: str,
) -> RetrievalSummary:
    # A query that is itself a training picture is no answer to itself.
    wanted = NEIGHBOURS + (own is not None)
    start = time.perf_counter()
    exact = nearest(library.features, queries, wanted, device)
    seconds_exact = time.perf_counter() - start
    start = time.perf_counter()
    quick = library.neighbours_by_code(queries, wanted)
    seconds_codes = time.perf_counter() - start
    records, distances = (_others(values, exact.records, own) for values in exact)
    examples = [
        Example(query=int(query), nearest=found.tolist(), distances=apart.round(4).tolist())
        for query, found, apart in zip(chosen[:EXAMPLES], records, distances, strict=False)
    ]
    return RetrievalSummary(
        weights=weights,
        pictures=len(library.features),
        dimensions=library.features.shape[1],
        queries=len(chosen),
        neighbours=records.shape[1],
        shortlist=min(SHORTLIST, len(library.features)),
        code_bits=settings.code_bits,
        exact_megabytes=library.features.nbytes / 1e6,
        code_megabytes=library.codes.nbytes / 1e6,
        milliseconds_exact=round(1000 * seconds_exact / len(chosen), 4),
        milliseconds_codes=round(1000 * seconds_codes / len(chosen), 4),
        same_class_exact=_same_class(library, labels, records),
        same_class_codes=_same_class(library, labels, _others(quick.records, quick.records, own)),
        candidates=_recalls(library, settings, queries, records, own),
        examples=examples,
    )


def _others(values: NDArray[Any], records: NDArray[np.int64], own: NDArray[np.int64] | None) -> NDArray[Any]:
    """Return the `values` of all `records` but the query's own in each row, else of all but the last."""
    if own is None:
        return values
    keep = records != own[:, None]
    keep[keep.all(1), -1] = False
    return values[keep].reshape(len(own), -1)


def _same_class(library: Library, labels: NDArray[np.int64], records: NDArray[np.int64]) -> float | None:
    return None if (labels < 0).any() else float((library.labels[records] == labels[:, None]).mean())


def _recalls(
    library: Library,
    settings: Retrieve,
    queries: NDArray[np.float32],
    exact: NDArray[np.int64],
    own: NDArray[np.int64] | None,
) -> list[CandidateRecall]:
    # Signs along random directions are codes without learning (Charikar 2002, "Similarity Estimation
    # Techniques from Rounding Algorithms").
    draw = generator(settings.seed, "random projections")
    directions = draw.standard_normal((queries.shape[1], settings.code_bits), dtype=np.float32)
    mean, along = library.encoder.mean.cpu(), torch.from_numpy(directions)
    codes, asked = (signs(each, lambda rows: (rows - mean) @ along) for each in (library.features, queries))
    most = min(CANDIDATES[-1] + (own is not None), len(library.codes))
    learned = by_code(library.codes, library.encoder.codes(queries), most)
    random = by_code(codes, asked, most)
    learned, random = _others(learned, learned, own), _others(random, random, own)
    return [
        CandidateRecall(
            candidates=count,
            learned=recall(exact, learned[:, :count]),
            random=recall(exact, random[:, :count]),
        )
        for count in CANDIDATES
        if count < len(library.codes)
    ]
