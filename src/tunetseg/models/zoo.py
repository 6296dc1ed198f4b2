"""Packaged models by name, and models by path."""

import os
from collections.abc import Sequence
from pathlib import Path

from tunetseg.errors import InputError

__all__ = ["DEFAULT", "ENSEMBLE", "MODEL", "find_models", "packaged_models", "shown_name"]

MODEL = "model.safetensors"
"""Name of the file of a model in a run folder and in the package."""

ENSEMBLE = "ensemble.json"
"""Name of the file in the folder of a study that lists the models whose mean is its ensemble."""

DEFAULT = "robust"
"""The packaged model that is used where none is named: the mean of its files."""

_FOLDER = Path(__file__).parent / "packaged"


def packaged_models() -> dict[str, tuple[Path, ...]]:
    """Return name -> files of every model that comes with the package; several files are averaged."""
    folders = sorted({path.parent for path in _FOLDER.glob("*/*.safetensors")})
    return {folder.name: tuple(sorted(folder.glob("*.safetensors"))) for folder in folders}


def shown_name(path: Path) -> str:
    """Return the name of a model file, with its folder where it is of a run or of the package."""
    named = path.name != MODEL and path.parent.parent != _FOLDER
    return path.name if named else f"{path.parent.name}/{path.name}"


def find_models(names: Sequence[str | Path] = ()) -> tuple[Path, ...]:
    """Return the files of some models.

    Args:
        names: Packaged models, single files of those that have several, such as ``robust/fold-0``, model files, run
            folders, or folders of studies, whose ensemble is meant; none: the default model.

    Raises:
        InputError: There is no model of one of the names.
    """
    return tuple(path for name in (names or (DEFAULT,)) for path in _find(name))


def _find(name: str | Path) -> tuple[Path, ...]:
    if not str(name):
        raise InputError("the name of the model is empty; name a packaged model, a model file or a run folder")
    packaged = packaged_models()
    packaged |= {
        f"{model}/{file.stem}": (file,) for model, files in packaged.items() if len(files) > 1 for file in files
    }
    path = Path(name)
    if os.path.isfile(path / ENSEMBLE) and str(name) not in packaged:
        return _ensemble(path)
    if os.path.isdir(path):
        path = path / MODEL
    if str(name) in packaged:
        if os.path.isfile(path):
            raise InputError(
                f"model {str(name)!r}: both a packaged model and a folder here; write ./{name} for the folder"
            )
        return packaged[str(name)]
    if not os.path.isfile(path):
        known = ", ".join(packaged) or "none is installed"
        raise InputError(
            f"model {str(name)!r}: not a packaged model ({known}), not a file, and not a run folder with {MODEL}"
        )
    return (path,)


def _ensemble(folder: Path) -> tuple[Path, ...]:
    """Return the models that a study lists."""
    from tunetseg.io.bounded import parse_json, read_text  # images are read by others of that package

    path = folder / ENSEMBLE
    try:
        paths = tuple(folder / str(name) for name in parse_json(read_text(path))["models"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is damaged ({error!r}); run tunet study again") from None
    missing = next((model for model in paths if not model.is_file()), None)
    if missing is not None or not paths:
        raise InputError(f"{path}: lists {missing or 'no model'}, which is not there; run tunet study again")
    return paths
