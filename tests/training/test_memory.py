"""Memory that training frees stays with the process."""

import subprocess
import sys

import pytest

CHILD = """
import resource
from tunetseg.training.memory import keep_freed_memory

keep_freed_memory()
faults, size = [], 64 * 2**20
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * size
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(*faults)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has these settings")
def test_freed_memory_is_not_asked_for_again() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    later = [int(word) for word in done.stdout.split()][1:]
    assert max(later) < 1000, "64 MiB are 16384 pages"
