"""The words of the documentation: no archaism, no house metaphor, no spelling mistake."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("benchmarks", "docs", "src", "tests", "tools")
"""Folders whose texts are checked, besides the pages at the top."""

_ENDINGS = {".md", ".py", ".toml", ".yml"}
PAGES = [
    *sorted(path for path in ROOT.iterdir() if path.suffix == ".md"),
    *sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.suffix in _ENDINGS),
]

PHRASES = {
    r"gainsay\w*": "contradict",
    r"anew": "again",
    r"for want of": "because there is no",
    r"whoever": "anyone who",
    r"passed over": "skip, ignore",
    r"at fault": "invalid, faulty",
    r"you may not": "you cannot, permission denied",
    r"(?<!there )is no (?!longer|more|such)\w+": "is not a",
    r"beside": "next to, also",
    r"for people": "human-readable",
    r"rooms": "package",
    r"told by": "given by",
    r"as a rule": "usually",
    r"by heart": "memorise",
    r"dear ones?": "expensive",
}
"""Regular expression of a phrase to avoid, and what to write."""

ALLOWED = {(Path(__file__).relative_to(ROOT).as_posix(), None)}
"""File and phrase that may stay, such as a quotation; None allows every phrase of the file."""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_phrases_to_avoid(page: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    found = [
        f"{name}:{number}: {match[0]!r}, write {advice!r}"
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        for phrase, advice in PHRASES.items()
        for match in re.finditer(rf"\b{phrase}\b", line, re.IGNORECASE)
        if not {(name, match[0]), (name, None)} & ALLOWED
    ]
    assert not found, "\n".join(found)


def test_spelling() -> None:
    pytest.importorskip("codespell_lib", reason="codespell is not installed")
    call = [sys.executable, "-m", "codespell_lib", *map(str, PAGES)]
    checked = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
