"""When rates fall: by the plateau rule, by the diary of the 2012 run, never."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alexnet.core.params import read
from alexnet.training.params import Train
from alexnet.training.schedule import Rates, Schedule

PROFILES = Path(__file__).parents[2] / "profiles"
PAPER, SOURCE = "imagenet-2012-paper.yaml", "imagenet-2012-source.yaml"


def settings_of(profile: str = PAPER, **schedule: Any) -> Train:
    settings = read(PROFILES / profile, Train).model_dump()
    return Train.model_validate({**settings, "schedule": {**settings["schedule"], **schedule}})


def fallen(settings: Train, errors: list[float]) -> list[int]:
    """Return how often the weights' rate had fallen in each epoch, given the errors after each."""
    schedule, drops = Schedule(settings), []
    for epoch, error in enumerate(errors, 1):
        ratio = settings.learning_rate / schedule.rates(epoch).weights
        drops.append([1, 10, 100, 1000].index(round(ratio)))
        schedule.observe(error)
    return drops


@pytest.mark.parametrize(
    ("epoch", "weights", "biases", "conv1_weights", "conv1_biases"),
    [
        (1, 1e-2, 0.02, 1e-2, 0.02),
        (24, 1e-2, 0.02, 1e-2, 0.02),
        (25, 1e-3, 0.02, 1e-3, 0.02),
        (50, 1e-3, 0.02, 1e-3, 0.02),
        (51, 1e-4, 0.02, 1e-4, 0.02),
        (66, 1e-4, 0.02, 1e-4, 0.02),
        (67, 1e-4, 0.02, 1e-5, 0.02),
        (71, 1e-4, 0.02, 1e-5, 0.02),
        (72, 1e-4, 0.02, 0.0, 0.0),
        (79, 1e-5, 0.02, 0.0, 0.0),
        (90, 1e-5, 0.02, 0.0, 0.0),
    ],
)
def test_the_diary_of_layer_file_145(
    epoch: int, weights: float, biases: float, conv1_weights: float, conv1_biases: float
) -> None:
    rates = Schedule(read(PROFILES / SOURCE, Train)).rates(epoch)
    expected = {
        ("conv1", "weight"): conv1_weights,
        ("conv1", "bias"): conv1_biases,
        ("conv2", "weight"): weights,
        ("conv2", "bias"): biases,
        ("fc8", "weight"): weights,
        ("fc8", "bias"): biases,
    }
    for (layer, kind), rate in expected.items():
        assert rates.of(layer, kind) == pytest.approx(rate, rel=1e-12), (layer, kind)


def test_the_diary_does_not_look_at_errors() -> None:
    settings = settings_of(SOURCE)
    schedule = Schedule(settings)
    for _ in range(40):
        schedule.observe(0.9)
    assert schedule.rates(24) == Schedule(settings).rates(24)


def test_the_paper_begins_with_one_rate_for_all() -> None:
    assert Schedule(settings_of()).rates(1) == Rates(0.01, 0.01, 0.01, 0.01)


def test_plateau_falls_after_patience_epochs_without_a_better_error() -> None:
    settings = settings_of(patience=2)
    #         best  best  worse equal        best  equal better(no wait) worse worse
    errors = [0.90, 0.80, 0.85, 0.80, 0.80, 0.70, 0.70, 0.69, 0.75, 0.72, 0.71]
    assert fallen(settings, errors) == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2]


def test_plateau_compares_with_the_best_not_with_the_last() -> None:
    # Each epoch is better than the one before but for the first, which is never reached again.
    assert fallen(settings_of(patience=3), [0.5, 0.9, 0.8, 0.7, 0.6]) == [0, 0, 0, 0, 1]


def test_plateau_falls_three_times_at_most() -> None:
    assert fallen(settings_of(patience=1), [0.5] * 8) == [0, 0, 1, 2, 3, 3, 3, 3]
    assert fallen(settings_of(patience=1, drops=1), [0.5] * 5) == [0, 0, 1, 1, 1]
    assert fallen(settings_of(patience=1, drops=0), [0.5] * 5) == [0] * 5


def test_plateau_wants_more_than_the_least_improvement() -> None:
    slowly = [0.50, 0.495, 0.49, 0.485]
    assert fallen(settings_of(patience=2, min_improvement=0.0), slowly) == [0, 0, 0, 0]
    assert fallen(settings_of(patience=2, min_improvement=0.02), slowly) == [0, 0, 0, 1]


@pytest.mark.parametrize("biases_too", [True, False])
def test_whether_biases_fall_too(biases_too: bool) -> None:
    schedule = Schedule(settings_of(patience=1, biases_too=biases_too))
    schedule.observe(0.5)
    schedule.observe(0.5)
    rates = schedule.rates(3)
    assert rates.weights == pytest.approx(0.001, rel=1e-12)
    assert rates.biases == pytest.approx(0.001 if biases_too else 0.01, rel=1e-12)


def test_constant_never_falls() -> None:
    settings = settings_of(kind="constant", patience=1, drop_epochs=[2])
    assert fallen(settings, [0.5] * 6) == [0] * 6


def test_conv1_changes_are_absolute_under_a_plateau_too() -> None:
    changes = [{"epoch": 2, "learning_rate": 1e-5}, {"epoch": 4, "learning_rate": 0.0}]
    schedule = Schedule(settings_of(patience=1, conv1=changes))
    rates = []
    for epoch in range(1, 5):
        rates.append(schedule.rates(epoch))
        schedule.observe(0.5)
    assert [now.conv1_weights for now in rates] == [0.01, 1e-5, 1e-5, 0.0]
    assert rates[3].conv1_biases == 0.0
    assert rates[2].conv1_biases == rates[2].biases
    assert rates[3].weights == pytest.approx(1e-4, rel=1e-12)


def test_rates_of_an_epoch_do_not_depend_on_the_planned_length() -> None:
    short = settings_of(SOURCE)
    long = Train.model_validate({**short.model_dump(), "epochs": 200})
    assert [Schedule(short).rates(e) for e in range(1, 91)] == [Schedule(long).rates(e) for e in range(1, 91)]


@pytest.mark.parametrize("stop", [1, 3, 4, 6])
def test_a_restored_schedule_goes_on_as_if_never_stopped(stop: int) -> None:
    settings = settings_of(patience=2, min_improvement=0.01)
    errors = [0.9, 0.895, 0.7, 0.7, 0.75, 0.65, 0.66, 0.67, 0.68]
    undisturbed, before = Schedule(settings), Schedule(settings)
    for error in errors:
        undisturbed.observe(error)
    for error in errors[:stop]:
        before.observe(error)
    after = Schedule(settings)
    # The state must survive being written down.
    after.restore(json.loads(json.dumps(before.state())))
    for error in errors[stop:]:
        after.observe(error)
    assert after.state() == undisturbed.state()
    assert after.rates(10) == undisturbed.rates(10)
    assert undisturbed.dropped == 2


def test_the_state_of_a_fresh_schedule_restores_too() -> None:
    schedule = Schedule(settings_of())
    schedule.observe(0.5)
    schedule.restore(Schedule(settings_of()).state())
    assert schedule.best_error == float("inf")
    assert schedule.rates(1).weights == 0.01


def test_fc8_has_its_own_rate_while_it_is_told() -> None:
    changes = [{"epoch": 1, "learning_rate": 0.01}, {"epoch": 3, "learning_rate": 0.0}]
    schedule = Schedule(settings_of(kind="diary", drop_epochs=[2], fc8=changes))
    rates = [schedule.rates(epoch) for epoch in (1, 2, 3)]
    assert [now.of("fc8", "weight") for now in rates] == [0.01, 0.01, 0.0]
    # Frozen as a whole, as conv1 is.
    assert [now.of("fc8", "bias") for now in rates] == [rates[0].biases, rates[1].biases, 0.0]
    assert [now.of("fc7", "weight") for now in rates] == [
        rates[0].weights,
        rates[1].weights,
        rates[1].weights,
    ]
    assert Schedule(settings_of()).rates(1).of("fc8", "weight") == 0.01
