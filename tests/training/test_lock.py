"""One writer per run folder: refused while the holder is alive, taken over when it is gone."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from tunetseg.errors import InputError
from tunetseg.training import lock
from tunetseg.training.lock import Holder, RunLock, read_holder

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def hold_elsewhere(folder: Path, number: int = 0) -> Path:
    """Write the lock of a process on another computer."""
    path = folder / f".lock-{number}"
    path.write_bytes(msgspec.json.encode(Holder(host="node7", pid=1, job="12_3", machine="another", began=5)))
    return path


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "STALE", 0.5)
    monkeypatch.setattr(lock, "BEAT", 0.05)


@linux
def test_a_second_writer_is_refused_at_once_and_told_by_whom(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        began = time.monotonic()
        with pytest.raises(InputError, match=f"process {os.getpid()} on .* is training there"):
            RunLock(tmp_path).__enter__()
        assert time.monotonic() - began < 1
    with RunLock(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".lock-1"]


@linux
def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from tunetseg.training.lock import RunLock\n"
    code += "RunLock(Path(sys.argv[1])).__enter__(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    holder = read_holder(tmp_path)
    assert holder is not None
    assert holder.alive is False
    with RunLock(tmp_path):
        found = read_holder(tmp_path)
        assert found is not None
        assert found.pid == os.getpid()


@linux
def test_a_process_of_the_same_number_is_not_the_holder(tmp_path: Path) -> None:
    own = lock._own()
    earlier = msgspec.structs.replace(own, began=own.began - 1)
    (tmp_path / ".lock-0").write_bytes(msgspec.json.encode(earlier))
    with RunLock(tmp_path):
        pass


@pytest.mark.usefixtures("impatient")
def test_a_lost_computer_is_waited_for_and_then_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hold_elsewhere(tmp_path)
    with RunLock(tmp_path):
        assert "process 1 on node7, job 12_3 is gone" in caplog.text
        assert (tmp_path / ".lock-1").exists()


@pytest.mark.usefixtures("impatient")
def test_a_computer_that_gives_signs_of_life_is_not_replaced_whatever_its_clock_says(tmp_path: Path) -> None:
    path, end = hold_elsewhere(tmp_path), threading.Event()

    def beat() -> None:
        times = iter(range(1000))
        while not end.wait(0.05):
            os.utime(path, (0, 10 - next(times) / 1000))  # of 1970, and running backwards

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(InputError, match="node7"):
            RunLock(tmp_path).__enter__()
    finally:
        end.set()
        thread.join()


@pytest.mark.usefixtures("impatient")
def test_a_damaged_lock_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / ".lock-4").write_bytes(b"")
    with RunLock(tmp_path):
        assert (tmp_path / ".lock-5").exists()


@pytest.mark.usefixtures("impatient")
def test_the_holder_gives_signs_of_life(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        before = lock._mark(tmp_path / ".lock-0")
        time.sleep(0.3)
        assert lock._mark(tmp_path / ".lock-0") != before


def test_a_holder_that_was_replaced_writes_nothing_more(tmp_path: Path) -> None:
    """As after a computer that stood still for minutes."""
    with RunLock(tmp_path) as own:
        own.check()
        path = hold_elsewhere(tmp_path, 1)
        with pytest.raises(InputError, match="was taken over by process 1 on node7"):
            own.check()
        before = path.read_bytes()
    assert path.read_bytes() == before


def test_one_of_many_takes_the_place_of_a_holder_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / ".lock-0").write_bytes(msgspec.json.encode(Holder(host="a", pid=1, released=True)))
    entered, refused, end = [], [], threading.Event()
    start = threading.Barrier(8)

    def take() -> None:
        start.wait()
        try:
            with RunLock(tmp_path):
                entered.append(1)
                end.wait(10)
        except InputError:
            refused.append(1)
            if len(refused) == 7:
                end.set()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(entered), len(refused)) == (1, 7)


def test_the_name_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert lock.job_name() == "7"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "5")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert lock.job_name() == "5_2"
