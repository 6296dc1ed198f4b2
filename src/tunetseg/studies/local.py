"""Run tasks on this computer, several at the same time."""

import logging
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tunetseg.limits import processors
from tunetseg.progress import Progress, silent
from tunetseg.studies.plan import StudyPlan
from tunetseg.studies.tasks import Task

__all__ = ["gpus_of", "run_tasks", "share_of_cores"]

_LOG = logging.getLogger(__name__)

_POLL = 0.1
"""Seconds between two looks at the processes."""

_RETRIES = 3
"""How often a task that was killed, such as by a lack of memory, is started again."""


def share_of_cores(tasks: int, jobs: int | None = None, threads: int | None = None) -> tuple[int, int]:
    """Return how many tasks run at the same time, and the threads of each.

    Args:
        tasks: How many there are.
        jobs: How many at the same time; by default as many as have four cores each, or their threads.
        threads: Of each; by default its share of the cores.
    """
    cores = processors()
    jobs = max(1, min(tasks, jobs or max(1, cores // (threads or 4))))
    return jobs, threads or max(1, cores // jobs)


def gpus_of(plan: StudyPlan) -> list[str]:
    """Return the GPUs that models are shared out to; empty where there are none or each takes several."""
    if plan.settings.get("device", "auto") not in {"auto", "cuda"} or plan.settings.get("devices", 1) > 1:
        return []
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return given.split(",") if given else [str(number) for number in range(torch.cuda.device_count())]


@dataclass
class _Running:
    """A task that runs.

    Args:
        task: The task.
        slot: Its number among those that run at the same time.
        environment: Of its processes.
        step: Which of its commands runs.
        killed: How often it was killed.
    """

    task: Task
    slot: int
    environment: Mapping[str, str]
    step: int = 0
    killed: int = 0
    process: subprocess.Popen = field(init=False)

    def start(self) -> None:
        """Start the command that is next."""
        self.task.log.parent.mkdir(parents=True, exist_ok=True)
        with self.task.log.open("ab") as log:
            # In a session of its own, since Ctrl-C goes to every process of the terminal's.
            self.process = subprocess.Popen(
                self.task.commands[self.step],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.environment),
                start_new_session=True,
            )

    def ended(self) -> int | None:
        """Start what is next where a command has ended; return the exit code when all is over."""
        code = self.process.poll()
        if code is None:
            return None
        if code == 0 and self.step + 1 < len(self.task.commands):
            self.step += 1
        elif code < 0 and self.killed < _RETRIES:
            self.killed += 1
            _LOG.warning("%s: was killed by signal %d; begun again", self.task.name, -code)
        else:
            return code
        self.start()
        return None


def run_tasks(
    tasks: Sequence[Task],
    *,
    jobs: int = 1,
    threads: int = 1,
    gpus: Sequence[str] = (),
    on_end: Callable[[Task, int], None] = lambda task, code: None,
    progress: Progress = silent,
) -> dict[str, int]:
    """Run tasks, some at the same time.

    On Ctrl-C or SIGTERM the tasks are told to stop by SIGTERM and waited for.

    Args:
        tasks: Each is tried, whatever becomes of the others.
        jobs: How many at the same time.
        threads: Threads of each process.
        gpus: GPUs that are shared out among the tasks that run at the same time.
        on_end: Called with each task that has ended and its exit code.
        progress: Told after each task.

    Returns:
        Name -> exit code of the last command that was run.
    """
    waiting, running, codes = deque(tasks), list[_Running](), dict[str, int]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                slot = min({*range(jobs)} - {other.slot for other in running})
                one = _Running(waiting.popleft(), slot, _environment(threads, gpus, slot))
                one.start()
                running.append(one)
            time.sleep(_POLL)
            for one in [*running]:
                code = one.ended()
                if code is not None:
                    running.remove(one)
                    codes[one.task.name] = code
                    on_end(one.task, code)
                    progress("models and segmentations", len(codes), len(tasks))
    except BaseException:
        _stop(running)
        raise
    return codes


def _environment(threads: int, gpus: Sequence[str], slot: int) -> dict[str, str]:
    own = {"OMP_NUM_THREADS": str(threads)}
    if gpus:
        own["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    return {**os.environ, **own}


def _stop(running: Sequence[_Running]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for one in running:
            with suppress(ProcessLookupError):
                one.process.send_signal(number)
        try:
            for one in running:
                one.process.wait()
        except KeyboardInterrupt:  # asked for again
            continue
        return
