"""One stage of a training run: its data, its loop, and the weights it keeps."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy
from torch.utils.data import DataLoader

from tunetseg.models.device import choose_device, uses_bfloat16
from tunetseg.models.store import ModelSpec, load_network, save_model
from tunetseg.models.zoo import MODEL
from tunetseg.networks import SegmentationNetwork, speed_up_on_cpu
from tunetseg.preparation.cache import CachedCase
from tunetseg.preparation.pack import PackedCase
from tunetseg.progress import Progress
from tunetseg.training.callbacks import (
    BEST,
    SNAPSHOT,
    Checkpoints,
    Clock,
    Control,
    Export,
    Journal,
    PatientStop,
    Snapshots,
    Validations,
    described,
)
from tunetseg.training.checkpoint import SafeCheckpoints, find_checkpoint, remove_checkpoints, remove_damaged
from tunetseg.training.lock import RunLock
from tunetseg.training.memory import peak_memory
from tunetseg.training.module import TrainingModule
from tunetseg.training.patches import TrainingCase, TrainingPatches, ValidationPatches, collate
from tunetseg.training.planning import Plan
from tunetseg.training.processes import Processes
from tunetseg.training.recipes import Recipe, Stage
from tunetseg.training.resident import to_device
from tunetseg.training.samples import Samples
from tunetseg.training.sampling import Batches, OrderedBatches
from tunetseg.training.state import SAMPLES, Scores, StateFile
from tunetseg.training.stopping import StopRequest, StopTraining

__all__ = ["Session", "stage_folder", "train_stage"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """What the stages share while a run is being trained in this process.

    Args:
        plan: The run.
        processes: Place of this process among those that train together.
        clock: Time spent.
        state: State file.
        stop: Signals.
        progress: Told after each step.
        lock: Lock of the run folder, in the process that writes.
    """

    plan: Plan
    processes: Processes
    clock: Clock
    state: StateFile
    stop: StopRequest
    progress: Progress
    lock: RunLock | None = None

    def check_lock(self) -> None:
        """Raise InputError where another process has taken over the run folder."""
        if self.lock is not None:
            self.lock.check()

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        device = choose_device(self.plan.config.device)
        if device.type == "cuda" and self.processes.size > 1:
            return torch.device("cuda", self.processes.local_rank)
        return device


def stage_folder(run: Plan, number: int) -> Path:
    """Return the folder of a stage."""
    return run.out / f"stage-{number}"


def train_stage(
    session: Session,
    number: int,
    network: SegmentationNetwork,
    training: Sequence[CachedCase | PackedCase],
    validation: Sequence[CachedCase | PackedCase],
) -> SegmentationNetwork:
    """Train one stage to its end, from its checkpoint where there is one.

    Args:
        session: What the stages share.
        number: Which of the recipe's stages.
        network: What it starts from; changed in place.
        training: Prepared cases to train on.
        validation: Prepared cases to validate on.

    Returns:
        The network that the stage keeps, as ``stage-N/model.safetensors`` holds it.

    Raises:
        InputError: The loss is not a number, or another process has taken over the run folder.
        StopTraining: A signal arrived; the checkpoint is written.
    """
    folder, stage = stage_folder(session.plan, number), session.plan.recipe.stages[number]
    train_loader, batches = _train_loader(session, number, _placed(session, training))
    val_loader = _val_loader(session, stage, _placed(session, validation), network.stride)
    module = _module(session, number, network, len(batches), len(validation))
    export = _exporter(session, number, len(training), len(batches))
    validations = Validations(number, folder / BEST if session.plan.recipe.keep == "best" else None, export)
    journal = Journal(validations, session.state, session.clock, session.progress)
    samples = Samples(folder / SAMPLES, [case.id for case in validation])
    callbacks = [validations, samples, journal, *_controls(session, number, batches, len(val_loader))]
    if (minutes := session.plan.config.snapshot_minutes) is not None:
        snapshot = _exporter(session, number, len(training), len(batches), torch.bfloat16)
        callbacks.append(Snapshots(session.plan.out / SNAPSHOT, 60 * minutes, validations, snapshot))
    if stage.early_stopping_patience:
        callbacks.insert(1, PatientStop(stage))
    session.state.update(stage=number, epoch=0, epochs=stage.epochs, best=None, last=None)
    if session.processes.first:
        sizes = number, len(training), stage.spacing, len(batches), stage.epochs
        _LOG.info("stage %d: %d cases at %g mm, %d steps x %d epochs, %s", *sizes, _precision(session))
    with _contained(session.device), session.stop:
        trainer = _trainer(session, stage, folder, callbacks)
        if session.processes.first:
            remove_damaged(folder)
        session.processes.barrier()
        start = find_checkpoint(folder)
        trainer.fit(module, train_loader, val_loader, ckpt_path=None if start is None else str(start))
        if validations.step != module.global_step:  # the weights that are kept are always validated
            trainer.validate(module, val_loader, verbose=False)
            if session.processes.first and validations.last is not None:
                _LOG.info("stage %d, end: %s", number, described(validations.last))
        if session.processes.first:
            _finish(session, folder, module, validations, export)
            journal.update(trainer.current_epoch)
        session.processes.barrier()
    if session.processes.largest([float(session.stop.signum)], session.device)[0]:
        raise StopTraining
    return load_network(folder / MODEL)[0]


def _module(session: Session, number: int, network: SegmentationNetwork, steps: int, cases: int) -> TrainingModule:
    """Return the module of a stage of so many steps per epoch that is validated on so many cases."""
    run, stage = session.plan, session.plan.recipe.stages[number]
    if session.device.type == "cpu":
        speed_up_on_cpu(network)
    return TrainingModule(
        network,
        run.recipe,
        stage,
        stage.epochs * steps,
        compiled=run.config.compile,
        channels_last=run.config.channels_last,
        cuda_graphs=run.config.cuda_graphs,
        channels=run.dataset.channel_names,
        entropy=run.entropy,
        number=number,
        validation_cases=cases,
    )


def _controls(session: Session, number: int, batches: Batches, validation_batches: int) -> list[lightning.Callback]:
    """Return what saves and what ends a stage."""
    run = session.plan
    checkpoints = Checkpoints(stage_folder(run, number), batches, session.check_lock)

    def share(left: float) -> float:
        return _share_of_time(run.recipe, number, left)

    return [
        checkpoints,
        Control(session.clock, share, validation_batches, checkpoints, session.stop, session.processes),
    ]


def _exporter(session: Session, number: int, cases: int, steps: int, dtype: torch.dtype = torch.float32) -> Export:
    """Return a function that writes the kept weights of a stage of so many steps per epoch to a model file."""
    run, stage = session.plan, session.plan.recipe.stages[number]

    def export(module: TrainingModule, path: Path, scores: Scores | None) -> None:
        session.check_lock()
        facts = {
            "recipe": run.recipe.title,
            "stage": number,
            "spacing": stage.spacing,
            "cases": cases,
            "unseen": list(run.never_seen),
            "pretrained": run.pretrained_hash,
            "epochs": round(module.global_step / steps, 2),
            "steps": module.global_step,
            "seconds": round(session.clock.spent, 1),
            "memory_mb": peak_memory(session.device),
            "max_minutes": run.config.max_minutes,
            "channel_dropout": run.dropout(number),
            "validation": None if scores is None else {"loss": scores.loss, "dice": scores.dice},
        }
        spec = ModelSpec(
            run.network, run.preprocessing(number), stage.patch_size, stage.whole_volume, run.dataset, facts
        )
        save_model(path, module.kept, spec, dtype)

    return export


def _finish(session: Session, folder: Path, module: TrainingModule, validations: Validations, export: Export) -> None:
    """Write the model of a stage, and remove what only an unfinished stage needs."""
    session.check_lock()
    if (folder / BEST).exists():
        network, spec = load_network(folder / BEST)
        spec.training["seconds"] = round(session.clock.spent, 1)
        save_model(folder / MODEL, network, spec)
        (folder / BEST).unlink()
    else:
        assert validations.last is not None
        export(module, folder / MODEL, validations.last)
    remove_checkpoints(folder)


def _share_of_time(recipe: Recipe, number: int, left: float) -> float:
    """Return the share of the time left that belongs to a stage, of which ``left`` is not done: by voxels shown."""

    def voxels(stage: Stage) -> float:
        x, y, z = stage.patch_size
        return float(stage.epochs * stage.samples_per_case * x * y * z)

    this, later = voxels(recipe.stages[number]) * left, sum(map(voxels, recipe.stages[number + 1 :]))
    return this / max(this + later, 1.0)


def _placed(session: Session, cases: Sequence[CachedCase | PackedCase]) -> Sequence[TrainingCase]:
    """Return cases on the device of this process where the run asks for that."""
    return to_device(cases, session.device) if session.plan.config.data_on_device else cases


def _train_loader(session: Session, number: int, cases: Sequence[TrainingCase]) -> tuple[DataLoader, Batches]:
    run, stage = session.plan, session.plan.recipe.stages[number]
    dataset = TrainingPatches(cases, stage, run.entropy, number)
    batches = Batches(
        len(dataset),
        stage.batch_size,
        entropy=run.entropy,
        stage=number,
        rank=session.processes.rank,
        processes=session.processes.size,
    )
    return _loader(session, dataset, batches), batches


def _val_loader(session: Session, stage: Stage, cases: Sequence[TrainingCase], stride: int) -> DataLoader:
    dataset = ValidationPatches(cases, stage, stride)
    # Whole volumes differ in size, so they are validated one at a time.
    # The loss of a batch is not the mean of its patches, so that batches are those of one process.
    size = 1 if stage.whole_volume else stage.batch_size
    batches = OrderedBatches(len(dataset), size, rank=session.processes.rank, processes=session.processes.size)
    return _loader(session, dataset, batches)


def _loader(session: Session, dataset: Any, batches: Batches | OrderedBatches) -> DataLoader:
    workers = session.plan.config.workers
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=session.device.type == "cuda" and not session.plan.config.data_on_device,
        persistent_workers=workers > 0,
    )


def _precision(session: Session) -> Any:
    return "bf16-mixed" if uses_bfloat16(session.plan.recipe.precision, session.device) else "32-true"


@contextmanager
def _contained(device: torch.device) -> Iterator[None]:
    """Leave random states, warnings and log levels as they were; Lightning's advice is not for our users."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            for module in ("pytorch_lightning", "lightning_fabric"):
                warnings.filterwarnings("ignore", module=module)
            # Gradients of a CUDA graph come from the stream of its capture; PyTorch waits for it, which is right.
            warnings.filterwarnings("ignore", message="The AccumulateGrad node's stream")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _keep_log(log: Path) -> None:
    """Keep what a stage logged before it was resumed, since Lightning starts its CSV file again."""
    if log.exists():
        log.rename(log.with_name(f"metrics-{len(list(log.parent.glob('metrics-*.csv')))}.csv"))


def _trainer(session: Session, stage: Stage, folder: Path, callbacks: list[lightning.Callback]) -> lightning.Trainer:
    device, processes = session.device, session.processes
    if processes.first:
        _keep_log(folder / "csv" / "metrics.csv")
    devices: Any = [device.index] if device.type == "cuda" and device.index is not None else 1
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=devices if processes.size == 1 else processes.size // processes.nodes,
        num_nodes=processes.nodes,
        # Buffers are not sent from process to process: validation batches are not equally many on each.
        strategy="auto" if processes.size == 1 else DDPStrategy(broadcast_buffers=False),
        precision=_precision(session),
        # All patches of a stage have one shape.
        benchmark=True if device.type == "cuda" else None,
        max_epochs=stage.epochs,
        check_val_every_n_epoch=min(stage.validate_every, stage.epochs),
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        callbacks=callbacks,
        logger=[
            CSVLogger(folder, name="", version="csv"),
            TensorBoardLogger(folder, name="", version="tensorboard"),
        ],
        plugins=[SafeCheckpoints(), processes.environment()],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
