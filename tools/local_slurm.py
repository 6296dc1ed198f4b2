"""Start or stop a real SLURM on this computer, for tests: one controller, several nodes, a partition that preempts.

    python tools/local_slurm.py start FOLDER [--nodes 2] [--processors 1]
    export SLURM_CONF=FOLDER/slurm.conf
    sbatch ...
    python tools/local_slurm.py lose FOLDER node1     # the node dies with all that runs on it
    python tools/local_slurm.py return FOLDER node1
    python tools/local_slurm.py stop FOLDER

Needs Debian's packages slurm-wlm and munge (apt-get install slurm-wlm munge) and no configuration; nothing outside the
folder is changed. Jobs of the partition ``high`` preempt those of ``low``, the default, which are then requeued.
"""

import argparse
import getpass
import os
import secrets
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch")

CONFIGURATION = """
ClusterName=local
SlurmctldHost=localhost(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=5
SchedulerParameters=bf_interval=2,sched_min_interval=500000,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=node[1-{nodes}] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs={processors}
PartitionName=low Nodes=node[1-{nodes}] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=node[1-{nodes}] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str:
    """Return why SLURM cannot be started here; empty where it can."""
    absent = [name for name in NEEDED if shutil.which(name, path=_path()) is None]
    return f"no {', '.join(absent)}; apt-get install slurm-wlm munge" if absent else ""


def start(folder: Path, *, nodes: int = 2, processors: int = 1) -> None:
    """Start all daemons, and wait until the nodes are idle."""
    (folder / "state").mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    port = 20000 + os.getpid() % 2000 * 5  # so that several can run on one computer
    values = {"user": getpass.getuser(), "folder": folder, "port": port, "first": port + 1, "last": port + nodes}
    text = CONFIGURATION.format(**values, nodes=nodes, processors=processors)
    (folder / "slurm.conf").write_text(text, encoding="utf-8")
    files = [f"--{name}={folder}/{file}" for name, file in (("key-file", "munge.key"), ("socket", "munge.socket"))]
    files += [f"--{name}-file={folder}/munged.{name}" for name in ("pid", "log", "seed")]
    _run(folder, "munged", "--force", *files)
    _run(folder, "slurmctld")
    for number in range(1, nodes + 1):
        bring_back(folder, f"node{number}")
    for _ in range(60):
        if _run(folder, "sinfo", "-h", "-p", "low", "-t", "idle", "-o", "%D").strip() == str(nodes):
            return
        time.sleep(0.5)
    raise SystemExit(f"the nodes do not come up; see the logs in {folder}")


def bring_back(folder: Path, node: str) -> None:
    """Start the daemon of a node."""
    _run(folder, "slurmd", "-N", node)


def lose(folder: Path, node: str) -> None:
    """Kill the daemon of a node and all that it has started, without a word to anyone."""
    waiting = [int((folder / f"slurmd-{node}.pid").read_text())]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes().startswith(b"slurmstepd") and f"/slurmd-{node}.log" in _files_of(path.parent):
                waiting.append(int(path.parent.name))
    children = _children()
    for process in waiting:  # grows while it is walked
        waiting += children.get(process, [])
    for process in waiting:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _files_of(process: Path) -> str:
    """Return the names of all files that a process has open, its log among them."""
    names = []
    for path in (process / "fd").iterdir():
        with suppress(OSError):
            names.append(os.readlink(path))
    return "\n".join(names)


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            parent = int(path.read_text(encoding="latin-1").rpartition(")")[2].split()[1])
            found.setdefault(parent, []).append(int(path.parent.name))
    return found


def stop(folder: Path) -> None:
    """Cancel all jobs and end all daemons."""
    with suppress(subprocess.CalledProcessError, FileNotFoundError):
        _run(folder, "scancel", "--user", getpass.getuser())
        time.sleep(1)
    for path in sorted(folder.glob("*.pid"), reverse=True):  # the daemons of SLURM, then munged
        with suppress(OSError, ValueError):
            _end(int(path.read_text()))


def _end(process: int, patience: float = 5.0) -> None:
    """Tell a daemon to end; kill it where it does not, such as while it waits for a step that hangs."""
    os.kill(process, signal.SIGTERM)
    until = time.monotonic() + patience
    while time.monotonic() < until:
        time.sleep(0.1)
        os.kill(process, 0)  # raises where it has ended
    os.kill(process, signal.SIGKILL)


def _run(folder: Path, *words: str) -> str:
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["start", "stop", "lose", "return"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("node", nargs="?")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--processors", type=int, default=1)
    given = parser.parse_args()
    folder = given.folder.resolve()
    if given.action == "start":
        if reason := missing():
            raise SystemExit(reason)
        start(folder, nodes=given.nodes, processors=given.processors)
    elif given.action == "stop":
        stop(folder)
    else:
        {"lose": lose, "return": bring_back}[given.action](folder, given.node)


if __name__ == "__main__":
    main()
