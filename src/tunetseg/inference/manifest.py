"""The manifest that is saved with a segmentation, ``<case>.json``, read and checked."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tunetseg.errors import InputError
from tunetseg.findings import Level
from tunetseg.inference.segmentation import NOT_A_DEVICE
from tunetseg.io.files import read_json

__all__ = ["read_manifest"]

_Size = Annotated[float, Meta(ge=0)]


class _Finding(Struct):
    code: str
    level: Level
    message: str


class _Stamp(Struct):
    bytes: int


class _Series(Struct):
    uid: str


class _Manifest(Struct):
    """What readers rely on."""

    case: Annotated[str, Meta(min_length=1, max_length=255)]
    volume_ml: dict[str, _Size]
    dataset: str
    labels: str
    label_values: dict[Annotated[str, Meta(pattern=r"^\d{1,3}$")], str]
    notes: list[str]
    findings: list[_Finding]
    files: list[str]
    inputs: dict[str, str]
    input_files: dict[str, _Stamp]
    series: dict[str, _Series]
    missing: list[str]
    models: list[dict[str, Any]]
    settings: dict[str, Any]
    seconds: _Size
    version: str


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of a saved segmentation; empty where there is none, or a file of another kind.

    Raises:
        InputError: It is damaged.
    """
    said = read_json(path)
    if said.get("use") != NOT_A_DEVICE or not {"case", "volume_ml"} <= said.keys():
        return {}
    try:
        msgspec.convert(said, _Manifest)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: a damaged manifest ({error}); segment the case again") from None
    return said
