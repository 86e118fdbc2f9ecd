"""How well short codes find what is nearest: the content of ``retrieval.json``."""

from alexnet.core.reading import Count, Fraction, Positive, Written


class CandidateRecall(Written):
    """The share of the exact nearest neighbours that is among the first `candidates` by code.

    `learned` is with the codes of the auto-encoder, `random` with the signs of as many random projections.
    """

    candidates: Positive
    learned: Fraction
    random: Fraction


class Example(Written):
    """A query and its nearest training pictures, by record numbers, and their distances."""

    query: Count
    nearest: list[Count]
    distances: list[float]


class RetrievalSummary(Written):
    """Nearest training pictures in fc7 (Section 6), exactly and by short codes.

    `weights` is the SHA-256 of the network's file. `milliseconds_*` are of one query among all, asked
    together; `same_class_*` the shares of the nearest pictures that show the query's class, None if that is
    unknown.
    """

    weights: str
    pictures: Positive
    dimensions: Positive
    queries: Positive
    neighbours: Positive
    shortlist: Positive
    code_bits: Positive
    exact_megabytes: float
    code_megabytes: float
    milliseconds_exact: float
    milliseconds_codes: float
    same_class_exact: Fraction | None
    same_class_codes: Fraction | None
    candidates: list[CandidateRecall]
    examples: list[Example]
