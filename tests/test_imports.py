"""Imports go one way: each package imports only those before it; what is needed late is imported in functions."""

import ast
from pathlib import Path

import tunetseg

SOURCE = Path(tunetseg.__file__).parent
ORDER = [
    "errors",
    "findings",
    "limits",
    "signals",
    "progress",
    "io",
    "datasets",
    "preparation",
    "checks",
    "networks",
    "models",
    "inference",
    "training",
    "metrics",
    "evaluation",
    "tuning",
    "studies",
    "report",
    "serve",
    "cli",
]


def imported(path: Path) -> set[str]:
    """Parts of the package that a module imports when it is imported itself."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tunetseg."):
            found.add(node.module.split(".")[1])
    return found


def test_imports_go_one_way() -> None:
    parts = {path.name.removesuffix(".py") for path in SOURCE.iterdir() if not path.name.startswith("_")}
    assert parts - {"py.typed"} == set(ORDER)
    for path in SOURCE.rglob("*.py"):
        own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if own in ORDER:
            later = {other for other in imported(path) if ORDER.index(other) > ORDER.index(own)}
            assert not later, f"{path.relative_to(SOURCE)} imports {later}"


def test_metrics_import_nothing_of_the_others() -> None:
    found = {other for path in (SOURCE / "metrics").glob("*.py") for other in imported(path)}
    assert found <= {"metrics", "errors", "progress"}
