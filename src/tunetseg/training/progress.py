"""What a person sees of a running training."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as lightning
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tunetseg.training.module import TrainingModule

__all__ = ["EpochLines", "progress_bar"]


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere; yields what to call after each item."""
    with _bar(what) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def _bar(what: str) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


class EpochLines(lightning.Callback):
    """A bar over the steps of an epoch, and one line when it is done.

    Args:
        say: Takes the line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.bar: Progress | None = None
        self.task: Any = None
        self.began = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Open the bar."""
        self.began = time.monotonic()
        self.bar = _bar("")
        self.bar.start()
        self.task = self.bar.add_task(f"epoch {trainer.current_epoch + 1}", total=trainer.num_training_batches)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Move the bar, and show this step's loss and Dice."""
        assert self.bar is not None
        assert isinstance(module, TrainingModule)
        dice = zip(module.network.regions, outputs["dice"].tolist(), strict=True)
        words = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  loss {float(outputs['loss']):+.3f}  Dice"
        words += "".join(f" {region} {value:.2f}" for region, value in dice)
        self.bar.update(self.task, advance=1, description=words)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Close the bar, print the epoch."""
        if self.bar is not None:
            self.bar.stop()
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        line = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  loss {values['train/loss']:+.3f}"
        if trainer.fit_loop.epoch_loop._should_check_val_epoch():
            line += f"  validation {values['val/loss']:+.3f}  Dice"
            line += "".join(
                f" {name[9:]} {value:.3f}" for name, value in values.items() if name.startswith("val/dice_")
            )
        self.say(f"{line}  {time.monotonic() - self.began:.0f} s")

    def on_exception(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Leave the terminal clean."""
        if self.bar is not None:
            self.bar.stop()
