"""The training loop: epochs of updates, each followed by a validation."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn import functional

from alexnet.core.errors import DivergedError
from alexnet.core.machine import Machine
from alexnet.core.progress import Progress, chosen_style
from alexnet.core.terminal import say
from alexnet.feed.colour import colour_shift
from alexnet.feed.loader import Loader
from alexnet.feed.order import in_storage_order, training_epoch
from alexnet.feed.params import Augment
from alexnet.feed.threads import sent
from alexnet.model.dropout import keys_of_steps
from alexnet.model.input import Batch
from alexnet.model.network import AlexNet
from alexnet.model.top_k import top_k_wrong
from alexnet.parallel.columns import part_of, whole_of
from alexnet.parallel.device import Mode, chosen_mode, prepared
from alexnet.parallel.gradients import GradientSums
from alexnet.parallel.mesh import Mesh, Questions
from alexnet.parallel.recording import RecordedStep
from alexnet.store.records import Records
from alexnet.store.statistics import Statistics
from alexnet.training.chance import is_at_chance, loss_at_chance
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.measures import EpochRow, Meter, Results, Sums, loss_and_errors
from alexnet.training.optimiser import printed_optimiser
from alexnet.training.params import Train
from alexnet.training.precision import Precision
from alexnet.training.schedule import Schedule

# Reading the loss waits for a GPU; once in 25 steps it costs nothing.
STEPS_BETWEEN_LOOKS = 25
# The steps whose dropout keys are sent to the device at once.
STEPS_OF_KEYS = 25
# A state is due after an epoch when writing the last one took at most this share of the time since then, or
# after `checkpoint_minutes`. On a GPU, an epoch can take a second, and writing its state as long.
WRITING_SHARE = 0.05
CPU = torch.device("cpu")
# Of a batch, in an update.
NOT_NEEDED = torch.empty(0, dtype=torch.int64)
AT_CHANCE = (
    "warning: the loss is still {chance:.2f}, that of a network which knows the class"
    " frequencies and nothing of the pictures. Likely causes: (1) the published initial_weights with"
    " a model.width below 1 or an input_divisor above 1, which let the signal fade: take he, with"
    " initial_biases: zero and input_divisor: 60.0; (2) a train.learning_rate too high for the batch or the"
    " width, which silences the ReLUs for good (gradient norms are 0 except in fc8): lower it;"
    " (3) initial_weights: paper, which takes longer than source-2012: wait."
)


@dataclass(eq=False)
class Trainer:
    """Trains a network, from the last saved state where there is one.

    Attributes:
        network: on its device, with its mean image and initial weights; one column of it where
            `mesh` spreads it over two devices.
        training, validation: the records of both splits, and their loaders.
        mesh: the processes that train together; this one alone by default.
        seconds_between_questions: how long several processes may train before they ask one another
            whether one is to stop, or a state is due.
        stop_asked: called between updates; True ends the training where it can be resumed.
        finish_asked: called after each epoch; True makes that epoch the last.
        report_epoch: called with the history after each epoch.
        epoch, consumed, step: the present epoch, from 1, its pictures and all updates so far.
    """

    network: AlexNet
    training: Records
    validation: Records
    training_loader: Loader
    validation_loader: Loader
    statistics: Statistics
    train: Train
    augment: Augment
    machine: Machine
    checkpoints: Checkpoints
    mesh: Mesh = field(default_factory=Mesh)
    seconds_between_questions: float = 1.0
    stop_asked: Callable[[], bool] = lambda: False
    finish_asked: Callable[[], bool] = lambda: False
    report_epoch: Callable[[list[EpochRow]], None] = lambda history: None

    def __post_init__(self) -> None:
        machine, mesh = self.machine, self.mesh
        self.device = next(self.network.parameters()).device
        self.style = chosen_style(machine.progress if mesh.leads else "none")
        self.gradients = GradientSums(self.network.parameters(), mesh)
        self.precision = Precision(self.train.precision, self.device)
        self.optimiser = printed_optimiser(self.network, self.train)
        # What several processes exchange has not been recorded.
        self.run_as(chosen_mode(machine, self.device, recordable=mesh.size == 1))
        self.schedule = Schedule(self.train)
        self.chance = loss_at_chance(self.training.labels)
        self.epoch, self.consumed, self.step = 1, 0, 0
        self.sums = Sums()
        self.history: list[EpochRow] = []
        # What the steps of an epoch, or some of them, need is sent to the device at once.
        self._shifts: Tensor | None = None
        self._divisor = 1.0
        self._sent_keys: Tensor | None = None
        self._saved, self._writing_seconds = time.monotonic(), 0.0
        self._resume()

    def run_as(self, mode: Mode, backend: str = "inductor") -> None:
        """Compute the updates from now on in `mode`, compiled by `backend`."""
        self._judge = prepared(loss_and_errors, mode, backend)
        if mode != "eager":
            self.optimiser.compile(backend)
        step = partial(self._learn, self._judge, self.train.batch_size)
        self._recorded = RecordedStep(step, self.device) if mode == "CUDA graphs" else None

    def run(self) -> list[EpochRow]:
        """Train to the end and return a row per epoch.

        Raises:
            DivergedError: the loss is not finite.
            KeyboardInterrupt: `stop_asked` said so; the state is saved first.
        """
        epochs, pictures = self.train.epochs, len(self.training)
        done = (self.epoch - 1) * pictures + self.consumed
        if self.epoch > epochs:
            return self.history
        # Over all epochs, so that the time left is that of the training.
        with Progress("train", epochs * pictures, self.style, done) as progress:
            while self.epoch <= epochs:
                progress.relabel(f"epoch {self.epoch}/{epochs}")
                self.train_epoch(progress)
                self._finish_epoch()
                longest = min(60 * self.machine.checkpoint_minutes, self._writing_seconds / WRITING_SHARE)
                finish, due = self.mesh.any(self.finish_asked(), self._is_due(longest))
                self._save_if(due, ends=finish or self.epoch > epochs)
                if self.mesh.leads:
                    self.report_epoch(self.history)
                if finish:
                    self._say(f"train: ended after epoch {self.epoch - 1}, as asked")
                    break
            progress.relabel("train")
        return self.history

    def train_epoch(self, progress: Progress) -> None:
        """Train on what is left of the present epoch.

        Raises:
            DivergedError, KeyboardInterrupt: as `run`.
        """
        train, total = self.train, len(self.training)
        meter = Meter(self.device, [layer.name for layer in self.network.layers])
        waiting_since = meter.now()
        plan = training_epoch(train.seed, self.epoch, total, self.augment, train.order)
        shifts, self._divisor = colour_shift(
            plan.noise[plan.order], self.statistics, self.augment, self.epoch
        )
        self._shifts = None if shifts is None else sent(shifts, self.device)
        self.optimiser.set_rates(self._rates())
        self.network.train()
        questions = self._questions()
        for step, batch in enumerate(self.training_loader.batches(plan, self.consumed), 1):
            meter.add_wait(waiting_since)
            count = min(train.batch_size, total - self.consumed)
            meter.add(self.update(batch, count), count)
            self.consumed += count
            stop, due = questions.ask(self.stop_asked(), self._is_due(60 * self.machine.checkpoint_minutes))
            if stop or due or step % STEPS_BETWEEN_LOOKS == 0 or self.consumed == total:
                # A look at the sums of the last steps, for which a GPU is waited for.
                self._refuse_unless_finite(meter.collect(self.sums, self.mesh))
            if stop:
                self._stop()
            self._save_if(due, ends=False)
            progress.advance(count, f"loss {self.sums.mean_loss:.3f}" if self.sums.pictures else "")
            waiting_since = meter.now()

    def _refuse_unless_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss is {loss} in epoch {self.epoch} after {self.consumed} pictures; the last good"
                " state is kept. Lower train.learning_rate, or raise model.input_divisor."
            )

    def _rates(self) -> dict[str, float]:
        return self.schedule.rates(self.epoch, self.optimiser.velocity)

    def update(self, batch: Batch, count: int) -> Results:
        """Learn from this replica's share of a batch of `count`."""
        first, last = self.mesh.replica_share.bounds(count)
        shift = None if self._shifts is None else self._shifts[self.consumed + first : self.consumed + last]
        fields = batch.to(self.device).on_device
        given: tuple[Any, ...] = *fields, self._keys_of_step()[first:last], shift
        # A smaller last batch is worth neither compiling nor recording.
        if count < self.train.batch_size:
            results = self._learn(loss_and_errors, count, *given)
        elif self._recorded is None:
            results = self._learn(self._judge, count, *given)
        else:
            rates = [group["lr"] for group in self.optimiser.param_groups]
            results = Results(*self._recorded((self._divisor, *rates), *given))
        self.step += 1
        return results

    def _learn(
        self,
        judge: Callable[..., tuple[Tensor, ...]],
        count: int,
        pixels: Tensor,
        top: Tensor,
        left: Tensor,
        mirrored: Tensor,
        labels: Tensor,
        keys: Tensor,
        shift: Tensor | None,
    ) -> Results:
        """Learn as `update` does, from tensors alone: a recorded step puts new numbers in their places."""
        batch = Batch(pixels, top, left, mirrored, labels, records=NOT_NEEDED)
        self.optimiser.zero_grad()
        mean, loss, wrong = judge(self.network, self.precision, batch, keys, shift, self._divisor, count)
        mean.backward()
        self.gradients.wait()
        self.optimiser.step()
        parameters = [each for _, *both in self.network.layer_parameters() for each in both]
        gradients = [each.grad for each in parameters if each.grad is not None]
        return Results(loss, wrong, torch.stack(torch._foreach_norm(gradients)))

    def _keys_of_step(self) -> Tensor:
        """Return the dropout keys of a whole batch."""
        own = self.step % STEPS_OF_KEYS
        if own == 0 or self._sent_keys is None:
            steps = range(self.step - own, self.step - own + STEPS_OF_KEYS)
            keys = keys_of_steps(self.train.seed, steps, 0, self.train.batch_size, CPU)
            self._sent_keys = sent(keys.numpy(), self.device)
        return self._sent_keys[own]

    def _finish_epoch(self) -> None:
        rates, sums = self._rates(), self.sums
        loss, top1, top5 = self.validate()
        row = EpochRow(
            epoch=self.epoch,
            pictures=sums.pictures,
            learning_rate=rates["conv2.weight"],
            bias_learning_rate=rates["conv2.bias"],
            conv1_learning_rate=rates["conv1.weight"],
            fc8_learning_rate=rates["fc8.weight"],
            train_loss=sums.mean_loss,
            train_error=sums.wrong / sums.pictures,
            val_loss=loss,
            val_top1_error=top1,
            val_top5_error=top5,
            seconds=round(sums.seconds, 2),
            data_wait_seconds=round(sums.waited, 2),
            pictures_per_second=round(sums.pictures / max(sums.seconds, 1e-9), 1),
            gradient_norms=sums.gradient_norms,
        )
        self.history.append(row)
        self.schedule.observe(top1)
        self.epoch, self.consumed, self.sums = self.epoch + 1, 0, Sums()
        place = f"epoch {row.epoch}/{self.train.epochs}"
        self._say(
            f"{place}: loss {row.train_loss:.3f}, error {row.train_error:.1%} (validation"
            f" {row.val_top1_error:.1%}), rate {row.learning_rate:g},"
            f" {row.pictures_per_second:.0f} pictures/s (waited {row.data_wait_seconds:.1f} s)"
        )
        at_chance = row.epoch >= 3 and is_at_chance(row.train_loss, self.chance)
        if at_chance or self.style == "lines":
            norms = ", ".join(f"{layer} {norm:.2g}" for layer, norm in row.gradient_norms.items())
            self._say(f"{place}: gradient norms: {norms}")
        if at_chance:
            self._say(AT_CHANCE.format(chance=self.chance))

    @torch.no_grad()
    def validate(self) -> tuple[float, float, float]:
        """Return mean loss, top-1 and top-5 error (fractions) of the centre patch of each picture."""
        self.network.eval()
        count = len(self.validation)
        # Added up on the device and read once: a GPU is waited for at each reading.
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        questions = self._questions()
        for batch in self.validation_loader.batches(in_storage_order(count)):
            batch = batch.to(self.device)
            logits, labels = self.precision.run(self.network, batch), batch.labels
            nats = functional.cross_entropy(logits.double(), labels, reduction="sum")
            wrong = [top_k_wrong(logits, labels, k).sum().double() for k in (1, 5)]
            sums += torch.stack([nats, *wrong])
            # It can take longer than what asks for a stop waits.
            if any(questions.ask(self.stop_asked())):
                self._stop()
        loss, wrong1, wrong5 = self.mesh.sum_over_replicas(sums.tolist())
        # An epoch's last update is seen by no loss of the training.
        self._refuse_unless_finite(loss)
        return loss / count, wrong1 / count, wrong5 / count

    def _questions(self) -> Questions:
        return Questions(self.mesh, self.seconds_between_questions, STEPS_BETWEEN_LOOKS)

    def _stop(self) -> NoReturn:
        self._save_if(due=False, ends=True)
        self._say(f"train: stopped in epoch {self.epoch}; the same command resumes from here")
        raise KeyboardInterrupt

    def _say(self, text: str) -> None:
        if self.mesh.leads:
            say(text)

    def _is_due(self, seconds: float) -> bool:
        """Say, in the leader, whether more than `seconds` have passed since the last state, or the start."""
        return self.mesh.leads and time.monotonic() - self._saved > seconds

    def _save_if(self, due: bool, ends: bool) -> None:
        """Save where a state is `due`, or where the training `ends`."""
        if due or ends:
            self._save()
        if ends:
            # A launcher may end all processes once one has left, but the state must be written.
            self.mesh.wait_for_all()

    def _save(self) -> None:
        if self.mesh.replica > 0:
            return
        start = time.monotonic()
        # Both columns take part in putting tensors together; a state does not depend on the layout.
        weights = whole_of(self.network.state_dict(), self.network, self.mesh)
        velocity = whole_of(self.optimiser.velocity, self.network, self.mesh)
        if not self.mesh.leads:
            return
        self.checkpoints.save(
            {
                "epoch": self.epoch,
                "consumed": self.consumed,
                "step": self.step,
                "weights": weights,
                "velocity": velocity,
                "schedule": self.schedule.state(),
                "sums": asdict(self.sums),
                "history": [asdict(row) for row in self.history],
            }
        )
        self._saved = time.monotonic()
        self._writing_seconds = self._saved - start

    @torch.no_grad()
    def _resume(self) -> None:
        # Other machines may not see the disk of the leader.
        state = self.mesh.from_leader(self.checkpoints.newest(self.train.epochs) if self.mesh.leads else None)
        if state is None:
            return
        self.network.load_state_dict(part_of(state["weights"], self.network, self.mesh))
        for name, velocity in part_of(state["velocity"], self.network, self.mesh).items():
            self.optimiser.velocity[name].copy_(velocity)
        self.schedule.restore(state["schedule"])
        self.epoch, self.consumed, self.step = state["epoch"], state["consumed"], state["step"]
        self.sums = Sums(**state["sums"])
        self.history = [EpochRow(**row) for row in state["history"]]
        self._say(f"train: resuming in epoch {self.epoch} after {self.consumed} pictures")
        if self.mesh.leads:
            self.report_epoch(self.history)
