"""Writes the lock files again, with the hashes of every file that the package index has of each pinned version.

Change or add lines ``name==version`` of requirements.lock first. Needs uv.

python tools/lock.py
"""

import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
_OPTIONS = ("--quiet", "--generate-hashes", "--no-annotate", "--no-header", "--no-emit-index-url")
_BUILD = "hatchling\neditables\n"


def main() -> None:
    """Write requirements.lock, and requirements-segment.lock with the versions of the same."""
    whole, small = ROOT / "requirements.lock", ROOT / "requirements-segment.lock"
    pins = re.findall(r"^[\w.-]+==[\w.+]+", whole.read_text(encoding="utf-8"), re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        wanted, build = Path(folder) / "pins.in", Path(folder) / "build.in"
        wanted.write_text("\n".join(pins), encoding="utf-8")
        build.write_text(_BUILD, encoding="utf-8")
        _write(whole, "--no-deps", str(wanted))
        _write(small, "--extra", "plot", "--constraint", str(wanted), "pyproject.toml", str(build))


def _write(lock: Path, *arguments: str) -> None:
    comments = [line for line in lock.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    command = ["uv", "pip", "compile", "--python-version", "3.11", *_OPTIONS, *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    lock.write_text("\n".join([*comments, done.stdout]), encoding="utf-8")


if __name__ == "__main__":
    main()
