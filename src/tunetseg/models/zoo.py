"""Packaged models by name, and models by path."""

from pathlib import Path

from tunetseg.errors import InputError

__all__ = ["MODEL", "find_model", "packaged_models"]

MODEL = "model.safetensors"
"""What a model's file is called in a run folder and in the package."""

_FOLDER = Path(__file__).parent / "packaged"


def packaged_models() -> dict[str, Path]:
    """Name -> file of every model that comes with the package."""
    return {path.parent.name: path for path in sorted(_FOLDER.glob(f"*/{MODEL}"))}


def find_model(name: str | Path | None = None) -> Path:
    """File of a packaged model, a model file, or a run folder's model; without a name the first packaged one.

    Raises:
        InputError: Nothing of that name.
    """
    packaged = packaged_models()
    if name is None:
        if not packaged:
            raise InputError(
                "no model comes with this installation; train one with tunet train and name it with --model"
            )
        return next(iter(packaged.values()))
    path = Path(name)
    if path.is_dir():
        path = path / MODEL
    if str(name) in packaged:
        if path.is_file():
            raise InputError(f"model {str(name)!r}: a packaged model and a folder here; write ./{name} for the folder")
        return packaged[str(name)]
    if not path.is_file():
        raise InputError(
            f"model {str(name)!r}: neither a packaged model ({', '.join(packaged) or 'there is none'}) nor a file "
            f"or run folder with {MODEL}"
        )
    return path
