"""One stage of a training run: its cases, its loop, and the weights it keeps."""

import logging
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch.utils.data import DataLoader

from tunetseg.datasets import Case
from tunetseg.errors import InputError
from tunetseg.io.files import whole_file
from tunetseg.models.device import uses_bfloat16
from tunetseg.models.store import ModelSpec, load_model, save_model
from tunetseg.models.zoo import MODEL
from tunetseg.networks import Architecture, Cascade
from tunetseg.preparation.cache import Cache, CachedCase
from tunetseg.preparation.preprocess import Preprocessing
from tunetseg.training.checkpoint import SafeCheckpoints, SaveEachEpoch
from tunetseg.training.module import TrainingModule
from tunetseg.training.patches import EpochSampler, PatchDataset
from tunetseg.training.progress import EpochLines, progress_bar
from tunetseg.training.recipes import Recipe, Stage

__all__ = ["Run", "train_stage"]


@dataclass(frozen=True)
class Run:
    """What every stage of a run shares."""

    out: Path
    cache: Path
    recipe: Recipe
    architecture: Architecture
    training: list[Case]
    validation: list[Case]
    labels: str | None
    device: torch.device
    workers: int
    compiled: bool
    draws: int
    pretrained: str | None
    on_fault: Callable[[InputError], None] | None
    say: Callable[[str], None]


def train_stage(run: Run, number: int, network: Cascade) -> Cascade:
    """Train one stage, or load it if it is finished.

    Args:
        run: What every stage shares.
        number: Which of the recipe's stages.
        network: What it starts from; changed in place.

    Returns:
        The network that the stage keeps; ``stage-N/model.safetensors`` holds it.

    Raises:
        InputError: No usable case, or a broken one.
    """
    folder = run.out / f"stage-{number}"
    finished = folder / MODEL
    if finished.exists():
        return load_model(finished)[0]
    stage = run.recipe.stages[number]
    preprocessing = Preprocessing(spacing=stage.spacing, denoise=run.recipe.denoise)
    training, validation = _prepare(run, preprocessing)
    # Each stage draws anew.
    seed = run.draws + 1000 * number
    patches, scans = (
        PatchDataset(cases, stage, network.stride, seed, training=on)
        for cases, on in ((training, True), (validation, False))
    )
    sampler = EpochSampler(len(patches))
    learned, watched = _loader(run, stage, patches, sampler), _loader(run, stage, scans, EpochSampler(len(scans)))
    module = TrainingModule(network, run.recipe, stage, stage.epochs * len(learned), compiled=run.compiled)
    facts = {
        "recipe": run.recipe.title,
        "stage": number,
        "cases": len(training),
        "spacing": stage.spacing,
        "pretrained": run.pretrained,
    }

    def export(module: TrainingModule, path: Path) -> None:
        progress = {"epochs": module.global_step // len(learned), "steps": module.global_step}
        spec = ModelSpec(run.architecture, preprocessing, stage.patch, stage.whole_volume, training=facts | progress)
        save_model(path, module.kept, spec)

    trainer = _trainer(run, stage, folder, SaveEachEpoch(folder, export, sampler))
    run.say(f"stage {number}: {len(training)} cases, {len(learned)} steps x {stage.epochs} epochs, {_precision(run)}")
    last = folder / "last.ckpt"
    began = time.monotonic()
    try:
        trainer.fit(module, learned, watched, ckpt_path=str(last) if last.exists() else None)
    except SystemExit:
        # How Lightning leaves after Ctrl-C, with code 1, and after SIGTERM, with code 0.
        run.say(f"stopped; --resume goes on from the last whole epoch in {folder}")
        raise KeyboardInterrupt from None
    run.say(f"stage {number}: {time.monotonic() - began:.0f} s")
    if run.recipe.keep == "last" or not (folder / "best.safetensors").exists():
        export(module, finished)
    else:
        os.replace(folder / "best.safetensors", finished)
    return load_model(finished)[0]


def _prepare(run: Run, preprocessing: Preprocessing) -> tuple[list[CachedCase], list[CachedCase]]:
    """Cases of both sides at a working spacing, from the cache; the run folder says which they are."""
    cache = Cache(run.cache, preprocessing, run.labels)
    total = len(run.training) + len(run.validation)
    with progress_bar(f"preparing cases at {preprocessing.spacing:g} mm", total) as advance:
        training = cache.get_all(run.training, on_fault=run.on_fault, progress=advance)
        validation = cache.get_all(run.validation, on_fault=run.on_fault, progress=advance)
    if not training or not validation:
        side = "validate" if training else "train"
        raise InputError(f"no usable case is left to {side} on; repair the broken ones, or take another --fold")
    begun = any(run.out.glob("stage-*/last.ckpt"))
    for name, used in (("training", training), ("validation", validation)):
        path = run.out / f"{name}.txt"
        names = [case.id for case in used]
        if begun and path.exists() and (before := path.read_text(encoding="utf-8").splitlines()) != names:
            changed = ", ".join(sorted({*before} ^ {*names}))
            raise InputError(f"{path}: the run began with other cases ({changed}); restore them, or begin anew")
        with whole_file(path) as partial:
            partial.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return training, validation


def _loader(run: Run, stage: Stage, dataset: PatchDataset, sampler: EpochSampler) -> DataLoader:
    # Whole volumes differ in size, so they are validated one at a time.
    batch = stage.batch if dataset.training or dataset.by_grid else 1
    return DataLoader(dataset, batch, sampler=sampler, num_workers=run.workers)


def _precision(run: Run) -> Literal["bf16-mixed", "32-true"]:
    low = uses_bfloat16(run.recipe.precision, run.device)
    return "bf16-mixed" if low else "32-true"


class _Stop(EarlyStopping):
    """Keras' rule, whose least improvement is nothing, unlike the plateau's; counted in epochs.

    Counted before the epoch's checkpoint is written, which must hold the count.
    """

    def __init__(self, stage: Stage) -> None:
        validations = math.ceil(stage.stop_patience / stage.validate_every)
        super().__init__("val/loss", patience=validations, min_delta=0.0, check_on_train_epoch_end=False)

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """A run that was killed between its last checkpoint and its end does not go on past it."""
        trainer.should_stop = self.wait_count >= self.patience


def _spare_log(log: Path) -> None:
    """Keep what a stage logged before it was resumed: Lightning begins its CSV anew."""
    if log.exists():
        log.rename(log.with_name(f"metrics-{len(list(log.parent.glob('metrics-*.csv')))}.csv"))


def _trainer(run: Run, stage: Stage, folder: Path, saver: SaveEachEpoch) -> lightning.Trainer:
    callbacks: list[lightning.Callback] = [saver, EpochLines(run.say)]
    if stage.stop_patience:
        callbacks.append(_Stop(stage))
    _spare_log(folder / "csv" / "metrics.csv")
    # Lightning's advice is not about this program's user.
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", module="lightning_fabric")
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(run.device.type, run.device.type),
        devices=[run.device.index] if run.device.type == "cuda" and run.device.index is not None else 1,
        precision=_precision(run),
        max_epochs=stage.epochs,
        check_val_every_n_epoch=min(stage.validate_every, stage.epochs),
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        callbacks=callbacks,
        logger=[
            CSVLogger(folder, name="", version="csv"),
            TensorBoardLogger(folder, name="", version="tensorboard"),
        ],
        # One process, whatever a scheduler's variables say; else Lightning would requeue jobs and load what it left.
        plugins=[SafeCheckpoints(), LightningEnvironment()],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
