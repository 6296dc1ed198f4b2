"""Studies: many models on the same folds, planned, run anywhere, and compared. State lives on disk alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunetseg.studies.plan import Model, StudyPlan, make_plan, open_study, read_plan
    from tunetseg.studies.status import ModelStatus, read_status

_HOME = {
    "Model": "plan",
    "ModelStatus": "status",
    "StudyPlan": "plan",
    "make_plan": "plan",
    "open_study": "plan",
    "read_plan": "plan",
    "read_status": "status",
}

__all__ = ["Model", "ModelStatus", "StudyPlan", "make_plan", "open_study", "read_plan", "read_status"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
