"""The short version of benchmarks/kills.py: SIGKILL at random moments, then the same weights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks/kills.py"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks a process that has imported everything")
def test_killed_at_random_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    words = [sys.executable, str(BENCHMARK), "--kills", "3", "--folder", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["kills"] >= 3
    assert facts["same"] == facts["runs"]
    assert facts.get("left over", 0) == 0
