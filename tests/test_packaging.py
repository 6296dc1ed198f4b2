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


def test_the_locked_environment_is_complete() -> None:
    """As ``make`` installs the package without its dependencies."""
    locked = names((ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()[1:])
    needed = [*PROJECT["dependencies"], *EXTRAS["train"], *EXTRAS["plot"], *EXTRAS["dev"]]
    assert names(needed) <= locked


def test_the_documentation_is_made_with_what_its_extra_names() -> None:
    lines = (ROOT / "docs/requirements.txt").read_text(encoding="utf-8").splitlines()
    assert set(EXTRAS["docs"]) <= set(lines)
