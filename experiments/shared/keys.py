"""Types of keys that several experiments' parameters have."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field


def _each_once(names: list[Any]) -> list[Any]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"found {name} twice; allowed: each once")
    return names


EACH_ONCE = AfterValidator(_each_once)
Seed = Annotated[int, Field(ge=0)]
Seeds = Annotated[list[Seed], Field(min_length=1), EACH_ONCE]
