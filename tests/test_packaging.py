"""What the package asks for: extras that texts name exist, and the locked environment has what is needed."""

import re
import tomllib
from pathlib import Path

import pytest

from tunetseg.cli.main import _EXTRAS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def names(requirements: list[str]) -> set[str]:
    """Names of distributions, normalised, without this one."""
    found = {re.split(r"[\[<>=!~ ]", requirement)[0] for requirement in requirements}
    return {re.sub(r"[-_.]+", "-", name).lower() for name in found} - {"tunetseg"}


def test_extras_that_the_command_line_names_exist() -> None:
    assert set(_EXTRAS.values()) <= set(EXTRAS)


@pytest.mark.parametrize("path", ["README.md", "docs", "src", "tests"])
def test_extras_that_texts_name_exist(path: str) -> None:
    """An extra ``bench`` was spoken of and did not exist (B13)."""
    place = ROOT / path
    files = [place] if place.is_file() else [*place.rglob("*.md"), *place.rglob("*.py")]
    named = set()
    for file in files:
        text = file.read_text(encoding="utf-8")
        for group in re.findall(r"(?:tunetseg|\"\.|'\.)\[([a-z, ]+)\]|[Ee]xtra ``?([a-z]+)``?", text):
            named |= {extra.strip() for extra in "".join(group).split(",")}
    assert named <= set(EXTRAS), f"{path} names extras that do not exist"


def pins(lock: str) -> dict[str, str]:
    """Name -> version of the packages of a lock file, each of which has its hashes."""
    entries = re.findall(r"^(\S+)==(\S+) \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", read(lock), re.MULTILINE)
    assert len(entries) == read(lock).count("==")
    return {next(iter(names([name]))): version for name, version, _ in entries}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_locked_environments_are_complete() -> None:
    """As ``make`` installs what they name and then the package, both without dependencies."""
    torch = {"torch"}
    assert re.search(r"^TORCH := torch==\S+$", read("Makefile"), re.MULTILINE), "which comes without a hash"
    extras = [*EXTRAS["train"], *EXTRAS["onnxruntime"], *EXTRAS["plot"], *EXTRAS["serve"], *EXTRAS["dev"]]
    assert names([*PROJECT["dependencies"], *extras]) <= pins("requirements.lock").keys() | torch
    assert names([*PROJECT["dependencies"], *EXTRAS["plot"]]) <= pins("requirements-segment.lock").keys()


def test_the_locked_environments_agree() -> None:
    small, whole = pins("requirements-segment.lock"), pins("requirements.lock")
    assert small.items() <= whole.items()
    assert not {"torch", "onnx", "pytorch-lightning"} & small.keys()


def test_the_build_is_pinned() -> None:
    (build,) = tomllib.loads(read("pyproject.toml"))["build-system"]["requires"]
    assert build == f"hatchling=={pins('requirements.lock')['hatchling']}"


def test_the_documentation_is_made_with_what_its_extra_names() -> None:
    lines = (ROOT / "docs/requirements.txt").read_text(encoding="utf-8").splitlines()
    assert set(EXTRAS["docs"]) <= set(lines)
