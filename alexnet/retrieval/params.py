"""`retrieve`: the search for the nearest training pictures, and its short codes."""

from typing import ClassVar

from pydantic import Field

from alexnet.core.params import Section


class Retrieve(Section):
    """The ``retrieve`` section (paper, section 6.1, with its last paragraph).

    Attributes:
        code_bits: bits of a picture's code.
        steps, batch_size: updates of the auto-encoder that learns the codes, and pictures in each.
        queries: how many pictures of the evaluated split measure the codes' recall, at most; the six
            that the report shows are always among them.
        seed: of the auto-encoder, of the random projections, and of the queries.
    """

    key: ClassVar[str] = "retrieve"

    code_bits: int = Field(ge=8, le=1024, multiple_of=8)
    steps: int = Field(ge=1)
    batch_size: int = Field(ge=2, le=1_000_000)
    queries: int = Field(ge=1)
    seed: int = Field(ge=0)
