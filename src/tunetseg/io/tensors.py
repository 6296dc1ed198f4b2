"""The header of safetensors files: which arrays they hold, and where."""

import json
from pathlib import Path
from typing import Any

__all__ = ["METADATA", "read_tensor_header"]

METADATA = "__metadata__"
"""Entry of the header that is of no array."""


def read_tensor_header(path: str | Path) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file, as it is stored, and the byte at which the arrays begin.

    Raises:
        ValueError: The file is cut short, or its header is not JSON.
        OSError: It cannot be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError(f"{path}: damaged")
        return json.loads(file.read(length)), 8 + length
