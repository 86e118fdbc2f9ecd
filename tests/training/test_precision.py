"""Precision, order in memory and compiling: what they may change, and what not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from alexnet.core.machine import Machine
from alexnet.core.params import read
from alexnet.model.dropout import picture_keys
from alexnet.model.initial import initialise
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.parallel.device import memory_format, should_compile
from alexnet.training.precision import Precision

PROFILES = Path(__file__).parents[2] / "profiles"
CPU = torch.device("cpu")
RECIPES = ["imagenet-2012-paper.yaml", "imagenet-2012-source.yaml"]


@pytest.fixture(autouse=True)
def _settings_as_before() -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    yield
    matmul.allow_tf32, cudnn.allow_tf32 = before


def network_of(profile: str = RECIPES[0]) -> AlexNet:
    settings = read(PROFILES / profile, Model).model_dump()
    he = {"width": 0.06, "initial_weights": "he", "initial_biases": "zero", "input_divisor": 60.0}
    network = AlexNet(Model.model_validate({**settings, **he}), 5)
    initialise(network, 1)
    with torch.no_grad():
        network.fc8.weight.mul_(20)
    return network


def inputs_of(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(2))


def gradients(network: AlexNet, precision: str, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    keys = picture_keys(1, 0, 0, len(inputs), CPU)
    logits = Precision(precision, CPU).run(network.train(), inputs, keys)
    functional.cross_entropy(logits, torch.arange(len(inputs))).backward()
    found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return logits.detach(), found


def distance(one: Tensor, other: Tensor) -> float:
    return float((one.double() - other.double()).norm() / other.double().norm())


@pytest.mark.parametrize("profile", RECIPES)
def test_bfloat16_is_near_float64_with_weights_and_gradients_in_float32(profile: str) -> None:
    exact_logits, exact = gradients(network_of(profile).double(), "float32", inputs_of().double())
    assert exact_logits.dtype == torch.float64
    logits, found = gradients(network_of(profile), "bfloat16", inputs_of())
    assert logits.dtype == torch.float32
    # Eight bits: a rounding at each layer, which float32 has not.
    assert 1e-4 < distance(logits, exact_logits) < 0.05
    assert found.keys() == exact.keys()
    for name, gradient in found.items():
        assert gradient.dtype == torch.float32
        # Rounded maps tie in the pools, so that some gradients go to a neighbour.
        assert distance(gradient, exact[name]) < 0.3, name


@pytest.mark.parametrize("name", ["float32", "tf32"])
def test_float32_on_the_cpu_is_float32_whatever_gpus_may_do(name: str) -> None:
    exact, _ = gradients(network_of().double(), "float32", inputs_of().double())
    logits, _ = gradients(network_of(), name, inputs_of())
    assert distance(logits, exact) < 1e-5
    assert Precision(name, CPU).name == "float32"


@pytest.mark.parametrize("name", ["float32", "tf32"])
def test_gpus_may_use_tf32_only_when_told(name: str) -> None:
    Precision(name, torch.device("cuda"))
    assert torch.backends.cuda.matmul.allow_tf32 == (name == "tf32")
    assert torch.backends.cudnn.allow_tf32 == (name == "tf32")


@pytest.mark.parametrize("profile", RECIPES)
def test_the_order_in_memory_changes_rounding_alone(profile: str) -> None:
    plain, changed = network_of(profile).double(), network_of(profile).double()
    changed.lay_out(torch.channels_last)
    assert changed.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    inputs = inputs_of().double()
    logits, found = gradients(plain, "float32", inputs)
    again, others = gradients(changed, "float32", inputs.contiguous(memory_format=torch.channels_last))
    assert distance(again, logits) < 1e-12
    for name, gradient in found.items():
        assert distance(others[name], gradient) < 1e-11, name


def test_auto_is_channels_last_and_pictures_come_in_that_order() -> None:
    assert memory_format(Machine()) == torch.channels_last
    assert memory_format(Machine(memory_format="contiguous")) == torch.contiguous_format


def test_compiling_is_for_gpus_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert not should_compile(Machine(), CPU)
    assert not should_compile(Machine(compile=False), CPU)
    assert capsys.readouterr().out == ""


def test_without_a_compiler_training_goes_on_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(function: Any) -> Any:
        def forward(*arguments: Any) -> Any:
            raise RuntimeError("InvalidCxxCompiler: No working C++ compiler\nfound in g++")

        return forward

    monkeypatch.setattr(torch, "compile", failing)
    assert not should_compile(Machine(compile=True), CPU)
    (line,) = capsys.readouterr().out.splitlines()
    assert "No working C++ compiler found in g++" in line
    assert "goes on without" in line
