"""Questions among processes: seldom where steps are short, and none is lost."""

from dataclasses import dataclass, field

import pytest

from alexnet.parallel.mesh import Mesh, Questions

MOST = 25


@dataclass(frozen=True)
class Pair(Mesh):
    """Two processes, of which the other always says no."""

    columns: int = 2
    exchanges: list[tuple[int, ...]] = field(default_factory=list)

    def largest(self, *values: int) -> list[int]:
        self.exchanges.append(values)
        return list(values)


class Clock:
    """A clock on which a step takes `step` seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: float) -> None:
        self.now, self.step = 0.0, step
        monkeypatch.setattr("alexnet.parallel.mesh.time.monotonic", lambda: self.now)

    def answers(self, questions: Questions, steps: int, asked_at: int = -1) -> list[bool]:
        """Return after each step whether to stop; one process wants to, for a moment."""
        found = []
        for number in range(steps):
            self.now += self.step
            found.append(questions.ask(number == asked_at, False)[0])
        return found


@pytest.mark.parametrize(
    ("step", "exchanges"),
    # After every step; after every second one; and with the longest pause, after steps 1, 26, 51 and 76.
    [(2.0, 100), (0.5, 50), (0.001, 4)],
)
def test_short_steps_ask_seldom(monkeypatch: pytest.MonkeyPatch, step: float, exchanges: int) -> None:
    clock, pair = Clock(monkeypatch, step), Pair()
    assert not any(clock.answers(Questions(pair, 1.0, MOST), 100))
    assert len(pair.exchanges) == exchanges


@pytest.mark.parametrize(("step", "delay"), [(2.0, 0), (0.001, MOST - 10)])
def test_a_yes_is_kept_until_all_are_asked(monkeypatch: pytest.MonkeyPatch, step: float, delay: int) -> None:
    found = Clock(monkeypatch, step).answers(Questions(Pair(), 1.0, MOST), 60, asked_at=10)
    assert [number for number, stop in enumerate(found) if stop] == [10 + delay]


def test_one_process_asks_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Clock(monkeypatch, 0.001).answers(Questions(Mesh(), 1.0, MOST), 60, asked_at=10)
    assert [number for number, stop in enumerate(found) if stop] == [10]
