"""Contestants that take turns, and how what they measured is told."""

import multiprocessing
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from alexnet.core.errors import UserError

T = TypeVar("T")


def in_turns(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return what each measured in each round: whatever else the machine does falls on all alike."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, measure in contestants.items():
            found[name].append(measure())
    return found


def ratios(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(one, other, strict=True)]


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Return the median and the range, in a format of Python: ``1.02 (0.97 to 1.04)``."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def tell(rates: Mapping[str, Sequence[float]]) -> None:
    """Print the rates of each, pictures/s, and how many times the first's they are."""
    first = next(iter(rates))
    for name, own in rates.items():
        print(f"{name}: {spread(own, '.1f')} pictures/s; {spread(ratios(own, rates[first]))} times {first}")


def in_own_process(work: Callable[..., T], *arguments: object) -> T:
    """Call `work` in a new process, whose settings and peak of memory are its own; say if it was ended."""
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(work, *arguments).result()
    except BrokenProcessPool:
        raise UserError(f"{work.__name__}{arguments}: its process was ended (out of memory?)") from None
