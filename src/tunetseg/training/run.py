"""A training run: one fold of one recipe, all its stages, in one folder."""

import json
import logging
import math
import os
import platform
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from tunetseg import __version__
from tunetseg.data import Case, find_cases
from tunetseg.data.cache import FORMAT, Cache
from tunetseg.data.folds import split_folds
from tunetseg.data.preprocess import Preprocessing
from tunetseg.errors import InputError
from tunetseg.files import make_folder, whole_file
from tunetseg.inference.device import choose_device, uses_bfloat16
from tunetseg.inference.model import ModelSpec, file_hash, load_model, save_model
from tunetseg.inference.zoo import find_model
from tunetseg.networks import Architecture, Cascade, build_network
from tunetseg.training.checkpoint import SafeCheckpoints, SaveEachEpoch
from tunetseg.training.module import TrainingModule
from tunetseg.training.patches import EpochSampler, PatchDataset
from tunetseg.training.progress import EpochLines, progress_bar
from tunetseg.training.recipes import Recipe, Stage, recipe_named

__all__ = ["train"]

MODEL = "model.safetensors"

_COMPILERS = ("g++", "clang++", "c++", "cl")


@dataclass(frozen=True)
class _Run:
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
    on_fault: Callable[[InputError], None] | None
    say: Callable[[str], None]


def train(
    cohort: str | Path,
    out: str | Path,
    *,
    recipe: str | Path | Recipe = "quick",
    variant: str = "tunet-seb",
    fold: int | Literal["all"] = 0,
    pretrained: str | Path | None = None,
    resume: bool = False,
    cache: str | Path | None = None,
    labels: str | None = None,
    device: str = "auto",
    workers: int = 0,
    compiled: bool = False,
    skip_broken: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Train one model.

    Args:
        cohort: Folder of cases with segmentations.
        out: Run folder: recipe, patients of each side, logs, checkpoints, and at the end ``model.safetensors``.
        recipe: Name, file, or the recipe itself.
        variant: One of the six networks.
        fold: Which fold to keep for validation; ``all`` trains on every patient and validates on none unseen.
        pretrained: Packaged model, model file or run folder whose weights the first stage starts from.
        resume: Go on from the run folder's last checkpoint; recipe and patients must be the same.
        cache: Where prepared cases are kept; by default ``cache`` beside the run folder.
        labels: Year or dataset of the label values; by default each dataset's own.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        workers: Processes that read patches.
        compiled: Use torch.compile, which needs a C++ compiler and a minute or two a stage before it pays.
        skip_broken: Report a broken case and go on without it.
        say: Takes lines for people.

    Returns:
        Path of the finished model.

    Raises:
        InputError: Bad cohort, recipe or run folder.
    """
    chosen = recipe if isinstance(recipe, Recipe) else recipe_named(recipe)
    if workers < 0:
        raise InputError(f"workers {workers}: must be 0 or more")
    if compiled and not any(map(shutil.which, _COMPILERS)):
        raise InputError(f"--compile needs a C++ compiler, one of {', '.join(_COMPILERS)}; install one or leave it out")
    hardware = choose_device(device)
    architecture = Architecture(variant, base_filters=chosen.base_filters, levels=chosen.levels)
    training, validation = _split(cohort, chosen, fold, say)
    network = build_network(architecture)
    started_from = None if pretrained is None else _take_weights(network, architecture, find_model(pretrained))
    folder = Path(out)
    record = {
        "recipe": json.loads(json.dumps(asdict(chosen))),
        "variant": variant,
        "fold": fold,
        "labels": labels,
        "pretrained": started_from,
        "training": [case.id for case in training],
        "validation": [case.id for case in validation],
        "prepared": FORMAT,
    }
    made_with = {"cohort": str(cohort), "device": str(hardware), "compiled": compiled, "skip_broken": skip_broken}
    if resume and not (folder / "run.json").exists():
        say(f"{folder}: holds no run to resume, so one is begun")
    _open_folder(folder, record, made_with, resume)
    if (folder / MODEL).exists():
        say(f"{folder / MODEL}: already finished")
        return folder / MODEL
    on_fault = (lambda fault: say(f"left out: {fault}")) if skip_broken else None
    # A run that goes on from another's weights must not show it the same patches, changed in the same way, again.
    draws = chosen.seed if started_from is None else chosen.seed + int(started_from["sha256"][:12], 16)
    run = _Run(
        out=folder,
        cache=Path(cache or folder.parent / "cache"),
        recipe=chosen,
        architecture=architecture,
        training=training,
        validation=validation,
        labels=labels,
        device=hardware,
        workers=workers,
        compiled=compiled,
        draws=draws,
        on_fault=on_fault,
        say=say,
    )
    _quiet()
    lightning.seed_everything(chosen.seed, verbose=False)
    if pretrained is None:
        network.reset_parameters(chosen.head_bias)
    return _train_stages(run, network)


def _train_stages(run: _Run, network: Cascade) -> Path:
    for number, stage in enumerate(run.recipe.stages):
        network = _train_stage(run, number, stage, network)
    finished = run.out / MODEL
    os.replace(run.out / f"stage-{len(run.recipe.stages) - 1}" / MODEL, finished)
    run.say(f"model: {finished}")
    return finished


def _take_weights(network: Cascade, architecture: Architecture, path: Path) -> dict[str, Any]:
    """Give a network the weights of a model of the same architecture; returns what a run's record says of it."""
    found, spec = load_model(path)
    if spec.architecture != architecture:
        raise InputError(
            f"{path}: has the architecture {spec.architecture}, which cannot start {architecture}; "
            "give the variant and --base-filters of the model"
        )
    network.load_state_dict(found.state_dict())
    return {"sha256": file_hash(path), "training": spec.training}


def _split(
    cohort: str | Path, recipe: Recipe, fold: int | Literal["all"], say: Callable[[str], None]
) -> tuple[list[Case], list[Case]]:
    """Cases to train on and cases to validate on."""
    everyone = find_cases(cohort)
    cases = [case for case in everyone if case.segmentation is not None]
    lacking = [case.id for case in everyone if case.segmentation is None]
    if lacking and cases:
        say(f"left out, for want of a segmentation: {', '.join(lacking)}")
    if not cases:
        raise InputError(f"{cohort}: no case has a segmentation, so there is nothing to learn from")
    if fold == "all":
        # Watched, not held out: the figures then say only that training goes on.
        patients = len({case.patient for case in cases})
        return cases, split_folds(cases, min(recipe.folds, patients), recipe.seed)[0] if patients > 1 else cases
    folds = split_folds(cases, recipe.folds, recipe.seed)
    if not 0 <= fold < len(folds):
        raise InputError(f"fold {fold}: there are folds 0 to {len(folds) - 1}, or 'all'")
    return [case for n, own in enumerate(folds) if n != fold for case in own], folds[fold]


def _open_folder(folder: Path, record: dict[str, Any], made_with: dict[str, Any], resume: bool) -> None:
    """Write what was asked for, or check that a resumed run was asked for the same.

    A run that stopped before it learned anything, for want of a file or so, may be begun anew.
    """
    path = folder / "run.json"
    if path.exists() and any(folder.glob("stage-*")):
        if not resume:
            raise InputError(f"{folder}: holds a run already; add --resume to go on with it, or name another folder")
        before = json.loads(path.read_text())
        if before.get("prepared", 1) != record["prepared"]:
            raise InputError(f"{folder}: was begun by another version, which prepared cases otherwise; begin anew")
        different = [key for key in record if record[key] != before.get(key)]
        if different:
            way = f", such as --recipe {folder / 'recipe.json'}" if "recipe" in different else ""
            raise InputError(
                f"{folder}: was begun with another {' and '.join(different)}; resume with the same one{way}"
            )
        return
    make_folder(folder)
    versions = {
        "tunetseg": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }
    for target, content in (
        (folder / "recipe.json", record["recipe"]),
        (path, {**record, "made_with": {**versions, **made_with}}),
    ):
        with whole_file(target) as partial:
            partial.write_text(json.dumps(content, indent=1))


def _train_stage(run: _Run, number: int, stage: Stage, network: Cascade) -> Cascade:
    """Train one stage, or load it if it is finished; returns its kept network."""
    folder = run.out / f"stage-{number}"
    finished = folder / MODEL
    if finished.exists():
        return load_model(finished)[0]
    preprocessing = Preprocessing(spacing=stage.spacing, denoise=run.recipe.denoise)
    cache = Cache(run.cache, preprocessing, run.labels)
    with progress_bar(f"preparing cases at {stage.spacing:g} mm", len(run.training) + len(run.validation)) as advance:
        training = cache.get_all(run.training, on_fault=run.on_fault, progress=advance)
        validation = cache.get_all(run.validation, on_fault=run.on_fault, progress=advance)
    if not training or not validation:
        side = "validate" if training else "train"
        raise InputError(f"no usable case is left to {side} on; repair the broken ones, or take another --fold")
    for name, used in (("training", training), ("validation", validation)):
        with whole_file(run.out / f"{name}.txt") as partial:
            partial.write_text("".join(f"{case.id}\n" for case in used))
    # Each stage draws anew.
    seed = run.draws + 1000 * number
    learned, watched = (
        _loader(run, stage, PatchDataset(cases, stage, network.stride, seed, training=on))
        for cases, on in ((training, True), (validation, False))
    )
    steps = stage.epochs * len(learned)
    module = TrainingModule(network, run.recipe, stage, steps, compiled=run.compiled)
    facts = {"recipe": run.recipe.name, "stage": number, "cases": len(training), "spacing": stage.spacing}

    def export(module: TrainingModule, path: Path) -> None:
        spec = ModelSpec(
            run.architecture,
            preprocessing,
            stage.patch,
            stage.whole_volume,
            training={**facts, "epochs": module.global_step // len(learned), "steps": module.global_step},
        )
        save_model(path, module.kept, spec)

    saver = SaveEachEpoch(folder, export)
    trainer = _trainer(run, stage, folder, saver)
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


def _loader(run: _Run, stage: Stage, dataset: PatchDataset) -> DataLoader:
    # Whole volumes differ in size, so they are validated one at a time.
    batch = stage.batch if dataset.training or stage.sampling == "grid" else 1
    return DataLoader(dataset, batch, sampler=EpochSampler(len(dataset)), num_workers=run.workers)


def _precision(run: _Run) -> Literal["bf16-mixed", "32-true"]:
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


def _trainer(run: _Run, stage: Stage, folder: Path, saver: SaveEachEpoch) -> lightning.Trainer:
    callbacks: list[lightning.Callback] = [saver, EpochLines()]
    if stage.stop_patience:
        callbacks.append(_Stop(stage))
    _spare_log(folder / "csv" / "metrics.csv")
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(run.device.type, run.device.type),
        devices=1 if run.device.index is None else [run.device.index],
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
        plugins=[SafeCheckpoints()],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )


def _quiet() -> None:
    """Keep Lightning's advice, which is not about this program's user, off the screen."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", module="lightning_fabric")
