"""HTML pages that hold all they need: templates, style, scripts, the viewer."""

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunetseg import __version__
from tunetseg.errors import InputError
from tunetseg.inference.segmentation import NOT_A_DEVICE
from tunetseg.io.extras import need
from tunetseg.io.files import check_target, whole_file

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = [
    "MARK",
    "check_new_page",
    "check_packages",
    "check_page",
    "is_own_page",
    "render_page",
    "viewer_script",
    "write_page",
]

MARK = '<meta name="generator" content="tunetseg">'
"""In the first lines of every page, by which a page of this software is known."""

_NIIVUE_SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
"""Of the script in ``assets/niivue.js.gz``, version 0.69.0; ``tools/package_viewer.py`` prints it."""


def check_packages() -> None:
    """Raise InputError if a package that pages need is not installed."""
    for package in ("jinja2", "PIL", "matplotlib"):
        need(package, "plot", "a report")


def check_page(path: str | Path) -> Path:
    """Check that a page can be written to a place.

    Raises:
        InputError: The name does not end in ``.html``, or a file of another program would be replaced.
    """
    target = Path(path)
    if target.suffix != ".html":
        raise InputError(f"{target}: a report is an .html file; choose a name that ends in .html")
    if target.exists() and not is_own_page(target):
        raise InputError(f"{target}: exists and was not written by tunetseg; choose another name")
    return target


def check_new_page(path: str | Path) -> Path:
    """Check that a page can be made and written to a place, before the work that it shows.

    Raises:
        InputError: See `check_page`; its folder does not exist or cannot be written to; or a package is not installed.
    """
    check_packages()
    return check_target(check_page(path), ".html")


def is_own_page(path: Path) -> bool:
    """Return whether a file is a page of this software."""
    with path.open("rb") as file:
        return MARK.encode() in file.read(400)


def write_page(path: str | Path, template: str, **values: Any) -> Path:
    """Write a page; it appears only when complete.

    Args:
        path: Ends in ``.html``.
        template: Name of a template.
        **values: What the template shows; all text is escaped.

    Raises:
        InputError: See `check_page`; or a package is not installed.
    """
    target = check_page(path)
    text = render_page(template, **values)
    with whole_file(target) as partial:
        partial.write_text(text, encoding="utf-8")
    return target


def render_page(template: str, **values: Any) -> str:
    """Return a page as text.

    Args:
        template: Name of a template.
        **values: What the template shows; all text is escaped.
    """
    return _environment().get_template(template).render(version=__version__, use=NOT_A_DEVICE, **values)


@cache
def viewer_script() -> str:
    """Return NiiVue's script, after a check of its hash.

    Raises:
        InputError: The packaged file is damaged.
    """
    packed = (files("tunetseg.report") / "assets/niivue.js.gz").read_bytes()
    script = gzip.decompress(packed)
    if hashlib.sha256(script).hexdigest() != _NIIVUE_SHA256:
        raise InputError("the viewer in the installed package is damaged; install tunetseg again")
    return script.decode()


@cache
def _environment() -> "Environment":
    check_packages()
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("tunetseg.report"),
        autoescape=select_autoescape(["html", "svg"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Files of this package, which no user writes, are put in as they are.
    environment.globals["asset"] = lambda name: Markup(
        (files("tunetseg.report") / "assets" / name).read_text(encoding="utf-8")
    )
    environment.globals["viewer"] = lambda: Markup(viewer_script())
    return environment
