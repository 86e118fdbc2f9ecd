"""`preprocess`: how raw pictures become 256×256 records."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from alexnet.params.base import Section


class Preprocess(Section):
    """Encoding and order of the records."""

    key: ClassVar[str] = "preprocess"

    encoding: Literal["jpeg", "raw"]
    jpeg_quality: int = Field(ge=1, le=100)
    chroma: Literal["4:2:0", "4:4:4"]
    shard_pictures: int = Field(ge=1, le=100_000)
    seed: int = Field(ge=0)
    max_bad_fraction: float = Field(ge=0, le=1)
