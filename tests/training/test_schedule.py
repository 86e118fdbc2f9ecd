"""Learning rates: the plateau of the paper, the steps of layer file 145, own rates, stopping; and chance."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import PAPER, SOURCE, section

from alexnet.training.chance import is_at_chance, is_below_chance, loss_at_chance
from alexnet.training.params import Train
from alexnet.training.schedule import Schedule

NAMES = [f"{layer}.{kind}" for layer in ("conv1", "conv2", "fc8") for kind in ("weight", "bias")]


def settings_of(profile: Path = PAPER, **schedule: Any) -> Train:
    settings = section(Train, profile)
    return section(Train, profile, schedule={**settings.schedule.model_dump(), **schedule})


def rates_in(epoch: int, settings: Train) -> dict[str, float]:
    return Schedule(settings).rates(epoch, NAMES)


def fallen(settings: Train, errors: list[float]) -> list[int]:
    """Return how often the weights' rate had fallen in each epoch, given the errors after each."""
    schedule, drops = Schedule(settings), []
    for epoch, error in enumerate(errors, 1):
        ratio = settings.learning_rate / schedule.rates(epoch, NAMES)["conv2.weight"]
        drops.append([1, 10, 100, 1000].index(round(ratio)))
        schedule.observe(error)
    return drops


@pytest.mark.parametrize(
    ("epochs", "weights", "conv1_weights", "conv1_biases"),
    [
        ((1, 24), 1e-2, 1e-2, 0.02),
        ((25, 50), 1e-3, 1e-3, 0.02),
        ((51, 66), 1e-4, 1e-4, 0.02),
        ((67, 71), 1e-4, 1e-5, 0.02),
        ((72, 78), 1e-4, 0.0, 0.0),
        ((79, 90), 1e-5, 0.0, 0.0),
    ],
)
def test_the_steps_of_layer_file_145(
    epochs: tuple[int, int], weights: float, conv1_weights: float, conv1_biases: float
) -> None:
    settings = settings_of(SOURCE)
    longer = settings.model_copy(update={"epochs": 200})
    for epoch in epochs:
        rates = rates_in(epoch, settings)
        expected = [conv1_weights, conv1_biases, weights, 0.02, weights, 0.02]
        assert rates == pytest.approx(dict(zip(NAMES, expected, strict=True)), rel=1e-12)
        assert rates == rates_in(epoch, longer), "rates do not depend on the planned length"


def test_steps_do_not_look_at_errors() -> None:
    settings = settings_of(SOURCE)
    assert fallen(settings, [0.9] * 24) == [0] * 24


def test_the_paper_begins_with_one_rate_for_all() -> None:
    assert rates_in(1, settings_of()) == dict.fromkeys(NAMES, 0.01)


@pytest.mark.parametrize(
    ("changes", "errors", "expected"),
    [
        (
            {"patience": 2},
            # best, best, worse, equal, (fallen) best, equal, better (no wait), worse, worse
            [0.90, 0.80, 0.85, 0.80, 0.80, 0.70, 0.70, 0.69, 0.75, 0.72, 0.71],
            [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2],
        ),
        # Each epoch is better than the one before but for the first, which is never reached again.
        ({"patience": 3}, [0.5, 0.9, 0.8, 0.7, 0.6], [0, 0, 0, 0, 1]),
        ({"patience": 1}, [0.5] * 8, [0, 0, 1, 2, 3, 3, 3, 3]),
        ({"patience": 1, "drops": 1}, [0.5] * 5, [0, 0, 1, 1, 1]),
        ({"patience": 1, "drops": 0}, [0.5] * 5, [0] * 5),
        ({"patience": 2, "min_improvement": 0.0}, [0.50, 0.495, 0.49, 0.485], [0, 0, 0, 0]),
        ({"patience": 2, "min_improvement": 0.02}, [0.50, 0.495, 0.49, 0.485], [0, 0, 0, 1]),
        ({"kind": "constant", "patience": 1, "drop_epochs": [2]}, [0.5] * 6, [0] * 6),
    ],
)
def test_when_a_plateau_makes_the_rate_fall(
    changes: dict[str, Any], errors: list[float], expected: list[int]
) -> None:
    assert fallen(settings_of(**changes), errors) == expected


@pytest.mark.parametrize("biases_too", [True, False])
def test_whether_biases_fall_too(biases_too: bool) -> None:
    schedule = Schedule(settings_of(patience=1, biases_too=biases_too))
    schedule.observe(0.5)
    schedule.observe(0.5)
    rates = schedule.rates(3, NAMES)
    assert rates["conv2.weight"] == pytest.approx(0.001, rel=1e-12)
    assert rates["conv2.bias"] == pytest.approx(0.001 if biases_too else 0.01, rel=1e-12)


@pytest.mark.parametrize("layer", ["conv1", "fc8"])
def test_own_rates_are_absolute_and_0_freezes_the_biases_too(layer: str) -> None:
    own: dict[str, Any] = {layer: [{"epoch": 2, "learning_rate": 1e-5}, {"epoch": 4, "learning_rate": 0.0}]}
    schedule, found = Schedule(settings_of(patience=1, **own)), []
    for epoch in range(1, 5):
        found.append(schedule.rates(epoch, NAMES))
        schedule.observe(0.5)
    assert [rates[f"{layer}.weight"] for rates in found] == [0.01, 1e-5, 1e-5, 0.0]
    assert [rates[f"{layer}.bias"] for rates in found] == [rates["conv2.bias"] for rates in found[:3]] + [0.0]
    assert found[3]["conv2.weight"] == pytest.approx(1e-4, rel=1e-12)


def test_a_rate_of_0_for_all_weights_leaves_the_biases_theirs() -> None:
    settings = section(Train, learning_rate=0.0)
    assert rates_in(1, settings) == {name: 0.01 * name.endswith("bias") for name in NAMES}


@pytest.mark.parametrize("stop", [0, 1, 3, 4, 6])
def test_a_restored_schedule_goes_on_as_if_never_stopped(stop: int) -> None:
    settings = settings_of(patience=2, min_improvement=0.01)
    errors = [0.9, 0.895, 0.7, 0.7, 0.75, 0.65, 0.66, 0.67, 0.68]
    undisturbed, before, after = Schedule(settings), Schedule(settings), Schedule(settings)
    for error in errors:
        undisturbed.observe(error)
    for error in errors[:stop]:
        before.observe(error)
    after.observe(0.1)
    # The state must survive being written down.
    after.restore(json.loads(json.dumps(before.state())))
    for error in errors[stop:]:
        after.observe(error)
    assert after.state() == undisturbed.state()
    assert after.rates(10, NAMES) == undisturbed.rates(10, NAMES)
    assert undisturbed.dropped == 2


def test_entropy_of_unequal_classes_counts_none_that_is_absent() -> None:
    expected = -(0.5 * math.log(0.5) + 0.375 * math.log(0.375) + 0.125 * math.log(0.125))
    assert loss_at_chance(np.array([0, 0, 0, 0, 2, 2, 2, 5])) == pytest.approx(expected, rel=1e-12)


def test_flat_is_within_2_per_cent_and_below_is_under() -> None:
    assert [loss for loss in (2.93, 2.95, 3.0, 3.05, 3.07) if is_at_chance(loss, 3.0)] == [2.95, 3.0, 3.05]
    assert [is_below_chance(loss, 3.0) for loss in (2.93, 2.95, 3.2)] == [True, False, False]
