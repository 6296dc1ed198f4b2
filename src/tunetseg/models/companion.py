"""The ONNX file next to a model file: where it is, and whether it belongs to it.

It holds the graph and takes the weights from the model file, which ONNX calls external data.
"""

from collections.abc import Mapping
from pathlib import Path

from tunetseg.errors import InputError
from tunetseg.models.store import stored_tensors, weights_hash

__all__ = ["SOURCE", "STRIDE", "WEIGHTS", "check_companion", "needed_onnx_file", "onnx_file", "weights_source"]

SOURCE = "tunetseg.source"
"""Key of the ONNX file's metadata: `weights_source` of the model file that it takes its weights from, if it does."""

STRIDE = "tunetseg.stride"
"""Key of the ONNX file's metadata: sides of an image must be multiples of this many voxels."""

WEIGHTS = "tunetseg.weights"
"""Key of the ONNX file's metadata: `weights_hash` of the model file that it was made from."""


def onnx_file(model: Path) -> Path:
    """Return where the ONNX file of a model file is, if it has one."""
    return model.with_suffix(".onnx")


def needed_onnx_file(model: Path) -> Path:
    """Return the ONNX file of a model file.

    Raises:
        InputError: There is none.
    """
    path = onnx_file(model)
    if not path.is_file():
        raise InputError(f"{model}: has no ONNX file next to it; make it with 'tunet export {model}'")
    return path


def weights_source(model: Path, name: str) -> str:
    """Return the name that a model file has or will have, and where its weights begin."""
    return f"{name}:{min(begin for begin, _ in stored_tensors(model).values())}"


def check_companion(model: Path, metadata: Mapping[str, str]) -> int:
    """Return the stride that the ONNX file of a model says.

    Args:
        model: The model file.
        metadata: Of its ONNX file.

    Raises:
        InputError: The ONNX file was made from other weights, or takes them from another file or another place in it.
    """
    path = onnx_file(model)
    stride = metadata.get(STRIDE, "")
    source = weights_source(model, model.name)
    if (
        metadata.get(WEIGHTS) != weights_hash(model)
        or metadata.get(SOURCE, source) != source
        or not stride.isdecimal()
        or int(stride) < 1
    ):
        raise InputError(f"{path}: does not belong to {model}; make it again with 'tunet export {model}'")
    return int(stride)
