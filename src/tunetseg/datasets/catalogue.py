"""The packaged dataset descriptions, users' own, and those of folders that describe themselves."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from tunetseg.datasets.description import DatasetDescription
from tunetseg.datasets.folders import describe_folder
from tunetseg.datasets.labels import LabelScheme
from tunetseg.errors import InputError
from tunetseg.io.bounded import read_toml

__all__ = [
    "candidate_schemes",
    "find_description",
    "find_scheme",
    "packaged_descriptions",
    "read_description",
]

_NOT_INHERITED = ("name", "title", "aliases", "generic", "recognise")


@cache
def packaged_descriptions() -> Mapping[str, DatasetDescription]:
    """Return name -> description of every packaged dataset, those for anyone's files last."""
    found = [DatasetDescription.from_dict(_packaged_data(name), f"{name}.toml") for name in _packaged_names()]
    return {description.name: description for description in sorted(found, key=lambda found: found.generic)}


@cache
def _aliases() -> Mapping[str, str]:
    return {alias: name for name, found in packaged_descriptions().items() for alias in found.aliases}


@cache
def _packaged_names() -> tuple[str, ...]:
    names = (path.name for path in files(__package__).joinpath("packaged").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


@cache
def _packaged_data(name: str) -> dict[str, Any]:
    text = files(__package__).joinpath("packaged", f"{name}.toml").read_text(encoding="utf-8")
    return _inherit(tomllib.loads(text), f"{name}.toml")


def _inherit(raw: dict[str, Any], source: str) -> dict[str, Any]:
    """Return a description with what it leaves out filled from the packaged one that it extends."""
    if "extends" not in raw:
        return raw
    base_name = raw["extends"]
    if base_name not in _packaged_names():
        raise InputError(
            f"{source}: extends: unknown dataset {base_name!r}; choose from {', '.join(_packaged_names())}"
        )
    whole = _packaged_data(base_name)
    base = {key: value for key, value in whole.items() if key not in _NOT_INHERITED}
    if {"regions", "labels"} & raw.keys():
        # A convention of its own.
        base.pop("label_scheme", None)
        base.pop("label_candidates", None)
    else:
        base.setdefault("label_scheme", whole["name"])
    if "regions" in raw and "postprocessing" in base:
        base["postprocessing"] = _of_regions(base["postprocessing"], raw["regions"])
    merged = base | {key: value for key, value in raw.items() if key != "extends"}
    for table in ("files", "postprocessing"):
        if isinstance(raw.get(table), dict):
            merged[table] = base.get(table, {}) | raw[table]
    return merged


def _of_regions(rules: dict[str, Any], regions: Any) -> dict[str, Any]:
    """Return rules without those of regions that are not there."""
    names = {region.get("name") for region in regions if isinstance(region, dict)} if isinstance(regions, list) else ()
    kept = {key: value for key, value in rules.items() if not (key.endswith("_region") and value not in names)}
    return {
        key: {region: size for region, size in value.items() if region in names} if isinstance(value, dict) else value
        for key, value in kept.items()
    }


def read_description(path: str | Path) -> DatasetDescription:
    """Return the description that a TOML file holds.

    Args:
        path: The file. Its key ``extends`` names a packaged dataset, of which the file then takes what it leaves out.

    Raises:
        InputError: The file cannot be read or does not fit the schema.
    """
    return DatasetDescription.from_dict(_inherit(read_toml(path), str(path)), str(path))


def find_description(name: str | Path) -> DatasetDescription:
    """Return a dataset's description.

    Args:
        name: A packaged dataset or one of its aliases, such as ``brats2021`` or ``2021``; a ``.toml`` file; or a
            folder with a ``dataset.json`` of nnU-Net or of the Medical Segmentation Decathlon.

    Raises:
        InputError: There is no such dataset, or its file does not fit the schema.

    Examples:
        >>> find_description("2022").name
        'brats2021'
    """
    packaged = packaged_descriptions()
    key = str(name).lower()
    if key in packaged or key in _aliases():
        return packaged[_aliases().get(key, key)]
    path = Path(name)
    if path.suffix == ".toml":
        return read_description(path)
    if (path / "dataset.json").is_file():
        return describe_folder(path, packaged)
    raise InputError(f"unknown dataset {str(name)!r}; choose from {', '.join(packaged)}, or name a .toml file")


def find_scheme(name: str | Path) -> LabelScheme:
    """Return a convention of label values by the name of a dataset, a year, a ``.toml`` file, or its own name.

    Raises:
        InputError: There is no such dataset.
    """
    try:
        return find_description(name).scheme
    except InputError:
        own = {found.scheme.name: found.scheme for found in packaged_descriptions().values()}
        if str(name) in own:
            return own[str(name)]
        if Path(name).suffix == ".toml":
            raise
        raise InputError(
            f"unknown label values {str(name)!r}; choose a year such as 2023, a dataset that 'tunet info' lists, or a "
            ".toml file"
        ) from None


def candidate_schemes(description: DatasetDescription) -> list[LabelScheme]:
    """Return the conventions among which the values of a dataset's label maps decide; mostly its own alone."""
    return [find_scheme(name) for name in description.label_candidates] or [description.scheme]
