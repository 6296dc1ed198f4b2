"""The words of the documentation: no archaism, no house metaphor, no spelling mistake."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*") if path.suffix in {".md", ".py", ".toml", ".yml"}),
]

PHRASES = {
    r"gainsay\w*": "contradict",
    r"anew": "again",
    r"for want of": "because there is no",
    r"whoever": "anyone who",
    r"pass(?:ed|es|ing)? over": "skip, ignore",
    r"at fault": "invalid, faulty",
    r"you may not": "you cannot, permission denied",
    r"is no (?!longer|more)\w+": "is not a",
    r"there (?:is|are) no such": "unknown",
    r"beside": "next to, also",
    r"for people": "human-readable",
    r"rooms?": "package",
    r"told by": "given by",
    r"as a rule": "usually",
    r"by heart": "memorise",
    r"dear ones?": "expensive",
}
"""Regular expression of a phrase to avoid, and what to write."""

ALLOWED: set[tuple[str, str]] = set()
"""File and phrase that may stay, such as a quotation."""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_phrases_to_avoid(page: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    found = [
        f"{name}:{number}: {match[0]!r}, write {advice!r}"
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        for phrase, advice in PHRASES.items()
        for match in re.finditer(rf"\b{phrase}\b", line, re.IGNORECASE)
        if (name, match[0]) not in ALLOWED
    ]
    assert not found, "\n".join(found)


def test_spelling() -> None:
    pytest.importorskip("codespell_lib", reason="codespell is not installed")
    call = [sys.executable, "-m", "codespell_lib", *map(str, PAGES)]
    checked = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
