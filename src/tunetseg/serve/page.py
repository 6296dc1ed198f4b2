"""The one page of the server."""

from functools import cache
from typing import TYPE_CHECKING

from tunetseg import __version__
from tunetseg.inference.segmentation import NOT_A_DEVICE
from tunetseg.limits import LIMITS
from tunetseg.report.pages import check_packages
from tunetseg.serve.jobs import Jobs

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["server_page"]


def server_page(jobs: Jobs) -> str:
    """Return the page; what changes is asked for by its script."""
    dataset = jobs.model.dataset
    return (
        _environment()
        .get_template("serve.html")
        .render(
            version=__version__,
            use=NOT_A_DEVICE,
            dataset=dataset,
            model=", ".join(sorted({path.parent.name for path in jobs.model.paths})),
            engine=f"{jobs.model.engine.version} on {jobs.model.engine.device}",
            most_bytes=jobs.budget.most,
            most_files=LIMITS.upload_files,
        )
    )


@cache
def _environment() -> "Environment":
    check_packages()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("tunetseg.serve"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
