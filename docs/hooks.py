"""Generate the parts of the site that the code already says, and refuse pages that load anything from elsewhere.

A page holds a line such as ``<!-- generated: help segment -->``; it is replaced while the site is built. The names are
the keys of `GENERATORS`. Nothing here imports torch.
"""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

_ROOT = Path(__file__).resolve().parent.parent
_SOURCES = _ROOT / "src"

_MARK = re.compile(r"^<!-- generated: (?P<name>[a-z-]+)(?: (?P<argument>[a-z0-9-]+))? -->$", re.MULTILINE)
_LOADED = re.compile(
    r"""<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=["']?(?P<url>(?:https?:)?//[^"'\s>]+)"""
)
_HARMLESS = re.compile(r"""<link\b[^>]*rel=["']?(?:canonical|edit|next|prev)\b""")


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _help(command: str) -> str:
    """Return what ``tunet COMMAND --help`` prints."""
    environment = {**os.environ, "PYTHONPATH": str(_SOURCES), "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100"}
    call = [sys.executable, "-m", "tunetseg", *([command] if command != "tunet" else []), "--help"]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PluginError(f"{' '.join(call)} failed: {done.stderr.strip()}")
    return f"```text\n{done.stdout.strip()}\n```"


def _commands(_: str) -> str:
    """Return one section per command, each with its help."""
    from tunetseg.cli.main import COMMANDS

    return "\n\n".join(f"## `tunet {name}`\n\n{_help(name)}" for name in COMMANDS)


def _rules(_: str) -> str:
    from tunetseg.metrics import RULES

    header = ("rules", "HD95 definition", "counts lesions", "in one sentence")
    return _table(
        header,
        (
            (
                f"`{rules.name}`",
                f"`{rules.hausdorff}`",
                "yes" if rules.lesions or rules.matching else "",
                f"{rules.description}.",
            )
            for rules in RULES.values()
        ),
    )


def _hausdorff(_: str) -> str:
    from tunetseg.metrics.surface import HAUSDORFF

    rows = ((f"`{name}`", meaning.description.format(p=95)) for name, meaning in HAUSDORFF.items())
    return _table(("definition", "what HD95 is"), rows)


def _datasets(_: str) -> str:
    """Return one row per packaged dataset."""
    from tunetseg.datasets import packaged_descriptions

    rows = (
        (
            ", ".join(f"`{word}`" for word in (name, *found.aliases)),
            found.title,
            ", ".join(found.channel_names),
            ", ".join(found.region_names),
            ", ".join(f"{value} {meaning}" for value, meaning in found.labels.items()),
            f"`{found.rules}`",
        )
        for name, found in packaged_descriptions().items()
    )
    return _table(("names", "dataset", "channels", "regions", "labels", "rules"), rows)


def _recipes(_: str) -> str:
    """Return one row per stage of each packaged recipe."""
    from tunetseg.training.recipes import find_recipe, recipe_names

    rows = (
        (
            f"`{name}`" if number == 0 else "",
            number + 1,
            f"{stage.spacing:g} mm",
            "x".join(map(str, stage.patch_size)),
            stage.epochs,
            stage.batch_size,
            f"{stage.learning_rate:g}",
            stage.schedule,
        )
        for name in recipe_names()
        for number, stage in enumerate(find_recipe(name).stages)
    )
    return _table(("recipe", "stage", "spacing", "patch", "epochs", "batch", "learning rate", "schedule"), rows)


def _scores(_: str) -> str:
    """Return one row per score of the evaluator."""
    from tunetseg.metrics import SCORES

    better = {True: "higher", False: "lower", None: ""}
    rows = ((f"`{score.name}`", score.heading, better[score.higher_is_better]) for score in SCORES.values())
    return _table(("column", "score", "better"), rows)


_SCHEMAS = {
    "dataset": "tunetseg.datasets.description:DatasetDescription",
    "channel": "tunetseg.datasets.description:Channel",
    "normalisation": "tunetseg.datasets.description:Normalisation",
    "foreground": "tunetseg.datasets.description:Foreground",
    "region": "tunetseg.datasets.description:Region",
    "files": "tunetseg.datasets.description:FileLayout",
    "patient-table": "tunetseg.datasets.description:PatientTable",
    "postprocessing": "tunetseg.datasets.description:Postprocessing",
    "recipe": "tunetseg.training.recipes:Recipe",
    "stage": "tunetseg.training.recipes:Stage",
}
"""Schemas of TOML files by the name that a page uses."""


def _fields(name: str) -> str:
    """Return the fields of a schema, with their defaults and what their docstring says."""
    import msgspec

    module, _, kind = _SCHEMAS[name].partition(":")
    schema = getattr(import_module(module), kind)
    meanings = _meanings(schema)
    rows = ((f"`{field.name}`", meanings[field.name], _default(field)) for field in msgspec.structs.fields(schema))
    return _table(("key", "meaning", "default"), rows)


def _default(field: Any) -> str:
    import msgspec

    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, msgspec.Struct) or value in ("", (), {}, None):
        return ""
    if isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
        return ""
    return f"`{json.dumps(value)}`"


def _meanings(schema: type) -> dict[str, str]:
    """Return the ``Args`` section of a class's docstring, one entry per field."""
    section = inspect.cleandoc(schema.__doc__ or "").partition("Args:\n")[2].split("\n\n")[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text).replace("``", "`") for name, text in entries}


def _augmentation(_: str) -> str:
    """Return one row per random change, with its settings."""
    import msgspec

    module = import_module("tunetseg.training.augmentation")
    rows = (
        (
            f"`{field.name}`",
            inspect.cleandoc(field.type.__doc__ or "").partition("\n")[0],
            "<br>".join(f"`{name}`: {text}" for name, text in _meanings(field.type).items()),
        )
        for field in msgspec.structs.fields(module.Augmentation)
    )
    return _table(("key", "change", "settings"), rows)


def _api(package: str) -> str:
    """Return the directives for a package: its public names, then what only its modules offer."""
    folder = _SOURCES / "tunetseg" / package
    public = _public_names(folder / "__init__.py")
    parts = [f"::: tunetseg.{package}\n    options: {{show_root_heading: false, show_root_toc_entry: false}}"]
    for path in sorted(folder.rglob("*.py")):
        names = sorted(_public_names(path) - public)
        if not names or path == folder / "__init__.py":
            continue
        if path.name == "__init__.py":
            public |= set(names)
        module = ".".join(("tunetseg", *path.relative_to(_SOURCES / "tunetseg").with_suffix("").parts))
        parts.append(f"::: {module.removesuffix('.__init__')}\n    options: {{members: [{', '.join(names)}]}}")
    return "\n\n".join(parts)


def _public_names(path: Path) -> set[str]:
    """Return the ``__all__`` of a source file, without running it."""
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return set(ast.literal_eval(statement.value)) - {"__version__"}
    return set()


GENERATORS: dict[str, Callable[[str], str]] = {
    "api": _api,
    "augmentation": _augmentation,
    "commands": _commands,
    "datasets": _datasets,
    "fields": _fields,
    "hausdorff": _hausdorff,
    "help": _help,
    "recipes": _recipes,
    "rules": _rules,
    "scores": _scores,
}


def on_config(config: Any, **_: Any) -> Any:
    """Make the sources importable; MkDocs calls this once, after it has put ``sys.path`` back."""
    if str(_SOURCES) not in sys.path:
        sys.path.insert(0, str(_SOURCES))
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace every ``generated`` mark of a page; MkDocs calls this per page."""
    return _MARK.sub(lambda mark: GENERATORS[mark["name"]](mark["argument"] or ""), markdown)


def on_post_build(config: Any, **_: Any) -> None:
    """Fail if a page of the finished site loads a script, style, picture or frame from another host."""
    site = Path(config.site_dir)
    for page in sorted(site.rglob("*.html")):
        for found in _LOADED.finditer(page.read_text(encoding="utf-8")):
            if not _HARMLESS.match(found[0]):
                raise PluginError(f"{page.relative_to(site)}: loads {found['url']} from another host")
