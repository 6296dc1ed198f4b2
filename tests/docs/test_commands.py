"""Every shell and Python block of the README and the site runs, in the order of its page, on synthetic data."""

import contextlib
import io
import os
import re
import select
import shlex
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tunetseg.cli.main import COMMANDS, main
from tunetseg.datasets import find_description
from tunetseg.networks import registry
from tunetseg.training import recipes

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = {"bash", "python"}
SHOWN = {"text", "toml"}

SKIPPED = {
    "README.md": 2,
    "docs/getting-started/install.md": 3,
    "docs/how-to/cluster.md": 2,
    "docs/how-to/gpu.md": 3,
    "docs/how-to/networks.md": 2,
    "docs/how-to/paper.md": 1,
    "docs/how-to/prepare-images.md": 3,
    "docs/how-to/segment.md": 3,
    "docs/how-to/serve.md": 2,
    "docs/how-to/train.md": 1,
    "docs/how-to/tune.md": 2,
}
"""Blocks that no test runs, per page; each says why. Raise a number only for what cannot be run at all."""

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*).*?\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- test: (?P<what>slow|skip|skip page)(?: \((?P<reason>[^)]+)\))? -->")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Args:
        page: File.
        line: Line of its fence.
        language: Info string.
        text: Without indentation.
        what: ``run``, ``slow`` or ``skip``.
    """

    page: Path
    line: int
    language: str
    text: str
    what: str


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    """Return the fenced blocks of a page."""
    source = page.read_text(encoding="utf-8")
    whole = _COMMENT.match(source)
    found = []
    for fence in _FENCE.finditer(source):
        before = source[: fence.start()].rstrip().rsplit("\n", 1)[-1].strip()
        comment = whole if whole and whole["what"] == "skip page" else _COMMENT.fullmatch(before)
        what = comment["what"].removesuffix(" page") if comment else "run"
        text = "".join(line.removeprefix(fence["indent"]) for line in fence["text"].splitlines(keepends=True))
        found.append(Block(page, source.count("\n", 0, fence.start()) + 1, fence["language"], text, what))
    return tuple(found)


def _executable(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language in RUN]


@pytest.fixture(autouse=True)
def small_recipes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make every recipe one epoch of one stage of small patches."""
    whole = recipes.recipe_from_dict

    def small(raw: Any, source: str = "recipe") -> recipes.Recipe:
        found = whole(raw, source)
        stage = msgspec.structs.replace(found.stages[0], spacing=8.0, patch_size=(24, 24, 16), epochs=1)
        options: dict[str, Any] = {"base_filters": 2, "levels": 2}
        return msgspec.structs.replace(found, stages=(stage,), suggested_options=options)

    monkeypatch.setattr(recipes, "recipe_from_dict", small)
    recipes._packaged.cache_clear()
    yield
    recipes._packaged.cache_clear()


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the networks that a page registers."""
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))


@pytest.fixture
def folder(tmp_path: Path, material: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    """Return an empty folder that holds what a page names, and make it the current one."""

    def enter(page: Path) -> Path:
        source = page.read_text(encoding="utf-8")
        for name in set(re.findall(r"\b[A-Z][A-Z4-]+\b", source)):
            with contextlib.suppress(KeyError):
                (tmp_path / name).symlink_to(material(name))
        for example in (ROOT / "docs/examples").iterdir():
            (tmp_path / example.name).symlink_to(example)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return enter


_PROLOGUE = """
set -euo pipefail
tunet() {{
  printf '%s\\0' "$@" $'\\004' > {requests}
  read -r code < {answers}
  cat {output}
  return "$code"
}}
"""


def run_shell(block: Block, aside: Path) -> None:
    """Run a block in bash; each ``tunet`` in it runs in this process, which has torch loaded already."""
    requests, answers, output = (aside / name for name in ("requests", "answers", "output"))
    for pipe in (requests, answers):
        if not pipe.exists():
            os.mkfifo(pipe)
    script = _PROLOGUE.format(requests=requests, answers=answers, output=output) + block.text
    said = []
    # Both ends of each pipe stay open here, so that bash never meets the end of one.
    with (
        os.fdopen(os.open(requests, os.O_RDWR), "rb", 0) as asked,
        os.fdopen(os.open(answers, os.O_RDWR), "wb", 0) as told,
    ):
        process = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        message = b""
        while process.poll() is None:
            if not select.select([asked], [], [], 0.05)[0]:
                continue
            message += asked.read(65536)
            if message.endswith(b"\0\x04\0") or message == b"\x04\0":
                arguments = message.removesuffix(b"\x04\0").decode().split("\0")[:-1]
                message = b""
                code, text = _tunet(arguments)
                said.append(f"$ tunet {shlex.join(arguments)}  # exit code {code}\n{text}")
                output.write_text(text, encoding="utf-8")
                told.write(f"{code}\n".encode())
    _, complaint = process.communicate()
    assert process.returncode == 0, f"{_name(block.page)}:{block.line}\n{''.join(said)}{complaint}"


def _tunet(arguments: list[str]) -> tuple[int, str]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        code = main(arguments)
    return code, text.getvalue()


def run_page(page: Path, aside: Path, kinds: set[str]) -> None:
    """Run the blocks of a page that are of some kinds, in order."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in _executable(page):
        if block.what not in kinds:
            continue
        if block.language == "bash":
            run_shell(block, aside)
        else:
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)


def _pages_with(what: str) -> list[Any]:
    pages = [page for page in PAGES if any(block.what == what for block in _executable(page))]
    return [pytest.param(page, id=_name(page)) for page in pages]


@pytest.mark.parametrize("page", _pages_with("run"))
def test_blocks_run(page: Path, folder: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder(page)
    run_page(page, tmp_path_factory.mktemp("pipes"), {"run"})


@pytest.mark.slow
@pytest.mark.parametrize("page", _pages_with("slow"))
def test_slow_blocks_run(page: Path, folder: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder(page)
    run_page(page, tmp_path_factory.mktemp("pipes"), {"run", "slow"})


def test_skipped_blocks_are_the_known_ones() -> None:
    skipped = Counter(
        _name(page)
        for page in PAGES
        for block in _executable(page)
        if block.what == "skip" and _name(page) != "docs/results.md"
    )
    assert skipped == SKIPPED


def test_every_comment_gives_a_reason_for_skipping() -> None:
    for page in PAGES:
        for comment in _COMMENT.finditer(page.read_text(encoding="utf-8")):
            if page.name != "CONTRIBUTING.md":
                assert comment["reason"] or comment["what"] == "slow", f"{_name(page)}: {comment[0]}"


@pytest.mark.parametrize("page", [pytest.param(page, id=_name(page)) for page in PAGES])
def test_blocks_have_a_known_language(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= RUN | SHOWN


@cache
def _flags(command: str) -> frozenset[str]:
    code, text = _tunet([command, "--help-all" if command == "train" else "--help"])
    assert code == 0
    return frozenset(re.findall(r"--[a-z0-9][a-z0-9.-]*", text))


def _mentions(page: Path) -> Iterator[list[str]]:
    """Words of every ``tunet COMMAND ...`` in the code of a page, run or not."""
    source = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for mention in re.finditer(r"(?:^ *|`|; |&& |do )tunet ([a-z]+[^`\n;&|#]*)", source, re.MULTILINE):
        yield mention[1].split()


@pytest.mark.parametrize("page", [pytest.param(page, id=_name(page)) for page in PAGES if list(_mentions(page))])
def test_commands_and_flags_that_a_page_mentions_exist(page: Path) -> None:
    for command, *words in _mentions(page):
        assert command in COMMANDS, f"{_name(page)}: tunet {command}"
        flags = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert flags <= _flags(command) | {"--help"}, f"{_name(page)}: tunet {command} {' '.join(words)}"


OF_OTHERS = {"--onnx", "--patch-size", "--plain-malloc", "--variant"}
"""Flags of benchmarks and of earlier versions that pages name by themselves."""


@pytest.mark.parametrize("page", [pytest.param(page, id=_name(page)) for page in PAGES])
def test_flags_that_a_page_names_by_themselves_exist(page: Path) -> None:
    named = set(re.findall(r"`(--[a-z][a-z0-9-]*)[^`]*`", page.read_text(encoding="utf-8")))
    if named:
        known = {"--help", "--help-all", "--version"}.union(*(_flags(command) for command in COMMANDS))
        assert named <= known | OF_OTHERS


def test_examples_are_valid() -> None:
    examples = ROOT / "docs/examples"
    assert {path.name for path in examples.iterdir()} == {"comparison.toml", "four-regions.toml", "my.toml"}
    description = find_description(examples / "four-regions.toml")
    assert description.channel_names == ("a", "b")
    assert description.region_names == ("organ", "lesion", "core", "necrosis")
    assert recipes.find_recipe(examples / "my.toml").bce_weight == 2.0
    assert recipes.find_recipe(examples / "comparison.toml").name == "comparison"
