"""Precision, order in memory and compiling: what they may change, and what not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from tiny import CPU, PAPER, SOURCE, difference, random_patches
from torch import Tensor
from torch.nn import functional

from alexnet.core.machine import Machine
from alexnet.model.dropout import picture_keys
from alexnet.model.network import AlexNet
from alexnet.parallel.device import chosen_mode, memory_format
from alexnet.training.precision import Precision

PICTURES = 4
RECIPES = pytest.mark.parametrize("profile", [PAPER, SOURCE])


@pytest.fixture(autouse=True)
def _settings_as_before() -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    yield
    matmul.allow_tf32, cudnn.allow_tf32 = before


def network_of(profile: Path = PAPER) -> AlexNet:
    return tiny.network_of(profile, 5, sure=20, width=0.06)


def gradients(network: AlexNet, precision: str) -> tuple[Tensor, dict[str, Tensor]]:
    keys = picture_keys(1, 0, 0, PICTURES, CPU)
    logits = Precision(precision, CPU).run(network.train(), random_patches(PICTURES), keys)
    functional.cross_entropy(logits, torch.arange(PICTURES)).backward()
    found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return logits.detach(), found


@RECIPES
def test_bfloat16_is_near_float64_with_weights_and_gradients_in_float32(profile: Path) -> None:
    exact_logits, exact = gradients(network_of(profile).double(), "float32")
    assert exact_logits.dtype == torch.float64
    logits, found = gradients(network_of(profile), "bfloat16")
    assert logits.dtype == torch.float32
    # Eight bits: a rounding at each layer, which float32 has not.
    assert 1e-4 < difference(logits, exact_logits) < 0.05
    assert found.keys() == exact.keys()
    for name, gradient in found.items():
        assert gradient.dtype == torch.float32
        # Rounded maps tie in the pools, so that some gradients go to a neighbour.
        assert difference(gradient, exact[name]) < 0.3, name


@pytest.mark.parametrize("name", ["float32", "tf32"])
def test_float32_on_the_cpu_is_float32_whatever_gpus_may_do(name: str) -> None:
    exact, _ = gradients(network_of().double(), "float32")
    logits, _ = gradients(network_of(), name)
    assert difference(logits, exact) < 1e-5
    assert Precision(name, CPU).name == "float32"


@pytest.mark.parametrize("name", ["float32", "tf32"])
def test_gpus_may_use_tf32_only_when_told(name: str) -> None:
    Precision(name, torch.device("cuda"))
    assert torch.backends.cuda.matmul.allow_tf32 == (name == "tf32")
    assert torch.backends.cudnn.allow_tf32 == (name == "tf32")


@pytest.mark.parametrize("can", [False, True])
def test_a_gpu_that_cannot_multiply_bfloat16_is_told(
    can: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: can)
    Precision("bfloat16", torch.device("cuda"))
    assert ("float32 may be faster" in capsys.readouterr().out) != can


@RECIPES
def test_the_order_in_memory_changes_rounding_alone(profile: Path) -> None:
    plain, changed = network_of(profile).double(), network_of(profile).double()
    changed.set_memory_format(torch.channels_last)
    assert changed.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    inputs = changed.input(random_patches(PICTURES))
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    logits, found = gradients(plain, "float32")
    again, others = gradients(changed, "float32")
    assert difference(again, logits) < 1e-12
    for name, gradient in found.items():
        assert difference(others[name], gradient) < 1e-11, name


def test_auto_is_channels_last_and_pictures_come_in_that_order() -> None:
    assert memory_format(Machine()) == torch.channels_last
    assert memory_format(Machine(memory_format="contiguous")) == torch.contiguous_format


def test_compiling_is_for_gpus_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert chosen_mode(Machine(), CPU) == "eager"
    assert chosen_mode(Machine(compile=False), CPU) == "eager"
    assert capsys.readouterr().out == ""


def test_a_gpu_replays_recorded_steps_where_they_can_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    working = {"CUDA graphs", "compiled"}
    monkeypatch.setattr("alexnet.parallel.device._works", lambda mode, device: mode in working)
    gpu, recorded = torch.device("cuda"), Machine(compile="cuda-graphs")
    for machine in (Machine(), recorded):
        assert chosen_mode(machine, gpu, recordable=True) == "CUDA graphs"
        assert chosen_mode(machine, gpu) == "compiled"
    assert chosen_mode(Machine(compile=True), gpu, recordable=True) == "compiled"
    assert chosen_mode(Machine(compile=False), gpu, recordable=True) == "eager"
    assert chosen_mode(recorded, CPU, recordable=True) == "compiled"
    working.remove("CUDA graphs")
    assert chosen_mode(recorded, gpu, recordable=True) == "compiled"
    working.remove("compiled")
    assert chosen_mode(recorded, gpu, recordable=True) == "eager"


def test_without_a_compiler_training_goes_on_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(function: Any, **_: Any) -> Any:
        def forward(*arguments: Any) -> Any:
            raise RuntimeError("InvalidCxxCompiler: No working C++ compiler\nfound in g++")

        return forward

    monkeypatch.setattr(torch, "compile", failing)
    assert chosen_mode(Machine(compile=True), CPU) == "eager"
    (line,) = capsys.readouterr().out.splitlines()
    assert "No working C++ compiler found in g++" in line
    assert "so training is slower" in line
