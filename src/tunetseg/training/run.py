"""A training run: one fold of one recipe, all its stages, in one folder."""

import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as lightning
import torch
from filelock import FileLock, Timeout

from tunetseg import __version__
from tunetseg.datasets import Case, find_cases, fitting_scheme
from tunetseg.datasets.folds import split_folds
from tunetseg.errors import InputError
from tunetseg.io.files import make_folder, whole_file
from tunetseg.models.device import choose_device
from tunetseg.models.store import file_hash, load_model
from tunetseg.models.zoo import MODEL, find_model
from tunetseg.networks import Architecture, Cascade, build_network
from tunetseg.preparation.cache import FORMAT
from tunetseg.training.recipes import Recipe, recipe_named
from tunetseg.training.stage import Run, train_stage

__all__ = ["train"]

_COMPILERS = ("g++", "clang++", "c++", "cl")


def _say(line: str) -> None:
    print(line, flush=True)


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
    say: Callable[[str], None] = _say,
) -> Path:
    """Train one model.

    Args:
        cohort: Folder of cases with segmentations.
        out: Run folder: recipe, patients of each side, the weights it starts from, logs, checkpoints, and at the end
            ``model.safetensors``.
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
    if labels is not None:
        fitting_scheme(labels, architecture.regions)
    training, validation = _split(cohort, chosen, fold, say)
    start = None if pretrained is None else find_model(pretrained)
    network, started_from = _begin(architecture, chosen, start)
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
    with _alone(make_folder(out)) as folder:
        _open_folder(folder, record, made_with, start, resume, say)
        finished = folder / MODEL
        if finished.exists():
            say(f"{finished}: already finished")
            return finished
        run = Run(
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
            pretrained=started_from["sha256"] if started_from else None,
            # A run that goes on from another's weights must not show it the same patches, changed in the same way.
            draws=chosen.seed + (int(started_from["sha256"][:12], 16) if started_from else 0),
            on_fault=(lambda fault: say(f"left out: {fault}")) if skip_broken else None,
            say=say,
        )
        for number in range(len(chosen.stages)):
            network = train_stage(run, number, network)
        os.replace(folder / f"stage-{number}" / MODEL, finished)
    say(f"model: {finished}")
    return finished


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """A run folder that no other process trains in; the system lets go of it however this one ends.

    After a kill its workers may hold it for some seconds more.
    """
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield folder
    except Timeout:
        raise InputError(f"{folder}: another process is training there; wait for it, or name another folder") from None


def _begin(architecture: Architecture, recipe: Recipe, start: Path | None) -> tuple[Cascade, dict[str, Any] | None]:
    """The network that the first stage trains, and what a run's record says of the model its weights are from."""
    network = build_network(architecture)
    lightning.seed_everything(recipe.seed, verbose=False)
    if start is None:
        network.reset_parameters(recipe.head_bias)
        return network, None
    found, spec = load_model(start)
    if spec.architecture != architecture:
        raise InputError(
            f"{start}: has the architecture {spec.architecture}, which cannot start {architecture}; "
            "give the variant and --base-filters of the model"
        )
    return found, {"sha256": file_hash(start), "training": spec.training}


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


def _open_folder(
    folder: Path,
    record: dict[str, Any],
    made_with: dict[str, Any],
    start: Path | None,
    resume: bool,
    say: Callable[[str], None],
) -> None:
    """Write what was asked for, or check that a resumed run was asked for the same.

    A run that stopped before it learned anything, for want of a file or so, may be begun anew.
    """
    path = folder / "run.json"
    if (folder / MODEL).exists() or any(folder.glob("stage-*")):
        if not resume:
            raise InputError(f"{folder}: holds a run already; add --resume to go on with it, or name another folder")
        _check_same(path, record)
        return
    if resume and not path.exists():
        say(f"{folder}: holds no run to resume, so one is begun")
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
        with whole_file(target, durable=True) as aside:
            aside.write_text(json.dumps(content, indent=1))
    if start is not None:
        with whole_file(folder / "start.safetensors", durable=True) as aside:
            shutil.copyfile(start, aside)


def _check_same(path: Path, record: dict[str, Any]) -> None:
    """Raise InputError where the record of a run is not of the run that is asked for."""
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):
        raise InputError(f"{path}: is missing or damaged, so its run cannot be resumed; name another folder") from None
    if before.get("prepared", 1) != record["prepared"]:
        raise InputError(f"{path.parent}: was begun by another version, which prepared cases otherwise; begin anew")
    different = [key for key in record if record[key] != before.get(key)]
    if different:
        way = f", such as --recipe {path.parent / 'recipe.json'}" if "recipe" in different else ""
        raise InputError(
            f"{path.parent}: was begun with another {' and '.join(different)}; resume with the same one{way}"
        )
