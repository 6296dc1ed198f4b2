"""A training run: planned, prepared and trained, in one folder."""

import json
import logging
import os
import platform
import shutil
import signal
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from tunetseg import __version__
from tunetseg.errors import InputError, Terminated
from tunetseg.io.bounded import read_text
from tunetseg.io.files import make_folder, read_json, whole_file
from tunetseg.io.scratch import remove_leftovers
from tunetseg.models import export
from tunetseg.models.store import load_network, read_spec
from tunetseg.models.zoo import MODEL
from tunetseg.preparation.cache import CachedCase
from tunetseg.preparation.pack import PackedCase
from tunetseg.progress import Progress, silent
from tunetseg.training.callbacks import SNAPSHOT, Clock
from tunetseg.training.checkpoint import find_checkpoint
from tunetseg.training.config import TrainConfig
from tunetseg.training.lock import RunLock
from tunetseg.training.planning import Plan, plan, start_network
from tunetseg.training.processes import Processes, run_together, started_by_others
from tunetseg.training.stage import Session, stage_folder, train_stage
from tunetseg.training.state import StateFile
from tunetseg.training.stopping import StopRequest, StopTraining

__all__ = ["fit", "prepare", "train"]

_LOG = logging.getLogger(__name__)


def train(config: TrainConfig | None = None, *, progress: Progress = silent, **settings: Any) -> Path:
    """Train one model.

    The work is `plan`, `prepare` and `fit`. Interrupted by Ctrl-C, SIGTERM or SIGUSR1, it saves after the step, and the
    same call with ``resume=True`` continues to the same weights as if it had not been interrupted. Nothing is printed;
    see the logger ``tunetseg``.

    Args:
        config: The run.
        progress: Told what is done.
        settings: Fields of `TrainConfig`, in place of ``config``.

    Returns:
        Path of the finished model in the run folder.

    Raises:
        InputError: Cohort, recipe, network or run folder cannot be used.
        KeyboardInterrupt: Ctrl-C was pressed.
        Terminated: SIGTERM or SIGUSR1 arrived.

    Examples:
        >>> train(cohort="brats2021", out="runs/fold-0", recipe="quick", fold=0)  # doctest: +SKIP
        PosixPath('runs/fold-0/model.safetensors')
    """
    if config is None:
        config = TrainConfig(**settings)
    elif settings:
        raise TypeError("give either a configuration or its fields, not both")
    clock = Clock(config.max_minutes)
    return fit(plan(config), progress=progress, clock=clock)


Cases = Sequence[CachedCase | PackedCase]
Prepared = dict[float, tuple[Cases, Cases]]
"""Working spacing -> prepared cases to train and to validate on."""


def prepare(run: Plan, *, progress: Progress = silent) -> Prepared:
    """Bring every case into the cache, at the spacing of every stage, several cases at the same time.

    Other processes may prepare the same cases meanwhile: each entry is built once.

    Returns:
        The prepared cases.

    Raises:
        InputError: A case is broken and the run does not skip broken ones, or no case is left.
    """

    def leave_out(fault: InputError) -> None:
        _LOG.warning("left out: %s", fault)

    result: Prepared = {}
    for number, stage in enumerate(run.recipe.stages):
        if stage.spacing in result:
            continue
        store, on_fault = run.store(number), leave_out if run.config.skip_broken else None
        training, validation = (
            store.get_all(list(cases), on_fault=on_fault, progress=progress) for cases in (run.training, run.validation)
        )
        for side, cases in (("training", training), ("validation", validation)):
            if not cases:
                raise InputError(f"no usable case is left for {side}; repair the broken ones, or choose another fold")
        result[stage.spacing] = training, validation
    return result


def fit(run: Plan, *, progress: Progress = silent, clock: Clock | None = None) -> Path:
    """Train a planned run, on one or several devices.

    Args:
        run: The run. Cases that are not prepared yet are prepared first.
        progress: Told what is done.
        clock: When the time budget began; now by default.

    Returns:
        Path of the finished model in the run folder.

    Raises:
        InputError: The run folder belongs to another run, is in use, or a case is broken.
        KeyboardInterrupt: Ctrl-C was pressed.
        Terminated: SIGTERM arrived.
    """
    clock = clock or Clock(run.config.max_minutes)
    count = run.config.devices
    place = Processes() if count == 1 else started_by_others(count)
    first = place is None or place.first
    folder = make_folder(run.out)
    # Of several processes that train together only the first locks.
    with RunLock(folder) if first else nullcontext() as lock:
        if first:
            _open_folder(run)
            for used in (*folder.glob("stage-*"), run.cache):
                remove_leftovers(used)
        if (folder / MODEL).exists():
            _LOG.info("%s: already finished", folder / MODEL)
            return folder / MODEL
        stages = len(run.recipe.stages)
        state = StateFile(folder, enabled=first, stages=stages, max_minutes=run.config.max_minutes)
        stop = StopRequest()
        with _reported(state, clock, stop):
            prepared = prepare(run, progress=progress if first else silent)
            if first:
                _write_lists(run, prepared)

            def work(place: Processes) -> Path:
                return _train_stages(Session(run, place, clock, state, stop, progress, lock), prepared)

            return work(place) if place else run_together(work, _help, (run, prepared), count)


def _help(argument: tuple[Plan, Prepared], place: Processes) -> None:
    """Train in a process that was started for it."""
    run, prepared = argument
    state = StateFile(run.out, enabled=False)
    _train_stages(Session(run, place, Clock(run.config.max_minutes), state, StopRequest(), silent), prepared)


def _train_stages(session: Session, prepared: Prepared) -> Path:
    """Train the stages in order, or load what they have left."""
    run, processes = session.plan, session.processes
    finished = run.out / MODEL
    with processes.joined(session.device):
        _check_same_cases(session, prepared)
        network = start_network(run)
        for number, stage in enumerate(run.recipe.stages):
            model = stage_folder(run, number) / MODEL
            if model.exists():
                session.clock.earlier = read_spec(model).training["seconds"]
                network = load_network(model)[0]
            else:
                network = train_stage(session, number, network, *prepared[stage.spacing])
        processes.barrier()
        if processes.first:
            _write_onnx(model, finished)
            os.replace(model, finished)
            (run.out / SNAPSHOT).unlink(missing_ok=True)
            _LOG.info("model: %s", finished)
        processes.barrier()
    return finished


def _check_same_cases(session: Session, prepared: Prepared) -> None:
    """Raise InputError where the processes have left out different cases: their batches would not fit together."""
    names = repr([[case.id for case in cases] for sides in prepared.values() for cases in sides])
    mark = float(zlib.crc32(names.encode()) >> 8)  # exact in float32
    largest, least = session.processes.largest([mark, -mark], session.device)
    if largest != -least:
        raise InputError("the processes read different cases; look for cases that are left out on one computer only")


def _write_onnx(model: Path, finished: Path) -> None:
    """Write the ONNX file that will stand next to the finished model, where its network can be written so."""
    try:
        export.write_companion(model, finished)
    except (InputError, ModuleNotFoundError) as error:
        _LOG.warning("%s; the model needs PyTorch to segment", error)


@contextmanager
def _reported(state: StateFile, clock: Clock, stop: StopRequest) -> Iterator[None]:
    """Write how a session ended, and turn a stop into the exception that callers know."""
    try:
        yield
    except (StopTraining, KeyboardInterrupt, SystemExit) as error:
        terminated = stop.signum not in {0, signal.SIGINT} or isinstance(error, Terminated)
        name = "SIGTERM" if terminated else "Ctrl-C"
        state.update(status="stopped", message=f"stopped by {name}", seconds=round(clock.spent, 1))
        _LOG.warning("stopped by %s; resume the run to continue from its last checkpoint", name)
        raise (Terminated if terminated else KeyboardInterrupt) from None
    except BaseException as error:
        state.update(status="failed", message=f"{type(error).__name__}: {error}", seconds=round(clock.spent, 1))
        raise
    state.update(status="finished", message="", seconds=round(clock.spent, 1))


def _write_lists(run: Plan, prepared: Prepared) -> None:
    """Write the names of the cases of both sides, or check that a resumed run has the same.

    Cases that are trained on are not listed for validation.
    """
    stages = [stage_folder(run, number) for number in range(len(run.recipe.stages))]
    begun = any(find_checkpoint(stage) is not None or (stage / MODEL).exists() for stage in stages)
    for side, cases in zip(("training", "validation"), next(iter(prepared.values())), strict=True):
        if side == "validation" and not run.unseen:
            continue
        path, names = run.out / f"{side}.txt", [case.id for case in cases]
        if begun and path.exists() and (before := read_text(path).split("\n")[:-1]) != names:
            changed = ", ".join(sorted({*before} ^ {*names}))
            raise InputError(f"{path}: the run began with other cases ({changed}); restore them, or start a new run")
        with whole_file(path) as partial:
            partial.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def _open_folder(run: Plan) -> None:
    """Write what was asked for, or check that a resumed run was asked for the same.

    A run that stopped before it learned anything may be started again.
    """
    folder, record = run.out, run.record
    path = folder / "run.json"
    environment = {
        "tunetseg": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }
    content = {**record, "config": json.loads(run.config.to_json()), "environment": environment}
    if (folder / MODEL).exists() or any(folder.glob("stage-*")):
        if not run.config.resume:
            raise InputError(f"{folder}: holds a run already; resume it, or choose another folder")
        before = _check_same(path, record)
        _tell_changes(before.get("environment"), environment)
    else:
        if run.config.resume and not path.exists():
            _LOG.info("%s: holds no run to resume, so one is started", folder)
        _write_json(folder / "recipe.json", record["recipe"])
        if run.pretrained is not None:
            with whole_file(folder / "start.safetensors", durable=True) as partial:
                shutil.copyfile(run.pretrained, partial)
    _write_json(path, content)


def _write_json(path: Path, content: Any) -> None:
    with whole_file(path, durable=True) as partial:
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _tell_changes(before: Any, now: dict[str, Any]) -> None:
    """Warn where a run is resumed by other software or with other threads, whose sums are rounded differently."""
    if not isinstance(before, dict):
        return
    changed = [f"{name} {before.get(name)} -> {value}" for name, value in now.items() if before.get(name) != value]
    if changed:
        _LOG.warning(
            "the run was started in another environment (%s), so its weights will not be bit for bit those of an "
            "uninterrupted run",
            ", ".join(changed),
        )


def _check_same(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Return the record that a run left; raise InputError where it is not of the run that is asked for."""
    before = read_json(path)
    if not before:
        raise InputError(f"{path}: missing or damaged, so its run cannot be resumed; choose another folder") from None
    if before.get("cache_format") != record["cache_format"]:
        raise InputError(
            f"{path.parent}: was started by another version, which prepared cases differently; start a new one"
        )
    different = [key for key in record if record[key] != before.get(key)]
    if different:
        way = f", such as the recipe {path.parent / 'recipe.json'}" if "recipe" in different else ""
        raise InputError(
            f"{path.parent}: was started with another {' and '.join(different)}; resume with the same one{way}"
        )
    return before
