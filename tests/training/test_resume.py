"""Stopping and resuming, states on disk, a loss that is no number, and that training trains."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import CPU, ROOT, Case, gradient_of, section, untimed, write_two_colours
from torch import Tensor

from alexnet.core.errors import DivergedError, UserError
from alexnet.feed.colour import colour_shift
from alexnet.feed.order import Order, in_storage_order, training_epoch
from alexnet.feed.params import Augment
from alexnet.model.dropout import picture_keys
from alexnet.model.initial import initialise
from alexnet.model.input import Batch
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.parallel.mesh import Mesh
from alexnet.store.index import COLUMNS, Index, write_index
from alexnet.store.statistics import write_statistics
from alexnet.training import log as logbook
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.log import Logbook
from alexnet.training.measures import EpochRow, Results
from alexnet.training.params import Train
from alexnet.training.precision import Precision
from alexnet.training.train import fingerprint_of_training, first_network, train_network
from alexnet.training.trainer import STEPS_OF_KEYS, Trainer

PARAMS = ROOT / "params.yaml"
PICTURES, BATCH = 12, 5
# 5, 5 and 2 pictures.
STEPS = 3
# A state after every update.
ALWAYS = tiny.PLACE.model_copy(update={"checkpoint_minutes": 1e-9})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of two classes: 12 to learn from, 6 to be judged by."""
    return write_two_colours(tmp_path_factory.mktemp("records"), PICTURES, 6)


def train_of(**changes: Any) -> Train:
    """Short epochs, and a rate that falls after each but the first, while the velocity is large."""
    plateau = {"kind": "plateau", "patience": 1, "min_improvement": 0.99, "factor": 2.0}
    schedule = {**section(Train, PARAMS).schedule.model_dump(), **plateau}
    return section(Train, PARAMS, **{"epochs": 3, "batch_size": BATCH, "schedule": schedule, **changes})


def trainer_of(
    store: Path, folder: Path, stop_asked: Callable[[], bool] = lambda: False, **changes: Any
) -> Trainer:
    """Return a trainer with some `changes` of the section `train` or of its own."""
    train = train_of(**{name: changes.pop(name) for name in list(changes) if name in Train.model_fields})
    case = Case(PARAMS, {"width": 0.03}, train.model_dump(), torch.float32, 2)
    return tiny.trainer_of(case, Mesh(), CPU, store, folder, stop_asked, **changes)


def finished(trainer: Trainer) -> Trainer:
    trainer.run()
    return trainer


def stopped(store: Path, folder: Path, updates: int, **changes: Any) -> None:
    """Stop after so many updates."""
    trainer = trainer_of(store, folder, **changes)
    last = trainer.step + updates
    trainer.stop_asked = lambda: trainer.step == last
    with pytest.raises(KeyboardInterrupt):
        trainer.run()


def rows(trainer: Trainer) -> list[dict[str, Any]]:
    return [untimed(row) for row in trainer.history]


def assert_same(one: Trainer, other: Trainer) -> None:
    assert rows(one) == rows(other)
    assert one.step == other.step
    for name, values in one.network.state_dict().items():
        assert torch.equal(values, other.network.state_dict()[name]), name
    for name, values in one.optimiser.velocity.items():
        assert torch.equal(values, other.optimiser.velocity[name]), name


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def undisturbed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Three epochs in one go."""
    return finished(trainer_of(store, tmp_path_factory.mktemp("undisturbed")))


@pytest.mark.parametrize("stops", [[2], [STEPS], [STEPS + 1], [2, 1, 2]], ids=lambda stops: f"after {stops}")
def test_a_stopped_training_goes_on_as_if_never_stopped(
    store: Path, tmp_path: Path, undisturbed: Trainer, stops: list[int]
) -> None:
    for updates in stops:
        stopped(store, tmp_path, updates)
    again = trainer_of(store, tmp_path)
    assert again.step == sum(stops)
    assert_same(finished(again), undisturbed)


def test_the_undisturbed_run_has_rates_that_fall_and_weights_that_move(undisturbed: Trainer) -> None:
    # What the comparisons above rest on.
    history = undisturbed.history
    assert [row.learning_rate for row in history] == [0.005, 0.005, 0.0025]
    assert [row.pictures for row in history] == [PICTURES] * 3
    assert len({row.train_loss for row in history}) == 3
    start = AlexNet(undisturbed.network.model, 2)
    initialise(start, undisturbed.train.seed)
    for name, values in start.named_parameters():
        assert not torch.equal(values, undisturbed.network.get_parameter(name)), name
        assert undisturbed.optimiser.velocity[name].any(), name


def test_a_run_killed_after_a_checkpoint_repeats_no_more_than_the_rest(
    store: Path, tmp_path: Path, undisturbed: Trainer
) -> None:
    class Killed(Exception):
        pass

    killed = trainer_of(store, tmp_path, machine=ALWAYS)

    def kill() -> bool:
        # The fifth update is made and lost: no state is written after it.
        if killed.step == 5:
            raise Killed
        return False

    killed.stop_asked = kill
    with pytest.raises(Killed):
        killed.run()
    again = trainer_of(store, tmp_path)
    assert (again.epoch, again.consumed, again.step) == (2, BATCH, 4)
    assert_same(finished(again), undisturbed)


def test_a_run_stopped_while_it_validates_keeps_its_epoch(
    store: Path, tmp_path: Path, undisturbed: Trainer
) -> None:
    stopping = trainer_of(store, tmp_path)
    stopping.stop_asked = lambda: not stopping.network.training
    with pytest.raises(KeyboardInterrupt):
        stopping.run()
    again = trainer_of(store, tmp_path)
    assert (again.epoch, again.consumed, again.step) == (1, PICTURES, STEPS)
    assert_same(finished(again), undisturbed)


@pytest.mark.parametrize("order", ["shuffled", "fixed"])
def test_an_update_has_its_pictures_with_their_shifts_and_the_keys_of_its_number(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: Order
) -> None:
    # Shifts and keys are sent for many updates at once; 26 is in the second block of keys, within an epoch.
    updates, run, update = list[tuple[Tensor, Tensor | None]](), Precision.run, Trainer.update
    trained_on = list[Tensor]()

    def noting(self: Precision, forward: Callable[..., Tensor], batch: Batch, *others: Any) -> Tensor:
        if others:
            updates.append((others[0], others[1]))
        return run(self, forward, batch, *others)

    def noting_records(self: Trainer, batch: Batch, count: int) -> Results:
        trained_on.append(batch.records)
        return update(self, batch, count)

    monkeypatch.setattr(Precision, "run", noting)
    monkeypatch.setattr(Trainer, "update", noting_records)
    asked: dict[str, Any] = {
        "epochs": 10,
        "order": order,
        "augment": section(Augment, PARAMS, colour_noise_last_epoch=9),
    }
    stopped(store, tmp_path, 26, **asked)
    trainer = finished(trainer_of(store, tmp_path, **asked))
    assert len(updates) == 10 * STEPS
    assert STEPS_OF_KEYS < 26
    for step, (keys, shift) in enumerate(updates):
        epoch, records = 1 + step // STEPS, trained_on[step].numpy()
        plan = training_epoch(trainer.train.seed, epoch, PICTURES, trainer.augment, order)
        shown = step % STEPS * BATCH
        assert records.tolist() == plan.order[shown : shown + BATCH].tolist()
        expected, _ = colour_shift(plan.noise[records], trainer.statistics, trainer.augment, epoch)
        assert (shift is None) == (expected is None) == (epoch == 10)
        if expected is not None:
            torch.testing.assert_close(shift, torch.from_numpy(expected))
        assert torch.equal(keys, picture_keys(trainer.train.seed, step, 0, len(records), CPU))


@pytest.mark.parametrize(
    ("seconds_lost", "last", "expected"),
    [(300.0, 6, [1, 4, 6]), (300.0, 7, [1, 4, 7]), (1.5, 6, [1, 3, 5, 6]), (300.0, 3, [1, 3])],
)
def test_after_an_epoch_a_state_is_written_if_its_writing_takes_little_of_the_time(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds_lost: float,
    last: int,
    expected: list[int],
) -> None:
    now, written, save = [0.0], list[int](), Checkpoints.save
    monkeypatch.setattr("alexnet.training.trainer.time.monotonic", lambda: now[0])

    def finish_asked() -> bool:
        now[0] += 1.0
        return now[0] > last

    def slow(self: Checkpoints, state: dict[str, Any]) -> None:
        # A twentieth of 2.4 epochs.
        now[0] += 0.12
        written.append(state["epoch"] - 1)
        save(self, state)

    monkeypatch.setattr(Checkpoints, "save", slow)
    machine = tiny.PLACE.model_copy(update={"checkpoint_minutes": seconds_lost / 60})
    finished(trainer_of(store, tmp_path, epochs=7, machine=machine, finish_asked=finish_asked))
    assert written == expected


def test_more_epochs_go_on_and_a_finished_run_is_not_trained_again(
    store: Path, tmp_path: Path, undisturbed: Trainer
) -> None:
    finished(trainer_of(store, tmp_path, epochs=2))
    longer = trainer_of(store, tmp_path)
    assert (longer.epoch, longer.step) == (3, 2 * STEPS)
    assert_same(finished(longer), undisturbed)
    before = files(tmp_path)
    assert_same(finished(trainer_of(store, tmp_path, lambda: True)), undisturbed)
    assert files(tmp_path) == before


def test_fewer_epochs_never_take_a_longer_runs_state(store: Path, tmp_path: Path) -> None:
    fresh = finished(trainer_of(store, tmp_path / "fresh", epochs=1))
    # Beyond the end lie whole epochs, or an epoch's middle, where the end of the first is still kept.
    finished(trainer_of(store, tmp_path / "longer", machine=ALWAYS))
    stopped(store, tmp_path / "stopped", STEPS + 1, machine=ALWAYS)
    for name, begins in (("longer", 1), ("stopped", 2)):
        shorter = trainer_of(store, tmp_path / name, epochs=1)
        assert (shorter.epoch, shorter.consumed) == (begins, 0)
        assert_same(finished(shorter), fresh)


def test_a_write_that_fails_leaves_the_states_before_it(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(trainer_of(store, tmp_path, epochs=2))
    before = files(tmp_path)

    def full(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left"):
        trainer_of(store, tmp_path, epochs=3).run()
    assert files(tmp_path) == before


def test_going_on_reports_the_whole_history_at_once(store: Path, tmp_path: Path) -> None:
    told: list[list[int]] = []

    def tell(history: list[EpochRow]) -> None:
        told.append([row.epoch for row in history])

    stopped(store, tmp_path, STEPS + 1, report_epoch=tell)
    trainer_of(store, tmp_path, report_epoch=tell).run()
    assert told == [[1], [1], [1, 2], [1, 2, 3]]


# Huge rates: too large in the first update, seen by the next one's loss, or, where an epoch has
# but one update, by the validation.
@pytest.mark.parametrize("batch_size", [BATCH, PICTURES])
def test_a_loss_that_is_no_number_ends_the_training_and_spares_the_last_state(
    store: Path, tmp_path: Path, batch_size: int
) -> None:
    finished(trainer_of(store, tmp_path, epochs=1, batch_size=batch_size))
    before = files(tmp_path)
    assert before
    broken = trainer_of(
        store, tmp_path, epochs=3, batch_size=batch_size, learning_rate=1e30, bias_learning_rate=1e30
    )
    assert broken.epoch == 2
    with pytest.raises(DivergedError, match=r"loss is (nan|inf) in epoch 2.*learning_rate"):
        broken.run()
    assert files(tmp_path) == before


def test_a_loss_that_is_no_number_is_not_saved_on_a_stop(store: Path, tmp_path: Path) -> None:
    diverging = trainer_of(store, tmp_path, learning_rate=1e30)
    diverging.stop_asked = lambda: diverging.step == 2
    with pytest.raises(DivergedError, match="loss is"):
        diverging.run()
    assert not tmp_path.exists() or not files(tmp_path)


def test_training_learns_what_can_be_learnt(store: Path, tmp_path: Path) -> None:
    constant = {**train_of().schedule.model_dump(), "kind": "constant"}
    history = finished(trainer_of(store, tmp_path, epochs=12, schedule=constant)).history
    # From the entropy of two equal classes, ln 2, to less than half of it.
    assert history[0].train_loss > 0.6
    assert history[-1].train_loss < 0.3
    assert history[-1].train_error == 0
    assert history[-1].val_top1_error == 0
    assert history[-1].val_loss < history[0].val_loss


def test_validation_is_of_the_centre_patch_without_dropout(undisturbed: Trainer) -> None:
    network = undisturbed.network
    assert undisturbed.validate() == undisturbed.validate()
    wrong, loss = 0, 0.0
    with torch.no_grad():
        for batch in undisturbed.validation_loader.batches(in_storage_order(6)):
            inputs = (batch.pixels.double().permute(0, 3, 1, 2) - 90) / 60
            logits = network.eval().from_inputs(inputs.float()).double()
            wrong += int((logits.argmax(1) != batch.labels).sum())
            loss -= float(logits.log_softmax(1)[range(len(logits)), batch.labels].sum())
    row = undisturbed.history[-1]
    assert row.val_loss == pytest.approx(loss / 6, rel=1e-5)
    assert row.val_top1_error == wrong / 6
    # Two classes cannot be out of five.
    assert row.val_top5_error == 0


def test_gradient_norms_are_root_mean_squares_of_each_layers(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still: dict[str, Any] = {"epochs": 1, "learning_rate": 0.0, "bias_learning_rate": 0.0}
    # Several updates that move nothing: each norm by itself, and the three together.
    each: list[dict[str, float]] = []
    trainer = trainer_of(store, tmp_path, **still)
    step = trainer.optimiser.step

    def watched() -> None:
        each.append(
            {
                layer.name: sum(float(gradient_of(parameter).norm() ** 2) for parameter in parameters)
                for layer, *parameters in trainer.network.layer_parameters()
            }
        )
        step()

    monkeypatch.setattr(trainer.optimiser, "step", watched)
    (row,) = finished(trainer).history
    assert len(each) == STEPS
    for name, norm in row.gradient_norms.items():
        assert norm > 0
        assert norm == pytest.approx((sum(one[name] for one in each) / STEPS) ** 0.5, rel=1e-3)


def test_a_tensorboard_that_does_not_fit_ends_no_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert logbook._open_events(tmp_path / "events") is None
    assert "TensorBoard cannot be imported, so it gets no curves" in capsys.readouterr().out


def test_the_log_says_what_a_person_watches(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    book = Logbook(tmp_path / "logs", tmp_path / "events")
    # Those of an earlier run, which would be shown beside ours.
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "events.out.tfevents.1").write_text("")
    still: dict[str, Any] = {"epochs": 3, "learning_rate": 0.0, "bias_learning_rate": 0.0}
    trainer = trainer_of(store, tmp_path / "state", report_epoch=book.write, **still)
    before = {name: values.clone() for name, values in trainer.network.state_dict().items()}
    finished(trainer)
    for name, values in trainer.network.state_dict().items():
        assert torch.equal(values, before[name]), "rates of 0 learn nothing"
    said = capsys.readouterr().out
    assert "epoch 1/3: loss 0.6" in said
    for text in ("error 50", "(validation 50", "rate 0,", "pictures/s (waited "):
        assert text in said
    # Without lines of progress, the norms are shown where something is wrong.
    assert "epoch 2/3: gradient norms" not in said
    assert "epoch 3/3: gradient norms: conv1 " in said
    # Nothing moves, so that the loss stays at ln 2; twice could be chance.
    (warning,) = [line for line in said.splitlines() if line.startswith("warning:")]
    assert "still 0.69, that of a network which knows the class frequencies" in warning
    assert "train.learning_rate too high" in warning
    history = pd.read_csv(tmp_path / "logs" / "history.csv")
    assert {"conv1_learning_rate", "data_wait_seconds", "gradient_norm_conv1", "gradient_norm_fc8"} <= {
        *history.columns
    }
    (events,) = (tmp_path / "events").iterdir()
    shown = EventAccumulator(str(events)).Reload()
    assert [event.step for event in shown.Scalars("gradient_norm/fc8")] == [1, 2, 3]
    losses = [event.value for event in shown.Scalars("train_loss")]
    assert losses == pytest.approx(list(history["train_loss"]), rel=1e-6)


def test_what_a_loader_refuses_costs_no_finished_training(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_statistics(Path("statistics.npz"), tiny.STATISTICS)
    classes = pd.DataFrame({"wnid": ["n1", "n2"], "words": ["red", "blue"]})
    write_index(Path("index"), Index(pd.DataFrame(columns=COLUMNS), classes))
    train = functools.partial(
        train_network,
        Mesh(),
        CPU,
        model=section(Model, PARAMS, width=0.03),
        augment=section(Augment, PARAMS),
        train=train_of(epochs=1),
        machine=tiny.PLACE,
        index=Path("index"),
        records=store,
        statistics=Path("statistics.npz"),
        weights=Path("weights.safetensors"),
        logs=Path("logs"),
        anew=True,
    )
    train()

    def states() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in Path(".state/train").rglob("*.pt")}

    def refuse(*arguments: Any) -> None:
        raise UserError("loader: found dali, which is not installed")

    before = states()
    with monkeypatch.context() as patched:
        patched.setattr("alexnet.training.train.open_replica_loader", refuse)
        with pytest.raises(UserError, match="not installed"):
            train()
    assert states() == before
    assert before
    # Otherwise it trains again, which ends with a state of its own.
    train()
    assert len(states()) == len(before)
    assert states() != before


def test_a_smaller_last_batch_has_the_gradient_of_its_own_pictures(store: Path, tmp_path: Path) -> None:
    after = []
    for size in (BATCH, 2):
        trainer = trainer_of(store, tmp_path / str(size), batch_size=size)
        trainer.network.train()
        trainer.optimiser.set_rates(trainer._rates())
        trainer.update(tiny.random_patches(2)._replace(labels=torch.tensor([0, 1])), 2)
        after.append(trainer.network.fc8.weight)
    torch.testing.assert_close(*after)


def test_a_training_begins_with_the_weights_of_its_seed_and_the_mean_image() -> None:
    model, classes = (
        section(Model, PARAMS, width=0.03),
        pd.DataFrame({"wnid": ["a", "b"], "words": ["a", "b"]}),
    )
    found = first_network(model, train_of(seed=5), tiny.PLACE, classes, tiny.STATISTICS, Mesh(), CPU)
    initialise(expected := AlexNet(model, 2), 5)
    assert torch.equal(found.fc7.weight, expected.fc7.weight)
    assert torch.equal(found.input.mean_image, torch.from_numpy(tiny.STATISTICS.mean_image))


def test_all_that_changes_a_training_changes_the_name_of_its_state(store: Path, tmp_path: Path) -> None:
    start, statistics, other = tmp_path / "start", tmp_path / "statistics", tmp_path / "other"
    write_two_colours(other, PICTURES + 1, 6)
    start.write_bytes(b"1")
    statistics.write_bytes(b"1")
    model, augment = section(Model, PARAMS), section(Augment, PARAMS)
    train = train_of(initial_weights=str(start))

    def name(
        model: Model = model, augment: Augment = augment, train: Train = train, records: Path = store
    ) -> str:
        return fingerprint_of_training(model, augment, train, records, statistics)

    names = [
        name(),
        name(model=section(Model, PARAMS, width=0.3)),
        name(augment=section(Augment, PARAMS, pictures_per_crop=7)),
        name(train=train_of(initial_weights=str(start), seed=9)),
        name(records=other),
    ]
    for changed in (start, statistics):
        changed.write_bytes(b"2")
        names.append(name())
    assert len(set(names)) == len(names)
    assert name(train=train_of(initial_weights=str(start), epochs=9)) == names[-1]
