"""Processes that train together, one per device: started here, or by srun or torchrun."""

import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import torch
from pytorch_lightning.plugins.environments import ClusterEnvironment, SLURMEnvironment
from torch import distributed

from tunetseg.errors import InputError
from tunetseg.training.stopping import StopTraining

__all__ = ["Processes", "run_together", "started_by_others"]

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Processes:
    """Place of this process among those that train together.

    Args:
        rank: Its number.
        size: How many there are.
        local_rank: Its number on its computer.
        nodes: How many computers there are.
        address: Where they meet, for torch.distributed.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    nodes: int = 1
    address: str = ""

    @property
    def first(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def largest(self, values: list[float], device: torch.device) -> list[float]:
        """Return the largest of each value over all processes."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64 if device.type != "mps" else torch.float32, device=device)
        distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
        return tensor.tolist()

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Keep this process connected to the others."""
        if self.size == 1:
            yield
            return
        if device.type == "cuda":
            torch.cuda.set_device(self.local_rank)
        if self.address.startswith("file:"):
            self._wait_for_others()
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, init_method=self.address, rank=self.rank, world_size=self.size)
        try:
            yield
        finally:
            distributed.destroy_process_group()

    def _wait_for_others(self) -> None:
        """Wait until all processes have come as far; torch.distributed would wait for one that has died."""
        folder = Path(self.address.removeprefix("file://")).parent
        (folder / f"process-{self.rank}").touch()
        while len([*folder.glob("process-*")]) < self.size:
            parent = multiprocessing.parent_process()
            if (folder / "failed").exists() or (parent is not None and not parent.is_alive()):
                raise RuntimeError("another training process failed")
            time.sleep(0.02)

    def environment(self) -> ClusterEnvironment:
        """Return the same for Lightning."""
        return _Environment(self)


class _Environment(ClusterEnvironment):
    """Tells Lightning where this process stands, whatever a scheduler's variables say.

    Lightning's own environment of SLURM would requeue jobs and load what it left.
    """

    def __init__(self, processes: Processes) -> None:
        super().__init__()
        self.processes = processes

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"  # not used: the processes are joined before

    @property
    def main_port(self) -> int:
        return 0

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.processes.size

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self.processes.rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self.processes.local_rank

    def node_rank(self) -> int:
        return self.processes.rank // (self.processes.size // self.processes.nodes)


def started_by_others(count: int) -> Processes | None:
    """Return the place of this process where torchrun or srun started ``count`` processes, else None."""
    given = os.environ
    if given.get("WORLD_SIZE") == str(count) and "RANK" in given and "LOCAL_RANK" in given:
        nodes = count // int(given.get("LOCAL_WORLD_SIZE", count))
        return Processes(int(given["RANK"]), count, int(given["LOCAL_RANK"]), nodes, "env://")
    if given.get("SLURM_STEP_NUM_TASKS") == str(count) and "SLURM_PROCID" in given:
        host = _first_host(given)
        # Steps of one job, and jobs on one computer, must not meet at the same port.
        port = 20000 + (int(given.get("SLURM_JOB_ID", 0)) * 17 + int(given.get("SLURM_STEP_ID", 0))) % 20000
        nodes = int(given.get("SLURM_STEP_NUM_NODES", 1))
        return Processes(int(given["SLURM_PROCID"]), count, int(given["SLURM_LOCALID"]), nodes, f"tcp://{host}:{port}")
    return None


def _first_host(given: Mapping[str, str]) -> str:
    """Return where the first process of a step of SLURM is: the name of its node, or an address where it has none.

    The address is that of srun, which job scripts start on the first node.
    """
    host = SLURMEnvironment.resolve_root_node_address(given.get("SLURM_STEP_NODELIST", "127.0.0.1"))
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return given.get("SLURM_LAUNCH_NODE_IPADDR", host)
    return host


def run_together(
    first: Callable[[Processes], Result],
    other: Callable[[Argument, Processes], Any],
    argument: Argument,
    count: int,
) -> Result:
    """Call a function here, and another in new processes at the same time.

    Args:
        first: Called in this process, with its place.
        other: Called in the other processes. It is importable by name.
        argument: Of ``other``. It can be pickled.
        count: Number of processes, this one included.

    Returns:
        What ``first`` returned.

    Raises:
        RuntimeError: Another process failed.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="tunetseg-") as folder:
        address = (Path(folder) / "meeting-point").as_uri()
        others = [
            context.Process(target=_call, args=(other, argument, Processes(rank, count, rank, 1, address)))
            for rank in range(1, count)
        ]
        for process in others:
            process.start()
        Thread(target=_watch, args=(others, Path(folder)), daemon=True).start()
        try:
            result = first(Processes(0, count, 0, 1, address))
            for process in others:
                process.join(timeout=60)
        except RuntimeError as error:
            for process in others:
                process.join(timeout=5)
            codes = [process.exitcode for process in others if process.exitcode]
            if codes:
                raise RuntimeError(f"one of the {count} training processes ended with code {codes[0]}") from error
            raise
        finally:
            for process in others:
                process.kill()
        return result


def _watch(others: Sequence[BaseProcess], folder: Path) -> None:
    """Leave word in the folder when one of the processes fails."""
    running = {process.sentinel: process for process in others}
    while running:
        for sentinel in wait([*running]):
            process = running.pop(sentinel)  # type: ignore[arg-type]
            process.join()  # its exit code is not known earlier
            if process.exitcode and folder.exists():
                (folder / "failed").touch()


def _call(other: Callable[[Argument, Processes], Any], argument: Argument, place: Processes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides
    try:
        other(argument, place)
    except (InputError, KeyboardInterrupt, StopTraining):  # the first process raises and reports the same
        sys.exit(1)
