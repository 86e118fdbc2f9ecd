"""The printed update rule against its own arithmetic, and against `torch.optim.SGD`."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from documents import example
from numpy.typing import NDArray
from tiny import SOURCE, network_of, section
from torch import nn
from torch._dynamo.utils import counters

from alexnet.training.optimiser import PrintedSGD, printed_optimiser
from alexnet.training.params import Train

STEPS, CHANGE = 9, 5

Arrays = dict[str, NDArray[np.float64]]
Rates = dict[str, float]


def start() -> nn.Module:
    return network_of(width=0.01, classes=3).double()


def values_of(network: nn.Module) -> Arrays:
    return {name: values.detach().numpy().copy() for name, values in network.named_parameters()}


START = values_of(start())


def gradients_of(step: int) -> Arrays:
    """Gradients of one sign for the most part, so that the velocity grows large."""
    draw = np.random.default_rng(step)
    return {name: 5 + draw.standard_normal(values.shape) for name, values in START.items()}


def apply(network: nn.Module, gradients: Arrays) -> None:
    for name, parameter in network.named_parameters():
        parameter.grad = torch.from_numpy(gradients[name])


def alike(rate: float, **others: float) -> Rates:
    """Return a rate for all parameters but `others`, whose names have _ for a dot."""
    given = {name.replace("_", "."): other for name, other in others.items()}
    return {name: given.get(name, rate) for name in START}


# 0.01, and a tenth from the fifth step on, while the velocity is large.
FALLING = [alike(0.01 if step < CHANGE else 0.001) for step in range(STEPS)]


def run(settings: Train, rates: list[Rates], backend: str | None = None) -> tuple[Arrays, Arrays]:
    """Return weights and velocities after a step with each of the `rates`, compiled if with a `backend`."""
    network = start()
    optimiser = printed_optimiser(network, settings)
    if backend:
        torch.compiler.reset()
        optimiser.compile(backend)
    for step, now in enumerate(rates):
        apply(network, gradients_of(step))
        optimiser.set_rates(now)
        optimiser.step()
    return values_of(network), {name: values.numpy() for name, values in optimiser.velocity.items()}


def literal(settings: Train, rates: list[Rates]) -> tuple[Arrays, Arrays]:
    """v ← 0.9 v − 0.0005 ε w − ε ∂L/∂w;  w ← w + v."""
    w, v = dict(START), {name: np.zeros(values.shape) for name, values in START.items()}
    for step, now in enumerate(rates):
        gradients = gradients_of(step)
        for name in w:
            rate = now[name]
            decay = settings.bias_weight_decay if name.endswith(".bias") else settings.weight_decay
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


# Rates of the source's epoch 67, and what freezes conv1 or all biases.
OWN = {**alike(0.01, conv1_weight=1e-5), **{name: 0.02 for name in START if name.endswith("bias")}}
NO_CONV1 = alike(0.01, conv1_weight=0.0, conv1_bias=0.0)
NO_BIASES = {name: 0.0 if name.endswith("bias") else 0.01 for name in START}


@pytest.mark.parametrize("backend", [None, "aot_eager"])
@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        (section(Train), FALLING),
        # A decay large enough to weigh in beside these gradients.
        (section(Train, weight_decay=3.0, bias_weight_decay=3.0), FALLING),
        (section(Train, SOURCE, weight_decay=2.0), [OWN] * 4),
        *(
            (section(Train), [FALLING[0]] * 3 + [late] * 2 + [FALLING[-1]] * 2)
            for late in (NO_CONV1, NO_BIASES)
        ),
    ],
    ids=["printed", "decay", "source", "no conv1", "no biases"],
)
def test_the_printed_rule(settings: Train, rates: list[Rates], backend: str | None) -> None:
    for found, expected in zip(run(settings, rates, backend), literal(settings, rates), strict=True):
        assert_close(found, expected)


def test_a_copy_updates_as_the_original_does() -> None:
    results = []
    for copied in (False, True):
        parameter = nn.Parameter(torch.ones(3))
        optimiser = PrintedSGD([parameter], 0.1)
        optimiser.compile("aot_eager")
        if copied:
            optimiser = copy.deepcopy(optimiser)
        (parameter,) = optimiser.param_groups[0]["params"]
        parameter.grad = torch.arange(3.0)
        optimiser.step()
        results.append(parameter.detach())
    torch.testing.assert_close(*results)


def test_a_new_rate_is_not_compiled_anew() -> None:
    counters.clear()
    run(section(Train), [alike(rate) for rate in (0.01, 0.01, 0.001, 1e-4, 1e-5)], "aot_eager")
    assert counters["stats"]["unique_graphs"] == 1


def with_torchs(rates: list[Rates], rescale: bool) -> Arrays:
    """The same with `torch.optim.SGD`; `rescale` multiplies its buffers by ε_old / ε_new."""
    network = start()
    optimiser = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=0.0005)
    for step, now in enumerate(rates):
        apply(network, gradients_of(step))
        (group,), (new, *_) = optimiser.param_groups, now.values()
        if rescale and step:
            for state in optimiser.state.values():
                state["momentum_buffer"] *= group["lr"] / new
        group["lr"] = new
        optimiser.step()
    return values_of(network)


def test_torchs_optimiser_coasts_at_the_new_rate_and_so_differs() -> None:
    ours, _ = run(section(Train), FALLING)
    plain = with_torchs(FALLING, rescale=False)
    for name, values in ours.items():
        way = np.abs(values - START[name])
        # The velocity of the old rate carries ours on; torch's stops short by much of the way.
        assert (np.abs(values - plain[name]) > 0.1 * way).all(), name
    assert_close(with_torchs(FALLING, rescale=True), ours)
    # While the rate stays both are the same rule.
    steady = FALLING[:CHANGE]
    assert_close(with_torchs(steady, rescale=False), run(section(Train), steady)[0])


def test_somebody_elses_network_with_a_closure_and_groups() -> None:
    """The rule is an optimiser of torch: for any parameters, groups, closures, schedulers and states."""
    torch.manual_seed(1)
    inputs, targets = torch.randn(20, 5), torch.randint(0, 3, (20,))

    def made() -> tuple[nn.Sequential, PrintedSGD, Any]:
        network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
        optimiser = PrintedSGD(
            [
                {"params": network[0].parameters(), "lr": 0.1, "weight_decay": 0.0},
                {"params": network[2].parameters()},
            ],
            lr=0.05,
        )

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(network(inputs), targets)
            loss.backward()
            return loss

        return network, optimiser, closure

    network, optimiser, closure = made()
    groups = [(group["lr"], group["momentum"], group["weight_decay"]) for group in optimiser.param_groups]
    assert groups == [(0.1, 0.9, 0.0), (0.05, 0.9, 0.0005)]
    decay = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.9)
    losses = []
    for _ in range(10):
        losses.append(optimiser.step(closure).item())
        decay.step()
    assert losses[-1] < losses[0]
    assert {key for state in optimiser.state.values() for key in state} == {"velocity"}
    assert len(optimiser.state) == 4

    again, other, other_closure = made()
    again.load_state_dict(network.state_dict())
    other.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    assert torch.equal(other.step(other_closure), optimiser.step(closure))
    for one, two in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
    # What has no gradient stays.
    optimiser.zero_grad()
    before = [parameter.clone() for parameter in network.parameters()]
    assert optimiser.step() is None
    assert all(map(torch.equal, network.parameters(), before))


def test_the_documented_example_trains_another_network() -> None:
    shown: dict[str, Any] = {}
    exec(compile(example("PrintedSGD"), "using.md", "exec"), shown)
    assert shown["losses"][0] > 0.6
    assert shown["losses"][-1] < 0.1
    assert shown["optimiser"].param_groups[0]["lr"] == pytest.approx(0.002)
