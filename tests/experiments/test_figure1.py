"""Figure 1: its networks, its training, its sweep, and its page."""

import copy
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import nn
from torch.nn import functional

from alexnet.core.errors import UserError
from alexnet.core.files import write_json
from alexnet.core.params import read, validate
from alexnet.report.canvas import LIGHT
from alexnet.report.page import page_as_markdown
from experiments.figure1 import norm, page, sweep, training
from experiments.figure1.network import FourLayers, LocallyConnected, LocalNet, initialise, pooled, unit_gain
from experiments.figure1.pictures import Pictures, shrink
from experiments.figure1.settings import PARAMS, Activation, Arm, Figure1
from experiments.figure1.training import Data, Result, Training, begin_local_net, drawn_places


@pytest.fixture(autouse=True)
def _states_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings_of(**changes: Any) -> Figure1:
    content = read(ROOT / PARAMS, Figure1).model_dump()
    for key, value in changes.items():
        group, _, name = key.rpartition("__")
        (content[group] if group else content)[name] = value
    return validate(content, Figure1, PARAMS, "figure1")


def test_a_pixel_is_the_mean_of_what_it_covers_and_the_right_size_stays_as_it_is() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8)
    square = picture[:, 8:40].astype(float).reshape(8, 4, 8, 4, 3)
    assert np.abs(shrink(picture, 8) - square.mean((1, 3))).max() <= 0.5
    assert (shrink(picture, 32) == picture[:, 8:40]).all()


def test_the_four_layers_are_those_of_cuda_convnet() -> None:
    parameters = dict(FourLayers("relu", 32, 10).named_parameters())
    shapes = {
        "conv1": (32, 3, 5, 5),
        "conv2": (32, 32, 5, 5),
        "conv3": (64, 32, 5, 5),
        "fc": (10, 64 * 4 * 4),
    }
    assert parameters.keys() == {f"{layer}.{kind}" for layer in shapes for kind in ("weight", "bias")}
    assert {layer: parameters[f"{layer}.weight"].shape for layer in shapes} == shapes


@pytest.mark.parametrize("activation", ["relu", "tanh", "abs_tanh"])
@pytest.mark.parametrize("side", [32, 24, 9])
def test_the_four_layers_pool_where_cuda_convnet_does(activation: Activation, side: int) -> None:
    network = FourLayers(activation, side, 7).double()
    pictures = torch.randn(2, 3, side, side, dtype=torch.float64)

    def act(values: torch.Tensor) -> torch.Tensor:
        tanh = 2 * torch.sigmoid(2 * values) - 1
        return {"relu": values.clamp(min=0), "tanh": tanh, "abs_tanh": tanh.abs()}[activation]

    maps = act(functional.max_pool2d(network.conv1(pictures), 3, 2, ceil_mode=True))
    for convolution in (network.conv2, network.conv3):
        # The mean of the pixels that are there, written with sums.
        values = act(convolution(maps))
        padded = functional.pad(values, (0, 3, 0, 3))
        there = functional.pad(torch.ones_like(values), (0, 3, 0, 3))
        size = pooled(values.shape[-1], 1)
        sums, counts = (9 * functional.avg_pool2d(t, 3, 2)[..., :size, :size] for t in (padded, there))
        maps = sums / counts
    assert torch.allclose(network(pictures), network.fc(maps.flatten(1)))


def test_a_locally_connected_layer_has_a_kernel_for_each_place() -> None:
    layer = LocallyConnected(2, 3, 4)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    maps = torch.randn(5, 2, 4, 4)
    found = layer(maps)
    padded = functional.pad(maps, (1, 1, 1, 1))
    for row in range(4):
        for column in range(4):
            window = padded[:, :, row : row + 3, column : column + 3].flatten(1)
            expected = window @ layer.weight[4 * row + column].T + layer.bias[:, row, column]
            assert torch.allclose(found[:, :, row, column], expected, atol=1e-5)


@pytest.mark.parametrize("arm", ["11-percent", "11-percent-without-norms", "13-percent"])
def test_the_local_nets_are_those_of_cuda_convnet(arm: Arm) -> None:
    """A literal forward pass; torch's norm divides α by its size too, as cuda-convnet does."""
    network = LocalNet(arm, settings_of().norm, 24, 10)
    initialise(network, unit_gain(network), 1)
    wide = 32 if arm == "13-percent" else 64
    assert network.local3.weight.shape == (36, wide, 64 * 9)
    assert network.local4.weight.shape == (36, 32, wide * 9)
    pool, norm9 = nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(9, alpha=0.001, beta=0.75, k=1.0)
    norm_ = norm9 if arm == "11-percent" else nn.Identity()
    # The order of layers-cifar10-11pct.cfg: pool1, rnorm1, and rnorm2, pool2.
    maps = norm_(pool(network.conv1(60 * torch.randn(2, 3, 24, 24, generator=torch.manual_seed(2))).relu()))
    maps = pool(norm_(network.conv2(maps).relu()))
    expected = network.fc(network.local4(network.local3(maps).relu()).relu().flatten(1))
    pictures = 60 * torch.randn(2, 3, 24, 24, generator=torch.manual_seed(2))
    assert torch.allclose(network(pictures), expected, rtol=1e-4, atol=1e-4)


def test_all_activations_begin_with_the_same_weights() -> None:
    networks = [FourLayers("relu", 32, 10), FourLayers("tanh", 32, 10)]
    for network in networks:
        initialise(network, unit_gain(network), 3)
    one, other = (dict(network.named_parameters()) for network in networks)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert float(one["conv2.weight"].detach().std()) == pytest.approx(1 / math.sqrt(32 * 25), rel=0.02)
    assert not one["conv2.bias"].any()


def test_patches_are_functions_of_seed_epoch_and_picture() -> None:
    side, crop = 8, 5
    pictures = torch.arange(6 * 3 * side * side, dtype=torch.float32).reshape(6, 3, side, side)
    epochs = [drawn_places(1, epoch, 6, side - crop) for epoch in range(1, 60)]
    assert np.array_equal(epochs[1], drawn_places(1, 2, 6, side - crop))
    assert not np.array_equal(epochs[1], epochs[2])
    seen = set()
    for places in epochs:
        for picture, patch in zip(pictures, training.patches(pictures, places, crop), strict=True):
            mirrored = bool(patch[0, 0, 0] > patch[0, 0, 1])
            straight = patch.flip(-1) if mirrored else patch
            first = int(straight[0, 0, 0] - picture[0, 0, 0])
            top, left = divmod(first, side)
            assert torch.equal(straight, picture[:, top : top + crop, left : left + crop])
            seen.add((top, left, mirrored))
    assert seen == {(top, left, mirrored) for top in range(4) for left in range(4) for mirrored in (0, 1)}


def test_nine_patches_are_a_grid_without_mirrors() -> None:
    picture = torch.arange(64.0).reshape(1, 1, 8, 8)
    patches = norm.nine_patches(picture, 4)
    assert [int(patch[0, 0, 0, 0]) for patch in patches] == [0, 2, 4, 16, 18, 20, 32, 34, 36]
    assert all(patch[0, 0, 0, 1] == patch[0, 0, 0, 0] + 1 for patch in patches)


def toy_data(folder: Path, pictures: int = 60) -> Data:
    draw = np.random.default_rng(5)
    labels = draw.integers(0, 3, pictures)
    pixels = (draw.integers(0, 60, (pictures, 3, 8, 8)) + 60 * labels[:, None, None, None]).astype(np.uint8)
    store = folder / "train.npz"
    np.savez(store, pixels=pixels, labels=labels)
    return Data(
        torch.from_numpy(pixels), torch.from_numpy(labels), lambda batch: (batch.float() - 90) / 60, store
    )


TOY = {"side": 8, "batch_size": 10, "norm__crop": 6}


def local_net(data: Data, **changes: Any) -> Training:
    return begin_local_net(settings_of(**TOY, norm__drop_epochs=[3], **changes), "11-percent", 1, data)


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    data, weights = toy_data(tmp_path), []
    for stops in (1, 4):
        for _ in range(stops):
            begun = local_net(data)
            for _ in range(4 // stops):
                begun.train_epoch("test", "none")
        assert len(begun.errors) == 4
        weights.append(begun.network.state_dict())
        shutil.rmtree(".state")
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_fewer_epochs_do_not_take_over_a_longer_training(tmp_path: Path) -> None:
    data = toy_data(tmp_path)
    longer = local_net(data, norm__epochs=4)
    for _ in range(4):
        longer.train_epoch("test", "none")
    # The last two states are kept.
    assert [len(local_net(data, norm__epochs=epochs).errors) for epochs in (4, 3, 2)] == [4, 3, 0]


@pytest.mark.parametrize(("arm", "full"), [("11-percent", 0.01), ("13-percent", 0.004)])
def test_one_update_is_that_of_its_patches_with_decay_where_told(
    arm: Arm, full: float, tmp_path: Path
) -> None:
    settings, data, numbers = settings_of(**TOY), toy_data(tmp_path), np.arange(50, 20, -3)
    begun, places = begin_local_net(settings, arm, 1, data), drawn_places(1, 1, 60, 2)
    literal = copy.deepcopy(begun.network)
    pictures = training.patches(data.prepare(data.pixels), places, 6)[numbers]
    functional.cross_entropy(literal(pictures), data.labels[numbers]).backward()
    for group in begun.optimiser.param_groups:
        group["lr"] = group["full_rate"]
    begun.step(numbers, places)
    rate, decays = settings.norm.learning_rate, {"local3": 0.004, "local4": 0.004, "fc": full}
    updated = dict(begun.network.named_parameters())
    for name, before in literal.named_parameters():
        layer, _, kind = name.rpartition(".")
        assert before.grad is not None
        own = (2 if kind == "bias" else 1) * rate
        pull = decays.get(layer, 0) * before if kind == "weight" else 0
        assert torch.allclose(updated[name], before - own * (before.grad + pull), atol=1e-7)


def test_networks_begin_as_cuda_convnets_do_where_told(tmp_path: Path) -> None:
    toy_data(tmp_path)
    for beginning, first, deviation in (("unit-gain", 1 / math.sqrt(75), 1.0), ("cuda-convnet", 1e-4, None)):
        settings = settings_of(**TOY, beginning=beginning)
        data = training.load(torch.device("cpu"), beginning == "unit-gain", tmp_path)
        pixels = data.pixels.double()
        assert float(data.prepare(data.pixels).mean()) == pytest.approx(0, abs=1e-4)
        ratio = (pixels[0] - pixels[1]) / (data.prepare(data.pixels[:1]) - data.prepare(data.pixels[1:2]))[0]
        expected = 1.0 if deviation is None else float(pixels.std(correction=0)) / deviation
        assert float(ratio.nanmedian()) == pytest.approx(expected, rel=1e-4)
        weights = dict(training.begin_four_layers(settings, "tanh", 0.01, 1, data).network.named_parameters())
        assert float(weights["conv1.weight"].detach().std()) == pytest.approx(first, rel=0.05)


def made_up(errors: dict[float, list[float]], asked: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the trainings of the sweep give these errors; a rate that is not listed stays at 0.9."""

    class MadeUp:
        def __init__(self, rate: float) -> None:
            self.rate, self.errors = rate, list[float]()

        def train_epoch(self, label: str, style: str) -> None:
            row = errors.get(self.rate, [0.9])
            self.errors.append(row[min(len(self.errors), len(row) - 1)])

    def begin(settings: Figure1, activation: Activation, rate: float, seed: int, data: Data) -> MadeUp:
        assert seed == settings.sweep.seed
        asked.append(rate)
        return MadeUp(rate)

    monkeypatch.setattr(sweep, "begin_four_layers", begin)


@pytest.mark.parametrize(
    ("errors", "asked", "chosen"),
    [
        # The best stands in the middle; its neighbours at a step of √3 are tried and are worse.
        ({0.1: [0.5, 0.2], 0.01: [0.4, 0.3]}, [0.01, 0.1, 1, 0.058, 0.17], 0.1),
        # A rate that begins worst and is first at the goal is the best, whatever the others' first errors.
        ({0.1: [0.8, 0.8, 0.1], 0.01: [0.4, 0.35, 0.3]}, [0.01, 0.1, 1, 0.058, 0.17], 0.1),
        # The best stands at the end: the grid goes on until it does not, then it is refined.
        (
            {0.01: [0.5, 0.4, 0.24], 0.0032: [0.4, 0.24], 0.001: [0.6], 0.0018: [0.3, 0.1]},
            [0.01, 0.1, 1, 0.0032, 0.001, 0.0018, 0.0055],
            0.0018,
        ),
        # The grid holds the neighbours already.
        ({0.1: [0.5, 0.2], 0.058: [0.3]}, [0.058, 0.1, 0.17], 0.1),
        # Nothing comes to the goal: the lowest last error counts. What diverges is never the best.
        ({0.1: [0.5, 0.3], 1: [math.nan]}, [0.01, 0.1, 1, 0.058, 0.17], 0.1),
    ],
)
def test_the_sweep_chooses_by_epochs_to_the_goal(
    errors: dict[float, list[float]], asked: list[float], chosen: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []
    made_up(errors, tried, monkeypatch)
    settings = settings_of(epochs=5, sweep__learning_rates=asked[:3])
    found = sweep.sweep(settings, "relu", None, "none")  # type: ignore[arg-type]
    assert tried == asked
    assert sweep.best(found, settings.goal) == chosen
    # No rate trains longer than the first to come to the goal, and none is trained twice.
    assert max(len(row) for row in found.values()) <= 5
    assert sorted(found) == sorted(asked)


def test_a_sweep_in_which_all_diverge_is_refused() -> None:
    with pytest.raises(UserError, match="every rate diverged"):
        sweep.best({0.01: [math.nan], 0.1: [0.5, math.nan]}, 0.25)


def test_the_error_rate_averages_the_patches_of_every_picture_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, brightness = toy_data(tmp_path, 23), torch.tensor([-1.0, 0.0, 1.0])
    begun = local_net(data)
    monkeypatch.setattr(
        begun, "logits", lambda patches: -(patches.mean((1, 2, 3))[:, None] - brightness).abs()
    )
    test = Pictures(data.pixels.numpy(), data.labels.numpy())
    assert norm.error_rate(begun, test, 6) == 0
    wrong = Pictures(test.pixels, np.where(np.arange(23) < 6, (test.labels + 1) % 3, test.labels))
    assert norm.error_rate(begun, wrong, 6) == pytest.approx(6 / 23)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0.6, 0.3, 0.2], 2.5),
        ([0.6, 0.25], 2.0),
        ([0.2], 1.0),
        ([0.6, 0.5], None),
        ([0.6, math.nan], None),
        ([], None),
    ],
)
def test_epochs_to_the_goal(errors: list[float], expected: float | None) -> None:
    found = training.epochs_to(errors, 0.25)
    assert found == (None if expected is None else pytest.approx(expected))


def results_of(runs: dict[Activation, list[list[float]]], norms: dict[Arm, list[float]]) -> page.Results:
    """Return trainings by activation, and test errors by arm; in both the seeds are 1, 2, …"""

    def result(errors: list[float], test_error: float = math.nan) -> Result:
        made: dict[str, Any] = {"made_with": {}, "swept": {"0.003": [0.6, 0.2], "0.3": [math.nan]}}
        return Result(**made, learning_rate=0.3, errors=errors, test_error=test_error, tested=1000)

    found = page.Results({activation: result([0.5]) for activation in runs}, {}, {})
    for activation, several in runs.items():
        found.runs.update({(activation, seed): result(errors) for seed, errors in enumerate(several, 1)})
    for arm, tested in norms.items():
        found.norms.update({(arm, seed): result([0.1], error) for seed, error in enumerate(tested, 1)})
    return found


def test_the_ratio_is_paired_by_seed() -> None:
    settings = settings_of(epochs=8, seeds=[1, 2])
    relu, tanh = [[0.5, 0.25], [0.25]], [[0.5] * 3 + [0.25], [0.5] * 7 + [0.25]]
    # By hand: logs 2, 8 → mean log 4, deviation ln 4 / √2, t of one degree of freedom 12.706.
    reach = 12.7062047362 * math.log(4) / math.sqrt(2) / math.sqrt(2)
    both = results_of({"relu": relu, "tanh": tanh}, {})
    expected = f"4.0 ({4 / math.exp(reach):.1f} to {4 * math.exp(reach):.1f})"
    assert page.ratio_to_relu(both, "tanh", settings) == expected
    never = results_of({"relu": relu, "tanh": [tanh[0], [0.5] * 8]}, {})
    assert page.ratio_to_relu(never, "tanh", settings) == "at least 4.0"
    assert page.ratio_to_relu(results_of({"tanh": tanh}, {}), "tanh", settings) == ""
    slow = results_of({"relu": [relu[0], [0.5] * 8], "tanh": tanh}, {})
    assert page.ratio_to_relu(slow, "tanh", settings) == "2.0 (1 of 2 seeds)"


def test_the_page_tells_what_was_not_reached() -> None:
    settings = settings_of(epochs=3, seeds=[1, 2])
    runs: dict[Activation, list[list[float]]] = {"relu": [[0.5, 0.2], [0.2]], "abs_tanh": [[0.6, 0.5, 0.4]]}
    runs["tanh"] = [[0.6, 0.5, 0.4], [0.6, math.nan]]
    results = results_of(runs, {"11-percent": [0.15, 0.15], "11-percent-without-norms": [0.12, 0.9]})
    results.norms["11-percent-without-norms", 2].errors[-1] = math.nan
    text = page_as_markdown("", *page.as_page(settings, results, 50_000, 10, "other"))
    assert "| not reached in 3 epochs, diverged in epoch 2 |" in text
    assert "| not reached in 3 epochs, not finished |" in text
    assert "5 of 6 runs are finished" in text
    assert "a wider one might find better: ReLU, |tanh| and tanh" in text.replace("\\", "")
    assert "| ReLU | 0.003 | 20.0% | 2 | 1.9 |  |" in text
    assert "| ReLU | 0.3 | diverged | 1 | not reached | chosen |" in text
    assert "| 2 | \N{EM DASH} | diverged |" in text
    assert "error is 3.0 points below that of the network with 11 % (1 seed, no verdict)." in text
    assert "The network with 13 % test error: not finished yet. For these two networks the paper has" in text
    assert "tanh takes at least" in text
    assert "with weights of deviation 1/√inputs" in text
    assert "(other.png)" in text
    other = settings.model_copy(update={"beginning": "cuda-convnet"})
    assert "with the small weights of cuda-convnet" in str(page.as_page(other, results, 9, 9, "other")[1][0])
    assert page.draw(settings, results, LIGHT) == page.draw(settings, results, LIGHT)


def test_what_other_settings_made_is_not_shown(tmp_path: Path) -> None:
    settings = settings_of(activations=["relu"], seeds=[1, 2, 3], norm__seeds=[1])
    other = settings_of(beginning="cuda-convnet", norm__epochs=3)

    def write(name: str, made_with: dict[str, Any], rate: float = 0.03) -> None:
        result = Result(made_with=made_with, learning_rate=rate, errors=[settings.goal])
        write_json(tmp_path / f"{name}.json", result.model_dump())

    write("sweep-relu", settings.of_sweep())
    write("relu-1", settings.of_training())
    write("relu-2", other.of_training())
    write("relu-3", settings.of_training(), rate=0.1)
    write("norm-11-percent-1", settings.of_norm())
    write("norm-13-percent-1", other.of_norm())
    results = page.read_results(settings, tmp_path)
    assert (list(results.runs), list(results.norms)) == ([("relu", 1)], [("11-percent", 1)])
    harder = settings.model_copy(update={"goal": settings.goal / 2})
    write("sweep-relu", harder.of_sweep())
    assert page.read_results(harder, tmp_path).runs == {}, "they ended at the former goal"
    write("sweep-relu", other.of_sweep())
    assert page.read_results(settings, tmp_path).runs == {}
