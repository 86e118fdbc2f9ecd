"""The architecture: counts, sizes, who sees whom, the order of operations, initial weights."""

import math
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from tiny import CPU, PAPER, SOURCE, gradient_of, section
from torch import Tensor
from torch.nn import functional

from alexnet.core.errors import UserError
from alexnet.model.dropout import Dropout, picture_keys
from alexnet.model.initial import initialise, standard_deviation
from alexnet.model.network import AlexNet, Layer, layers
from alexnet.model.params import Model
from alexnet.parallel.columns import keep_column
from alexnet.parallel.mesh import Mesh

PARAMETERS = {
    "conv1": 34_944,
    "conv2": 307_456,
    "conv3": 885_120,
    "conv4": 663_936,
    "conv5": 442_624,
    "fc6": 37_752_832,
    "fc7": 16_781_312,
    "fc8": 4_097_000,
}
NORM = section(Model).response_norm.model_dump()


def model_of(profile: Path = PAPER, **changes: Any) -> Model:
    return section(Model, profile, **changes)


def network_of(profile: Path = PAPER, **changes: Any) -> AlexNet:
    """A network in double precision, with the biases of its recipe."""
    return tiny.network_of(profile, seed=5, **{"initial_biases": "paper", **changes}).double()


def inputs_of(pictures: int, deviation: float = 1.0) -> Tensor:
    draw = torch.Generator().manual_seed(11)
    return deviation * torch.randn(pictures, 3, 224, 224, dtype=torch.float64, generator=draw)


def by_name(model: Model, classes: int = 1000) -> dict[str, Layer]:
    return {layer.name: layer for layer in layers(model, classes)}


@pytest.mark.parametrize("conv6", [False, True])
@pytest.mark.parametrize("profile", [PAPER, SOURCE])
def test_parameters_are_the_papers_layer_by_layer(profile: Path, conv6: bool) -> None:
    model = model_of(profile, conv6=conv6)
    expected = {**PARAMETERS, **({"conv6": 590_080} if conv6 else {})}
    assert {name: layer.parameters for name, layer in by_name(model).items()} == expected
    assert list(by_name(model))[-3:] == ["fc6", "fc7", "fc8"]
    assert sum(expected.values()) == (61_555_304 if conv6 else 60_965_224)
    with torch.device("meta"):
        network = AlexNet(model, 1000)
    held = {layer.name: w.numel() + b.numel() for layer, w, b in network.layer_parameters()}
    assert held == expected
    names = {f"{name}.{kind}" for name in expected for kind in ("weight", "bias")}
    assert {name for name, _ in network.named_parameters()} == names


@pytest.mark.parametrize("profile", [PAPER, SOURCE])
def test_sizes_neurons_and_what_kernels_see_are_the_papers(profile: Path) -> None:
    described = by_name(model_of(profile, conv6=True))
    convolutions = [layer for layer in described.values() if layer.is_convolution]
    assert [layer.size for layer in convolutions] == [55, 27, 13, 13, 13, 6]
    assert [layer.pooled for layer in convolutions] == [27, 13, None, None, 6, None]
    assert [layer.fan_in for layer in convolutions[:5]] == [363, 1200, 2304, 1728, 1728]
    assert [layer.overhang for layer in convolutions] == [3, 0, 0, 0, 0, 0]
    assert sum(layer.outputs * layer.size**2 for layer in layers(model_of(profile), 1000)) == 659_272
    own = {"conv2", "conv4", "conv5"}
    assert {name for name, layer in described.items() if layer.sees == "own column"} == own
    assert {name for name, layer in described.items() if layer.sees == "image"} == {"conv1"}


def test_one_column_halves_all_convolutions_but_conv5() -> None:
    described = by_name(model_of(columns=1))
    assert [layer.outputs for layer in described.values()] == [48, 128, 192, 192, 256, 4096, 4096, 1000]
    assert [layer.fan_in for layer in described.values()][1:5] == [48 * 25, 128 * 9, 192 * 9, 192 * 9]
    for name in ("fc6", "fc7", "fc8"):
        assert described[name].parameters == PARAMETERS[name]


def test_pools_that_do_not_overlap_keep_the_later_sizes() -> None:
    described = by_name(model_of(pooling="2/2"))
    assert [described[name].size for name in ("conv3", "conv4")] == [13, 13]
    assert (described["conv2"].pooled, described["conv5"].pooled) == (13, 6)
    assert {name: layer.parameters for name, layer in described.items()} == PARAMETERS


@pytest.mark.parametrize("pooling", ["3/2", "2/2"])
@pytest.mark.parametrize("middle", ["conv3", "conv4", "conv5"])
def test_a_layer_left_out_is_gone_and_the_map_entering_fc6_is_6_by_6(middle: str, pooling: str) -> None:
    described = by_name(model_of(leave_out=middle, pooling=pooling))
    assert list(described) == [name for name in PARAMETERS if name != middle]
    last = described["conv4" if middle == "conv5" else "conv5"]
    assert (last.pooled, last.then) == (6, by_name(model_of())["conv5"].then)
    assert described["fc6"].inputs == 256 * 36
    assert described["fc6"].parameters == PARAMETERS["fc6"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "tanh"},
        {"activation": "abs_tanh"},
        {"conv1_order": "norm-pool-activation"},
        {"conv5_order": "pool-activation"},
        {"response_norm": {**NORM, "enabled": False}},
        {"response_norm": {**NORM, "size": 9, "k": 1.0, "alpha": 1e-3, "beta": 0.5}},
        {"response_norm": {**NORM, "alpha_divided_by_size": True}},
        {"response_norm": {**NORM, "across_columns": True}},
        {"spatial_norm": True},
        {"leave_out": "conv4"},
        {"leave_out": "conv3", "columns": 1},
        {"leave_out": "conv5", "pooling": "2/2"},
        {"leave_out": "conv5", "conv5_order": "pool-activation", "conv6": True},
        {"conv6": True, "columns": 1, "pooling": "2/2"},
        {"dropout": {"rate": 0.0, "form": "as-printed"}},
        {"dropout": {"rate": 0.3, "form": "inverted"}},
        {"initial_biases": "zero"},
        {"mean": "centre"},
        {"mean": "none"},
        {"width": 0.001},
    ],
    ids=lambda changes: ",".join(f"{key}={value}" for key, value in changes.items()) or "paper",
)
def test_every_knob_trains(changes: dict[str, Any]) -> None:
    network, shapes = network_of(**changes).float(), list[tuple[int, ...]]()
    for layer in network.layers:
        module = network.get_submodule(layer.name)
        module.register_forward_hook(lambda module, given, output: shapes.append(tuple(output.shape)))
    logits = network.train()(tiny.random_patches(2), picture_keys(1, 0, 0, 2, CPU))
    sides = [[layer.size] * 2 if layer.is_convolution else [] for layer in network.layers]
    assert shapes == [(2, layer.outputs, *side) for layer, side in zip(network.layers, sides, strict=True)]
    loss = functional.cross_entropy(logits, torch.tensor([0, 5]))
    loss.backward()
    assert math.isfinite(loss.item())
    assert all(gradient_of(parameter).isfinite().all() for parameter in network.parameters())
    # Two neurons a layer, as in the narrowest net, may all be dropped.
    assert "width" in changes or gradient_of(network.conv1.weight).any()


def test_a_norm_over_both_columns_refuses_a_device_for_each() -> None:
    network = network_of(response_norm={**NORM, "across_columns": True})
    keep_column(network, Mesh())
    with pytest.raises(UserError, match=r"across_columns: found true; .*devices: 1"):
        keep_column(network, Mesh(columns=2))


def literal_norm(maps: Tensor, alpha: float) -> Tensor:
    """The paper's formula over the maps of one column: n = 5, k = 2, β = 0.75."""
    result = torch.empty_like(maps)
    for i in range(maps.shape[1]):
        near = maps[:, max(0, i - 2) : i + 3]
        result[:, i] = maps[:, i] / (2 + alpha * (near**2).sum(1)) ** 0.75
    return result


def literal_spatial(maps: Tensor) -> Tensor:
    result = torch.empty_like(maps)
    for y in range(maps.shape[2]):
        for x in range(maps.shape[3]):
            near = maps[:, :, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
            result[:, :, y, x] = maps[:, :, y, x] / (1 + 1e-3 / 25 * (near**2).sum((2, 3))) ** 0.75
    return result


ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "abs_tanh": lambda maps: torch.tanh(maps).abs()}


def literal_logits(network: AlexNet, inputs: Tensor, source: bool, keys: Tensor | None) -> Tensor:
    """The network spelt out, the columns one after the other where the GPUs don't talk."""
    w = dict(network.named_parameters())
    activate, pool = ACTIVATIONS[network.model.activation], lambda maps: functional.max_pool2d(maps, 3, 2)

    def own(name: str, columns: tuple[Tensor, ...], padding: int) -> tuple[Tensor, ...]:
        weights, biases = w[f"{name}.weight"].chunk(2), w[f"{name}.bias"].chunk(2)
        return tuple(
            functional.conv2d(column, weight, bias, padding=padding)
            for column, weight, bias in zip(columns, weights, biases, strict=True)
        )

    padded = torch.zeros(len(inputs), 3, 227, 227, dtype=inputs.dtype)
    padded[:, :, :224, :224] = inputs
    columns = functional.conv2d(padded, w["conv1.weight"], w["conv1.bias"], stride=4).chunk(2, 1)
    if source:
        alpha = 1e-4 / 5
        columns = tuple(activate(pool(literal_norm(maps, alpha))) for maps in columns)
        columns = tuple(literal_norm(activate(maps), alpha) for maps in own("conv2", columns, 2))
        columns = tuple(pool(literal_spatial(maps)) for maps in columns)
    else:
        alpha = 1e-4
        columns = tuple(pool(literal_norm(activate(maps), alpha)) for maps in columns)
        columns = tuple(pool(literal_norm(activate(maps), alpha)) for maps in own("conv2", columns, 2))
    both = functional.conv2d(torch.cat(columns, 1), w["conv3.weight"], w["conv3.bias"], padding=1)
    columns = tuple(activate(maps) for maps in own("conv4", activate(both).chunk(2, 1), 1))
    columns = own("conv5", columns, 1)
    columns = tuple(activate(pool(maps)) if source else pool(activate(maps)) for maps in columns)
    if network.model.conv6:
        both = functional.conv2d(torch.cat(columns, 1), w["conv6.weight"], w["conv6.bias"], padding=1)
        columns = (activate(both),)
    hidden = torch.cat(columns, 1).flatten(1)
    for name, dropout in network.dropouts.items():
        assert isinstance(dropout, Dropout)
        hidden = activate(hidden @ w[f"{name}.weight"].T + w[f"{name}.bias"])
        hidden = hidden * 0.5 if keys is None else hidden * dropout.mask(keys)
    return hidden @ w["fc8.weight"].T + w["fc8.bias"]


@pytest.mark.parametrize(
    ("profile", "changes"),
    [
        (PAPER, {}),
        (SOURCE, {}),
        (PAPER, {"activation": "tanh"}),
        (SOURCE, {"activation": "abs_tanh", "conv6": True}),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_each_recipes_order_of_operations(profile: Path, changes: dict[str, Any], training: bool) -> None:
    network = network_of(profile, **changes).train(training)
    # As large as grey levels, where both norms matter.
    inputs = inputs_of(2, 60.0)
    keys = picture_keys(1, 0, 0, 2, CPU) if training else None
    with torch.no_grad():
        found = network.from_inputs(inputs, keys)
        expected = literal_logits(network, inputs, profile == SOURCE, keys)
        other = literal_logits(network, inputs, profile == PAPER, keys)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    # The comparison tells the recipes apart.
    assert (found - other).abs().max() > 1e-3 * found.abs().max()


def test_bytes_go_through_the_input_rule_and_features_are_what_enters_fc8() -> None:
    network, batch = network_of().eval(), tiny.random_patches(2)
    shift = torch.tensor([[5.0, -3.0, 0.5], [0.0, 1.0, 2.0]])
    with torch.no_grad():
        features = network.features(batch)
        assert features.shape == (2, network.fc8.in_features)
        assert torch.equal(network.fc8(features), network(batch))
        inputs = network.input(batch, shift, 1.1)
        assert torch.equal(network(batch, None, shift, 1.1), network.from_inputs(inputs))
        assert not torch.equal(network(batch, None, shift, 1.1), network(batch))


def weights_of(seed: int, **changes: Any) -> dict[str, Tensor]:
    network = AlexNet(model_of(**{"width": 0.04, **changes}), 7)
    initialise(network, seed)
    return dict(network.named_parameters())


def test_initial_weights_depend_on_seed_and_layer_alone() -> None:
    first, again, other = weights_of(1), weights_of(1), weights_of(2)
    torch.manual_seed(99)
    larger = weights_of(1, conv6=True)
    for name, values in first.items():
        assert torch.equal(values, again[name]), name
        if name.endswith(".weight"):
            assert not torch.equal(values, other[name]), name
            if not name.startswith("fc6"):
                assert torch.equal(values, larger[name]), name
    for one, two in (("conv4", "conv5"), ("fc7", "fc8")):
        count = min(first[f"{one}.weight"].numel(), first[f"{two}.weight"].numel())
        starts = [first[f"{name}.weight"].flatten()[:count] for name in (one, two)]
        assert not torch.equal(*starts)


@pytest.mark.parametrize("rule", ["paper", "source-2012", "he"])
def test_initial_deviations_are_the_rules(rule: str) -> None:
    network = AlexNet(model_of(width=0.1, conv6=True, initial_weights=rule), 50)
    initialise(network, 1)
    for layer, weight, _ in network.layer_parameters():
        expected = {
            "paper": 0.03 if layer.name == "conv6" else 0.01,
            "source-2012": 0.03 if layer.name in ("conv3", "conv4", "conv5", "conv6") else 0.01,
            "he": 0.01 if layer.name == "fc8" else math.sqrt(2 / weight[0].numel()),
        }[rule]
        count = weight.numel()
        # Five standard errors of a deviation and of a mean.
        assert weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * count)), layer.name
        assert abs(weight.mean().item()) < 5 * expected / math.sqrt(count), layer.name


@pytest.mark.parametrize("rule", ["paper", "source-2012", "he"])
def test_deviations_that_follow_the_width_keep_what_reaches_each_layer(rule: str) -> None:
    """A kernel's fan-in times its variance, so the size of its outputs, is that of the full net."""
    full = model_of(initial_weights=rule)
    narrow = model_of(width=0.25, initial_weights=rule, initial_weights_follow_width=True)
    for there, here in zip(layers(full, 1000), layers(narrow, 1000), strict=True):
        expected = there.fan_in * standard_deviation(there, full) ** 2
        found = here.fan_in * standard_deviation(here, narrow) ** 2
        if (rule, here.name) != ("he", "fc8"):
            assert found == pytest.approx(expected, rel=1e-12), here.name
    assert standard_deviation(layers(narrow, 10)[0], narrow) == standard_deviation(layers(full, 10)[0], full)


def test_initial_biases_are_1_where_the_paper_says() -> None:
    biases = {name: values for name, values in weights_of(1, conv6=True).items() if name.endswith("bias")}
    for name, values in biases.items():
        one = name.removesuffix(".bias") in ("conv2", "conv4", "conv5", "conv6", "fc6", "fc7")
        assert torch.equal(values, torch.full_like(values, float(one))), name
    zero = weights_of(1, conv6=True, initial_biases="zero")
    assert not any(zero[name].any() for name in biases)


def test_fc6_and_fc7_drop_neurons_of_their_own() -> None:
    network, keys = network_of(), picture_keys(1, 0, 0, 8, CPU)
    masks = [each.mask(keys) for each in network.dropouts.values() if isinstance(each, Dropout)]
    assert len(masks) == 2
    assert not torch.equal(masks[0], masks[1])
