"""What can be shown of a device without one, on torch's `meta` device, whose tensors have no values.

There a tensor of the host that meets one of the device is an error, and so is whatever would wait for a
value: reading it, copying it to the host, or a shape that depends on it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import PAPER, SOURCE, Case, trainer_of, write_two_colours
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from alexnet.core.progress import Progress
from alexnet.model import kernels
from alexnet.parallel.device import Mode
from alexnet.parallel.mesh import Mesh
from alexnet.training.optimiser import PrintedSGD
from alexnet.training.trainer import Trainer

META, SILENT = torch.device("meta"), Progress("train", 1, "none")
# Three batches of 5, 5 and 1.
PICTURES, VALIDATION, BATCHES = 11, 11, 3
# The operators of one eager training step; torch 2.11 has one more than 2.13. Raise them only with a reason.
CEILINGS = {PAPER: 174, SOURCE: 205}
# The pixels; all else is sent for many steps at once.
COPIES = 1
RECIPES = pytest.mark.parametrize("profile", [PAPER, SOURCE], ids=lambda path: path.stem)


class Launched(TorchDispatchMode):
    """Counts what runs on the device, but for views, what is copied to it, and what the host waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.operators, self.copies, self.waiting = 0, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {each.device for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        made = {each.device for each in tree_leaves(result) if isinstance(each, Tensor)}
        self.operators += META in given | made and not func.is_view
        if META in made and given and META not in given:
            self.copies += 1
            self.waiting += not kwargs["non_blocking"]
        return result


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two_colours(tmp_path_factory.mktemp("records"), PICTURES, VALIDATION)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what was read by `tolist`, which gives zeros here; every other reading is an error."""
    sizes: list[int] = []

    def zeros(values: Tensor) -> Any:
        if values.device == META:
            sizes.append(values.numel())
            return [0.0] * values.numel()
        return values.numpy().tolist()

    monkeypatch.setattr(Tensor, "tolist", zeros)
    return sizes


def on_meta(profile: Path, store: Path, stop_asked: Callable[[], bool] = lambda: False) -> Trainer:
    return trainer_of(Case(profile, {}, {}, torch.float32), Mesh(), META, store, "state", stop_asked)


@pytest.mark.parametrize(
    "waiting",
    [
        lambda values: float(values.sum()),
        lambda values: values.cpu(),
        lambda values: bool((values > 0).any()),
        lambda values: values[values > 0],
        lambda values: values + torch.ones(3),
    ],
)
def test_what_would_wait_or_mix_devices_is_an_error_on_meta(waiting: Callable[[Tensor], Any]) -> None:
    # What the tests below rest on.
    with pytest.raises((RuntimeError, NotImplementedError)):
        waiting(torch.zeros(3, device=META))


@RECIPES
def test_nothing_is_read_back_between_two_looks(profile: Path, store: Path, readings: list[int]) -> None:
    trainer = on_meta(profile, store)
    trainer.train_epoch(SILENT)
    assert trainer.step == BATCHES
    # Loss, errors and the gradients of each layer, in one piece.
    assert readings == [2 + len(trainer.network.layers)]


@RECIPES
def test_validation_reads_once_a_pass(profile: Path, store: Path, readings: list[int]) -> None:
    on_meta(profile, store).validate()
    assert readings == [3]


@pytest.mark.parametrize(
    ("profile", "precision", "dtype", "tolerance"),
    [(PAPER, "float32", torch.float64, 1e-10), (SOURCE, "bfloat16", torch.float32, 1e-2)],
    ids=["paper, float64", "source, bfloat16"],
)
def test_a_compiled_training_is_the_same_with_one_graph_before_each_backward_pass(
    profile: Path,
    precision: str,
    dtype: torch.dtype,
    tolerance: float,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graphs: list[bool] = []

    def prepared(function: Callable[..., Any], mode: Mode, backend: str) -> Callable[..., Any]:
        # torch traces the same for a GPU, and refuses what it cannot put into one graph.
        options: dict[str, Any] = {"backend": "aot_eager", "dynamic": False, "fullgraph": True}
        compiled = torch.compile(function, **options) if mode == "compiled" else function

        def counted(*arguments: Any) -> Any:
            graphs.append(mode == "compiled")
            return compiled(*arguments)

        return counted

    torch.compiler.reset()
    monkeypatch.setattr("alexnet.training.trainer.prepared", prepared)
    compile_updates = PrintedSGD.compile
    monkeypatch.setattr(PrintedSGD, "compile", lambda self, backend: compile_updates(self, "aot_eager"))
    case, cpu = Case(profile, train={"precision": precision}, dtype=dtype), torch.device("cpu")
    names = {mode: f"{profile.stem}, {precision}, {mode}" for mode in ("eager", "compiled")}
    trainers = []
    for mode, name in names.items():
        monkeypatch.setattr("alexnet.training.trainer.chosen_mode", lambda *_, chosen=mode, **__: chosen)
        trainers.append(trainer_of(case, Mesh(), cpu, store, name))
    for eager, compiled in zip(*[trainer.run() for trainer in trainers], strict=True):
        assert compiled.train_error == eager.train_error
        assert compiled.train_loss == pytest.approx(eager.train_loss, rel=tolerance)
        assert compiled.gradient_norms == pytest.approx(eager.gradient_norms, rel=max(tolerance, 1e-3))
    # Two epochs of two whole batches each; the smaller third is not compiled.
    assert graphs == 4 * [False] + 4 * [True]
    weights = [trainer.network.state_dict() for trainer in trainers]
    torch.testing.assert_close(weights[1], weights[0], rtol=tolerance, atol=tolerance / 100)


@RECIPES
def test_a_step_launches_no_more_than_it_did(
    profile: Path,
    store: Path,
    readings: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    after_updates: list[tuple[int, int]] = []

    def note() -> bool:
        after_updates.append((launched.operators, launched.copies))
        return False

    pytest.importorskip("triton", reason="without the kernels there are more operators")
    monkeypatch.setattr(kernels, "_are_there", False)
    kernels.find_kernels(torch.device("cpu"))
    trainer = on_meta(profile, store, note)
    with Launched() as launched:
        trainer.train_epoch(SILENT)
    # The first update makes the velocities.
    (_, second, third) = after_updates
    operators, copies = third[0] - second[0], third[1] - second[1]
    with capsys.disabled():
        print(f"\n{profile.stem}: a step launches {operators} operators; {copies} copy from the host")
    assert CEILINGS[profile] / 2 < operators <= CEILINGS[profile]
    assert copies == COPIES
    assert launched.waiting == 0
