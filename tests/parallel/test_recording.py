"""Recorded steps, with a recorder for CPUs in the place of CUDA's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import CPU, SOURCE, Case, section, trainer_of, untimed, write_two_colours
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from alexnet.feed.params import Augment
from alexnet.parallel import recording
from alexnet.parallel.device import Mode
from alexnet.parallel.mesh import Mesh
from alexnet.parallel.recording import RecordedStep, Step
from alexnet.training.optimiser import PrintedSGD
from alexnet.training.params import Train

# Four whole batches of 5, and one of 2.
PICTURES, EPOCHS = 22, 4


class Tape(TorchDispatchMode):
    """Keeps each operation with the tensors and numbers it was given, as a CUDA graph does."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, result in self.operations:
            if not func.is_view:
                for place, found in zip(tree_leaves(result), tree_leaves(func(*args, **kwargs)), strict=True):
                    if isinstance(place, Tensor) and place is not found:
                        place.copy_(found)


class OnTape(RecordedStep):
    recordings = 0

    def __init__(self, step: Step, device: torch.device) -> None:
        super().__init__(step, device)
        self._can_record = True

    def _take(self, given: tuple[Tensor | None, ...]) -> tuple[Tensor, ...]:
        return self._step(*given)

    def _record(self, step: Step) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
        OnTape.recordings += 1
        kept = [each.clone() for each in self.kept()]
        with Tape() as tape:
            results = step()
        # A GPU computes nothing while it records.
        with torch.no_grad():
            for place, each in zip(self.kept(), kept, strict=True):
                place.copy_(each)
        return tape.replay, results

    def kept(self) -> list[Tensor]:
        return []


@pytest.fixture(autouse=True)
def one_warm_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "WARM", 1)
    monkeypatch.setattr(OnTape, "recordings", 0)


def test_a_step_is_replayed_with_what_it_is_given() -> None:
    calls: list[int] = []

    def step(given: Tensor, more: Tensor | None) -> tuple[Tensor, ...]:
        calls.append(len(given))
        return (given * 2 if more is None else given * 2 + more,)

    recorded, given = OnTape(step, CPU), [torch.full((2,), number) for number in range(5)]
    for number, each in enumerate(given):
        assert recorded(None, each, None)[0].tolist() == [2 * number] * 2
    # Taken once, recorded once, and only replayed from then on, with copies of what is given.
    assert calls == [2, 2]
    assert [each.tolist() for each in given] == [[number] * 2 for number in range(5)]
    for number in range(3):
        assert recorded(None, torch.full((3,), number), torch.ones(3))[0].tolist() == [2 * number + 1] * 3
    assert calls == [2, 2, 3, 3]


def test_other_settings_are_recorded_anew() -> None:
    factor = 0.0

    def step(given: Tensor) -> tuple[Tensor, ...]:
        return (given * factor,)

    recorded = OnTape(step, CPU)
    for factor in (2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 2.0):
        assert recorded(factor, torch.ones(1))[0].item() == factor
    assert OnTape.recordings == 2


def test_a_recorded_training_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_two_colours(tmp_path, PICTURES, 6)
    monkeypatch.setattr("alexnet.training.trainer.RecordedStep", OnTape)
    monkeypatch.setattr("alexnet.training.trainer.prepared", lambda function, mode, backend: function)
    monkeypatch.setattr(PrintedSGD, "compile", lambda self, backend: None)
    schedule = section(Train, SOURCE).schedule.model_copy(update={"drop_epochs": [2]})
    case = Case(SOURCE, train={"epochs": EPOCHS, "schedule": schedule.model_dump()})
    # After the third epoch there is neither colour noise nor the division that goes with it.
    augment, trainers = section(Augment, SOURCE, colour_noise_last_epoch=3), []
    modes: list[Mode] = ["eager", "CUDA graphs"]
    for mode in modes:
        trainer = trainer_of(case, Mesh(), CPU, tmp_path, mode, augment=augment)
        trainer.run_as(mode)
        state = [*trainer.network.parameters(), *trainer.optimiser.velocity.values()]
        monkeypatch.setattr(OnTape, "kept", lambda self, state=state: state)
        trainers.append((trainer, [untimed(row) for row in trainer.run()]))
    (eager, expected), (recorded, found) = trainers
    assert found == expected
    assert len({row["learning_rate"] for row in found}) == 2
    assert OnTape.recordings == 3
    assert all(map(torch.equal, recorded.network.parameters(), eager.network.parameters()))
