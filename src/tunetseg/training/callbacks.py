"""What happens around the steps of a stage: scores, log and state, checkpoints, time budget, signals."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import EarlyStopping

from tunetseg.errors import InputError
from tunetseg.progress import Progress
from tunetseg.training.checkpoint import LAST
from tunetseg.training.module import TrainingModule
from tunetseg.training.processes import Processes
from tunetseg.training.recipes import Stage
from tunetseg.training.sampling import Batches
from tunetseg.training.state import Scores, StateFile
from tunetseg.training.stopping import StopRequest, StopTraining

__all__ = [
    "BEST",
    "SNAPSHOT",
    "Checkpoints",
    "Clock",
    "Control",
    "Export",
    "Journal",
    "PatientStop",
    "Snapshots",
    "Validations",
    "described",
]

_LOG = logging.getLogger(__name__)

Export = Callable[[TrainingModule, Path, Scores | None], None]
"""Writes the kept weights, with their scores where there are any, to a path."""

SNAPSHOT = "snapshot.safetensors"
"""Name of the weights as they are meanwhile, in a run folder."""

BEST = "best.safetensors"
"""Name of the weights with the lowest validation loss, in the folder of a stage that is not finished."""

SAVE_EVERY = 600.0
"""Longest time in seconds between two checkpoints within a long epoch."""

BETWEEN_FAILURES = 6 * 3600.0
"""Assumed mean time in seconds between two kills of a run, which decides how often checkpoints pay."""

UPDATE_EVERY = 60.0
"""Seconds between two updates of the state within a long epoch, so that a running run can be told from a dead one."""


@dataclass
class Clock:
    """Time spent on a run, over all its sessions.

    Args:
        max_minutes: The budget, if any.
        earlier: Seconds of earlier sessions, as far as their work was saved.
        started: When this session began, by ``time.monotonic``.
    """

    max_minutes: float | None = None
    earlier: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return self.earlier + time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds that the budget leaves; infinite without one."""
        return math.inf if self.max_minutes is None else 60 * self.max_minutes - self.spent


class Validations(lightning.Callback):
    """Notes the scores of each validation and, where the best weights are kept, writes them.

    Args:
        number: Number of the stage.
        best: Where the weights with the lowest validation loss are written; None: nowhere.
        export: Writes the kept weights, with their scores, to a path.
    """

    def __init__(self, number: int, best: Path | None, export: Export) -> None:
        self.number = number
        self.path = best
        self.export = export
        self.best: Scores | None = None
        self.last: Scores | None = None
        self.step = -1

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Compare this validation's loss with the lowest."""
        assert isinstance(module, TrainingModule)
        _check_finite(math.isfinite(module.scores["loss"]), module)
        self.step = module.global_step
        epochs = trainer.current_epoch + (trainer.state.fn == "fit")
        self.last = Scores(stage=self.number, epoch=epochs, **module.scores)
        if self.best is None or self.last.loss < self.best.loss:
            self.best = self.last
            if self.path is not None and trainer.is_global_zero:
                self.export(module, self.path, self.best)

    def state_dict(self) -> dict[str, Any]:
        """Return what the checkpoint keeps."""
        return {"best": msgspec.to_builtins(self.best), "last": msgspec.to_builtins(self.last), "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.best, self.last = (msgspec.convert(state[name], Scores | None) for name in ("best", "last"))
        self.step = state["step"]


class Snapshots(lightning.Callback):
    """Writes the kept weights every few minutes, so that a run that is cut off leaves a model.

    Args:
        path: File, which is replaced each time.
        seconds: Between two writings.
        validations: Scores.
        export: Writes the weights.
    """

    def __init__(self, path: Path, seconds: float, validations: Validations, export: Export) -> None:
        self.path = path
        self.seconds = seconds
        self.validations = validations
        self.export = export
        self.written = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write where it is time."""
        assert isinstance(module, TrainingModule)
        if trainer.is_global_zero and time.monotonic() - self.written > self.seconds:
            self.export(module, self.path, self.validations.last)
            self.written = time.monotonic()


class PatientStop(EarlyStopping):
    """Keras' early stopping: its least improvement is nothing, unlike the plateau's, and its patience is in epochs.

    It counts before the checkpoint of the epoch is written, which must hold the count.

    Args:
        stage: Patience, and how often it is validated.
    """

    def __init__(self, stage: Stage) -> None:
        validations = math.ceil(stage.early_stopping_patience / stage.validate_every)
        super().__init__("val/loss", patience=validations, min_delta=0.0, check_on_train_epoch_end=False)

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """End a run again that was killed between its last checkpoint and its end."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class Journal(lightning.Callback):
    """Reports progress, logs a line per epoch, and keeps the state file up to date.

    Args:
        validations: Scores.
        state: State file of the run.
        clock: Time spent.
        progress: Told after each step.
    """

    def __init__(self, validations: Validations, state: StateFile, clock: Clock, progress: Progress) -> None:
        self.validations = validations
        self.state = state
        self.clock = clock
        self.progress = progress
        self.began = time.monotonic()  # an epoch that is continued is not begun again
        self.written = time.monotonic()

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Start the clock of the epoch."""
        self.began = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Report the step."""
        if trainer.is_global_zero:
            self.progress(self._task(trainer), batch_idx + 1, int(trainer.num_training_batches))
            if time.monotonic() - self.written > UPDATE_EVERY:
                self.update(trainer.current_epoch)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Log the epoch and write the state."""
        assert isinstance(module, TrainingModule)
        if not trainer.is_global_zero:
            return
        epoch, validations, batches = trainer.current_epoch + 1, self.validations, int(trainer.num_training_batches)
        self.progress(self._task(trainer), batches, batches)  # the time budget may have cut it short
        line = f"{self._task(trainer)}: loss {module.epoch_means()['loss']:+.3f}"
        if validations.last is not None and validations.step == module.global_step:
            line += f", {described(validations.last)}"
        _LOG.info("%s, %.0f s", line, time.monotonic() - self.began)
        self.update(epoch)

    def _task(self, trainer: lightning.Trainer) -> str:
        return f"stage {self.validations.number}, epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"

    def update(self, epoch: int) -> None:
        """Write the state."""
        self.written = time.monotonic()
        best, last = self.validations.best, self.validations.last
        self.state.update(epoch=epoch, best=best, last=last, seconds=round(self.clock.spent, 1))


def described(scores: Scores) -> str:
    """Return a validation in words."""
    dice = " ".join(f"{region} {value:.3f}" for region, value in scores.dice.items())
    return f"validation {scores.loss:+.3f}, Dice {dice}"


class Checkpoints(lightning.Callback):
    """Saves all that resuming needs after each epoch, and within long ones.

    Args:
        folder: Folder of the stage.
        batches: Batches of the training, told where to begin in a resumed run.
        check: Called before each save; raises where the folder is no longer this process's to write to.

    Attributes:
        seconds: The longest time that a save took.
    """

    def __init__(self, folder: Path, batches: Batches, check: Callable[[], None]) -> None:
        self.path = folder / LAST
        self.batches = batches
        self.check = check
        self.epoch = 0
        self.done = 0
        self.saved = time.monotonic()
        self.seconds = 0.0

    @property
    def due(self) -> bool:
        """Whether the last checkpoint is old.

        The interval at which saving and repeating cost the least together is the square root of twice the cost of a
        checkpoint times the mean time between failures (Young, Communications of the ACM 17, 1974).
        """
        best = math.sqrt(2 * self.seconds * BETWEEN_FAILURES)
        return time.monotonic() - self.saved > min(SAVE_EVERY, max(best, SAVE_EVERY / 10))

    def save(self, trainer: lightning.Trainer, epoch: int, done: int) -> None:
        """Save; the run will be continued at a batch of an epoch."""
        self.epoch, self.done = epoch, done
        self.check()
        began = time.monotonic()
        trainer.save_checkpoint(self.path)
        self.saved = time.monotonic()
        self.seconds = max(self.seconds, self.saved - began)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Save at the end of an epoch."""
        self.save(trainer, trainer.current_epoch + 1, 0)

    def state_dict(self) -> dict[str, Any]:
        """Return what the checkpoint keeps."""
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Tell the batches now: the loader's processes ask for samples before Lightning names the epoch."""
        self.batches.resume(state["epoch"], state["done"])


class Control(lightning.Callback):
    """Ends a stage when its time is over or a signal asks for it, or when the loss is not a number.

    With several processes all decide together, every few steps, since they have to end at the same step.

    Args:
        clock: Time spent and left.
        share: Maps the share of the stage that is not done to the share of the time left that belongs to it.
        validation_batches: Batches of a validation.
        checkpoints: Saves before a stop.
        stop: Signals.
        processes: Those that train together.
    """

    def __init__(
        self,
        clock: Clock,
        share: Callable[[float], float],
        validation_batches: int,
        checkpoints: Checkpoints,
        stop: StopRequest,
        processes: Processes,
    ) -> None:
        self.clock = clock
        self.share = share
        self.validation_batches = validation_batches
        self.checkpoints = checkpoints
        self.stop = stop
        self.processes = processes
        self.begin = self.allowed = self.done_before = 0.0
        self.step_seconds = self.validation_seconds = 0.0
        self.steps = 0
        self.validation_began = 0.0

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Take the signals back from Lightning, and end a stage again whose time was over."""
        assert isinstance(module, TrainingModule)
        self.stop.install()
        self.steps = 0
        if module.time_fraction >= 1:
            trainer.should_stop = True

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the clock, the signals and the loss."""
        assert isinstance(module, TrainingModule)
        self.steps += 1
        self._measure(module)
        last = trainer.is_last_batch
        # Reading the loss waits for an accelerator, and so does asking other processes.
        every = 1 if self.processes.size == 1 and module.device.type == "cpu" else 8
        if not last and batch_idx % every != every - 1:
            return
        self._check_loss(module)
        fraction, signum, due = self.processes.largest(
            [self._time_fraction(module), float(self.stop.signum), float(self.checkpoints.due)], module.device
        )
        module.time_fraction = fraction
        if fraction >= 1:
            trainer.should_stop = True
        if (signum or due) and not last and not trainer.should_stop:
            self.checkpoints.save(trainer, trainer.current_epoch, batch_idx + 1)
            self._stop(int(signum))

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Stop after the checkpoint of the epoch."""
        self._stop(int(self.processes.largest([float(self.stop.signum)], module.device)[0]))

    def on_validation_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Measure how long a validation takes."""
        self.stop.install()
        self.validation_began = time.monotonic()

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Remember the longest."""
        self.validation_seconds = max(self.validation_seconds, time.monotonic() - self.validation_began)

    def state_dict(self) -> dict[str, Any]:
        """Return what the checkpoint keeps."""
        return {"seconds": self.clock.spent}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count the time of earlier sessions."""
        self.clock.earlier = max(self.clock.earlier, state["seconds"])

    def _stop(self, signum: int) -> None:
        """End the training where any process was asked to; a signal that came meanwhile counts next time."""
        if signum:
            self.stop.signum = self.stop.signum or signum
            raise StopTraining

    def _check_loss(self, module: TrainingModule) -> None:
        _check_finite(bool(torch.isfinite(module.epoch_sums[1])), module)

    def _measure(self, module: TrainingModule) -> None:
        """Begin the stage's time after its first step, which compiles, and measure the steps."""
        now = time.monotonic()
        if self.steps == 1:
            self.begin, self.done_before = now, module.done
            self.allowed = self.clock.left * self.share(1 - module.done)
        else:
            self.step_seconds = (now - self.begin) / (self.steps - 1)

    def _time_fraction(self, module: TrainingModule) -> float:
        """Return the share of the stage's time that will be spent after another step, the validation and the saving."""
        if math.isinf(self.clock.left):
            return 0.0
        # A validation that was not measured yet takes about a third of a step per batch, since nothing is learned.
        validation = self.validation_seconds or self.step_seconds / 3 * self.validation_batches
        # The checkpoint and the model are written after it.
        rest = self.step_seconds + validation + 2 * self.checkpoints.seconds
        spent = time.monotonic() - self.begin + rest
        if self.allowed <= spent:
            return 1.0
        return self.done_before + (1 - self.done_before) * spent / self.allowed


def _check_finite(finite: bool, module: TrainingModule) -> None:
    """Raise InputError where a loss is not finite."""
    if not finite:
        raise InputError(
            f"the loss became NaN or infinite by step {module.global_step}; "
            "choose a lower learning rate and a new run folder"
        )
