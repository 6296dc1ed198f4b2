"""A short run of the fuzz; the long one is run by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="it needs signals of Unix")
def test_damaged_inputs_are_refused_or_used_rightly() -> None:
    """Kind by kind, in a process of its own, whose memory and time are watched."""
    for package in ("pydicom", "highdicom", "SimpleITK", "jinja2"):
        pytest.importorskip(package, reason="the extras dicom, formats and plot are not installed")
    call = [sys.executable, str(ROOT / "benchmarks/fuzz.py"), "--cases", "200", "--commands", "0.05"]
    done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines()[2:]]
    assert len(rows) == 14
    assert sum(int(row[1]) for row in rows) >= 190
    assert sum(int(row[2]) for row in rows) > 20, "some are used"
    assert sum(int(row[3]) for row in rows) > 50, "most are refused"
