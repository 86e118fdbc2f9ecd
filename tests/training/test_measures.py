"""What is measured of updates."""

import time

import pytest
import torch
from tiny import CPU

from alexnet.parallel.mesh import Mesh
from alexnet.training.measures import Meter, Results, Sums

LAYERS = ["conv1", "fc8"]


def results(loss: float) -> Results:
    return Results(torch.tensor(loss), torch.tensor(1), loss * torch.tensor([3.0, 4.0, 0.0, 1.0]))


def test_the_sums_are_those_of_the_updates_though_the_next_overwrites_its_results() -> None:
    meter, sums, same = Meter(CPU, LAYERS), Sums(), results(1.0)
    for loss in (1.0, 2.0):
        for place, each in zip(same, results(loss), strict=True):
            place.copy_(each)
        meter.add(same, 5)
    assert meter.collect(sums, Mesh()) == 3
    assert (sums.loss, sums.wrong, sums.pictures, sums.updates) == (3, 2, 10, 2)
    # Weight and bias together: 3² + 4² and 1², of gradients once as they are and once twice as large.
    assert sums.squared_gradients == {"conv1": 5 * 25, "fc8": 5}


def test_on_a_cpu_waiting_is_the_time_that_passes() -> None:
    meter, sums = Meter(CPU, LAYERS), Sums()
    since = meter.now()
    time.sleep(0.02)
    meter.add_wait(since)
    meter.add(results(1.0), 1)
    meter.collect(sums, Mesh())
    assert 0.02 <= sums.waited < 10
    # Counted once.
    meter.add(results(1.0), 1)
    before = sums.waited
    meter.collect(sums, Mesh())
    assert sums.waited == before


def test_on_a_gpu_waiting_is_what_passes_there(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1000.0, 1250.0, 3000.0, 3001.0])

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.at = next(clock)

        def elapsed_time(self, other: "Event") -> float:
            return other.at - self.at

    monkeypatch.setattr(torch.cuda, "Event", Event)
    meter, sums = Meter(CPU, LAYERS), Sums()
    meter.device = torch.device("cuda")
    for _ in range(2):
        meter.add_wait(meter.now())
        meter.add(results(1.0), 1)
    meter.device = CPU
    meter.collect(sums, Mesh())
    # In milliseconds there, in seconds here.
    assert sums.waited == pytest.approx(0.251)
