"""Brain-tumour segmentation with cascaded networks (TuNet). Research use, not a medical device.

The functions and classes here are imported when they are first used, so that ``import tunetseg`` is fast.

Examples:
    >>> import tunetseg
    >>> tunetseg.find_description("brats2023").region_names
    ('whole', 'core', 'enhancing')
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tunetseg.datasets import Case, DatasetDescription, Postprocessing, find_cases, find_description
    from tunetseg.errors import InputError
    from tunetseg.evaluation.evaluate import evaluate
    from tunetseg.evaluation.scores import Scores
    from tunetseg.inference.cohort import segment_cases
    from tunetseg.inference.predictor import Ensemble, Predictor, load_model
    from tunetseg.inference.segment import segment
    from tunetseg.inference.segmentation import Segmentation
    from tunetseg.networks import create_network
    from tunetseg.training.config import TrainConfig
    from tunetseg.training.run import train

_HOMES = {
    "Case": "datasets",
    "DatasetDescription": "datasets",
    "Ensemble": "inference.predictor",
    "InputError": "errors",
    "Postprocessing": "datasets",
    "Predictor": "inference.predictor",
    "Scores": "evaluation.scores",
    "Segmentation": "inference.segmentation",
    "TrainConfig": "training.config",
    "create_network": "networks",
    "evaluate": "evaluation.evaluate",
    "find_cases": "datasets",
    "find_description": "datasets",
    "load_model": "inference.predictor",
    "segment": "inference.segment",
    "segment_cases": "inference.cohort",
    "train": "training.run",
}

__all__ = [
    "Case",
    "DatasetDescription",
    "Ensemble",
    "InputError",
    "Postprocessing",
    "Predictor",
    "Scores",
    "Segmentation",
    "TrainConfig",
    "__version__",
    "create_network",
    "evaluate",
    "find_cases",
    "find_description",
    "load_model",
    "segment",
    "segment_cases",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tunetseg' has no attribute {name!r}")
    found = getattr(import_module(f"tunetseg.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
