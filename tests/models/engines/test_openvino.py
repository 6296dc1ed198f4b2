"""What OpenVINO does to the process that uses it."""

import subprocess
import sys

_TWO_ENGINES = """
import os, signal
from tunetseg.models.engines.openvino import OpenVinoEngine
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
one, other = OpenVinoEngine(), OpenVinoEngine()
assert one.prove() and other.prove()
del one
del other
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_signals_are_handled_after_two_engines() -> None:
    """Two cores of OpenVINO left a freed stack for signal handlers: SIGSEGV."""
    done = subprocess.run([sys.executable, "-c", _TWO_ENGINES], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
