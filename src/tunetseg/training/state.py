"""``state.json`` of a run folder: where a run stands, for readers and programs. Light: torch is not imported here."""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tunetseg.io.files import whole_file
from tunetseg.training.lock import job_name

__all__ = ["SAMPLES", "STATE", "RunState", "Scores", "StateFile", "read_state"]

STATE = "state.json"

SAMPLES = "samples.npz"
"""Name of the slices of validation cases, in the folder of a stage."""


class Scores(Struct, frozen=True, kw_only=True):
    """One validation.

    Args:
        stage: Stage, from 0.
        epoch: Epochs that were done, the last of them possibly cut short.
        loss: Mean loss over the batches of the validation, which are whole cases where patches are.
        dice: Region -> mean Dice over the validation cases at the working spacing.
    """

    stage: int
    epoch: int
    loss: float
    dice: dict[str, float]


class RunState(Struct, frozen=True, kw_only=True):
    """Where a run stands.

    Args:
        status: ``running``; ``finished``: the model is there; ``failed``: ended by an error; ``stopped``: by a signal
            or an interrupt, so it can be resumed. A run that was killed stays ``running`` and is no longer updated.
        stage: Stage, from 0.
        stages: Number of stages.
        epoch: Epochs of the stage that are done.
        epochs: Epochs of the stage in all.
        best: Validation of the stage with the lowest loss.
        last: Latest validation.
        message: Why the run failed or stopped.
        seconds: Time spent on the run so far, over all its sessions.
        max_minutes: Its time budget, if any.
        host: Name of the computer.
        pid: Process.
        job: Job of the scheduler, if any.
        started: When this session began, in UTC.
        updated: When this was written, in UTC.
    """

    status: Literal["running", "finished", "failed", "stopped"] = "running"
    stage: int = 0
    stages: int = 1
    epoch: int = 0
    epochs: int = 0
    best: Scores | None = None
    last: Scores | None = None
    message: str = ""
    seconds: float = 0.0
    max_minutes: float | None = None
    host: str = ""
    pid: int = 0
    job: str | None = None
    started: str = ""
    updated: str = ""


def read_state(folder: str | Path) -> RunState | None:
    """Return the state of a run folder; None where there is none or it is damaged."""
    try:
        return msgspec.json.decode((Path(folder) / STATE).read_bytes(), type=RunState)
    except (OSError, msgspec.MsgspecError):
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class StateFile:
    """Writes the state of a run, each time as a whole file.

    Args:
        folder: Run folder.
        enabled: False writes nothing: only one of several processes writes.
        facts: First values of fields of the state.
    """

    def __init__(self, folder: Path, *, enabled: bool = True, **facts: Any) -> None:
        self.path = folder / STATE
        self.enabled = enabled
        self.state = RunState(host=socket.gethostname(), pid=os.getpid(), job=job_name(), started=_now(), **facts)

    def update(self, **changes: Any) -> None:
        """Change fields and write the file."""
        self.state = msgspec.structs.replace(self.state, updated=_now(), **changes)
        if self.enabled:
            with whole_file(self.path) as partial:
                partial.write_bytes(msgspec.json.format(msgspec.json.encode(self.state), indent=1) + b"\n")
