"""The printed update rule against its own arithmetic, and against `torch.optim.SGD`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from alexnet.core.params import read
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.training.optimiser import PrintedSGD
from alexnet.training.params import Train
from alexnet.training.schedule import Rates

PROFILES = Path(__file__).parents[2] / "profiles"
STEPS, CHANGE = 9, 5

Arrays = dict[str, NDArray[np.float64]]


def settings_of(profile: str = "imagenet-2012-paper.yaml", **changes: Any) -> Train:
    return Train.model_validate({**read(PROFILES / profile, Train).model_dump(), **changes})


def network_of() -> AlexNet:
    settings = read(PROFILES / "imagenet-2012-paper.yaml", Model).model_dump()
    torch.manual_seed(1)
    return AlexNet(Model.model_validate({**settings, "width": 0.01}), 3).double()


def values_of(network: AlexNet) -> Arrays:
    return {name: values.detach().numpy().copy() for name, values in network.named_parameters()}


def gradients_of(network: AlexNet, step: int) -> Arrays:
    """Gradients of one sign for the most part, so that the velocity grows large."""
    draw = np.random.default_rng(step)
    return {name: 5 + draw.standard_normal(values.shape) for name, values in network.named_parameters()}


def apply(network: AlexNet, gradients: Arrays) -> None:
    for name, parameter in network.named_parameters():
        parameter.grad = torch.from_numpy(gradients[name])


def alike(rate: float) -> Rates:
    return Rates(rate, rate, rate, rate)


def rates_at(step: int) -> Rates:
    """0.01, and a tenth from the fifth step on, while the velocity is large."""
    return alike(0.01 if step < CHANGE else 0.001)


def run(settings: Train, rates: list[Rates]) -> tuple[AlexNet, PrintedSGD]:
    network = network_of()
    optimiser = PrintedSGD(network, settings)
    for step, now in enumerate(rates):
        apply(network, gradients_of(network, step))
        optimiser.step(now)
    return network, optimiser


def literal(settings: Train, rates: list[Rates]) -> tuple[Arrays, Arrays]:
    """v ← 0.9 v − 0.0005 ε w − ε ∂L/∂w;  w ← w + v."""
    network = network_of()
    w, v = values_of(network), {name: np.zeros(a.shape) for name, a in values_of(network).items()}
    for step, now in enumerate(rates):
        gradients = gradients_of(network, step)
        for name in w:
            bias = name.endswith(".bias")
            if name.startswith("conv1."):
                rate = now.conv1_biases if bias else now.conv1_weights
            else:
                rate = now.biases if bias else now.weights
            decay = settings.bias_weight_decay if bias else settings.weight_decay
            if rate == 0:
                continue
            v[name] = settings.momentum * v[name] - decay * rate * w[name] - rate * gradients[name]
            w[name] = w[name] + v[name]
    return w, v


def assert_close(found: Arrays, expected: Arrays) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(
            found[name], values, rtol=1e-12, atol=1e-12 * np.abs(values).max(), err_msg=name
        )


def assert_printed(settings: Train, rates: list[Rates]) -> None:
    network, optimiser = run(settings, rates)
    w, v = literal(settings, rates)
    assert_close(values_of(network), w)
    assert_close({name: values.numpy() for name, values in optimiser.velocity.items()}, v)


# A decay large enough to weigh in beside these gradients.
@pytest.mark.parametrize("decay", [0.0005, 3.0])
def test_the_printed_rule_when_the_rate_changes(decay: float) -> None:
    settings = settings_of(weight_decay=decay, bias_weight_decay=decay)
    assert_printed(settings, [rates_at(step) for step in range(STEPS)])


def with_torchs(settings: Train, rescale: bool) -> Arrays:
    """The same with `torch.optim.SGD`; `rescale` multiplies its buffers by ε_old / ε_new."""
    network = network_of()
    optimiser = torch.optim.SGD(
        network.parameters(), 0.01, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    for step in range(STEPS):
        apply(network, gradients_of(network, step))
        group = optimiser.param_groups[0]
        new = rates_at(step).weights
        if rescale and step:
            for state in optimiser.state.values():
                state["momentum_buffer"] *= group["lr"] / new
        group["lr"] = new
        optimiser.step()
    return values_of(network)


def test_torchs_optimiser_coasts_at_the_new_rate_and_so_differs() -> None:
    settings = settings_of()
    ours = values_of(run(settings, [rates_at(step) for step in range(STEPS)])[0])
    plain = with_torchs(settings, rescale=False)
    start = values_of(network_of())
    for name, values in ours.items():
        way = np.abs(values - start[name])
        # The velocity of the old rate carries ours on; torch's stops short by much of the way.
        assert (np.abs(values - plain[name]) > 0.1 * way).all(), name


def test_torchs_optimiser_with_its_buffers_rescaled_is_the_printed_rule() -> None:
    settings = settings_of()
    ours = values_of(run(settings, [rates_at(step) for step in range(STEPS)])[0])
    assert_close(with_torchs(settings, rescale=True), ours)


def test_torchs_optimiser_is_the_printed_rule_while_the_rate_stays() -> None:
    settings = settings_of()
    ours = values_of(run(settings, [alike(0.01)] * CHANGE)[0])
    network = network_of()
    optimiser = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=0.0005)
    for step in range(CHANGE):
        apply(network, gradients_of(network, step))
        optimiser.step()
    assert_close(values_of(network), ours)


def test_rate_0_stops_decay_and_coasting() -> None:
    settings = settings_of(weight_decay=1.0, bias_weight_decay=1.0)
    moving, moving_optimiser = run(settings, [alike(0.01)] * 4)
    stopped, optimiser = run(settings, [alike(0.01)] * 4 + [alike(0.0)] * 3)
    assert all(velocity.abs().min() > 0 for velocity in moving_optimiser.velocity.values())
    for name, values in values_of(moving).items():
        assert np.array_equal(values_of(stopped)[name], values), name
        assert torch.equal(optimiser.velocity[name], moving_optimiser.velocity[name]), name


@pytest.mark.parametrize("frozen", ["conv1", "biases"])
def test_a_frozen_part_stays_while_the_rest_goes_on(frozen: str) -> None:
    settings = settings_of()
    late = Rates(0.01, 0.01, 0.0, 0.0) if frozen == "conv1" else Rates(0.01, 0.0, 0.01, 0.0)
    before = values_of(run(settings, [alike(0.01)] * 3)[0])
    after = values_of(run(settings, [alike(0.01)] * 3 + [late] * 2)[0])
    for name, values in before.items():
        still = name.startswith("conv1.") if frozen == "conv1" else name.endswith(".bias")
        assert np.array_equal(after[name], values) == still, name
    assert_printed(settings, [alike(0.01)] * 3 + [late] * 2 + [alike(0.001)] * 2)


def test_biases_and_conv1_have_rates_and_decays_of_their_own() -> None:
    settings = settings_of("imagenet-2012-source.yaml", weight_decay=2.0)
    assert settings.bias_weight_decay == 0
    assert_printed(settings, [Rates(0.01, 0.02, 1e-5, 0.02)] * 4)
    # Without gradients only what decays moves.
    network = network_of()
    before = values_of(network)
    optimiser = PrintedSGD(network, settings)
    apply(network, {name: np.zeros(values.shape) for name, values in before.items()})
    optimiser.step(Rates(0.01, 0.02, 1e-5, 0.02))
    for name, values in values_of(network).items():
        shrunk = 0.0 if name.endswith(".bias") else 2.0 * (1e-5 if name == "conv1.weight" else 0.01)
        np.testing.assert_allclose(values, before[name] * (1 - shrunk), rtol=1e-12)


def test_zero_grad_forgets_the_gradients() -> None:
    network = network_of()
    optimiser = PrintedSGD(network, settings_of())
    apply(network, gradients_of(network, 0))
    optimiser.zero_grad()
    assert all(parameter.grad is None for parameter in network.parameters())
