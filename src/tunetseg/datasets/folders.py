"""Folders that describe themselves: nnU-Net raw datasets and those of the Medical Segmentation Decathlon."""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunetseg.datasets.description import DatasetDescription
from tunetseg.errors import InputError
from tunetseg.io.bounded import parse_json, read_text
from tunetseg.io.readers import ENDINGS

__all__ = ["describe_folder"]

_LOG = logging.getLogger(__name__)

# Nothing in a dataset.json gives the range of a CT; this one shows soft tissue and bone.
_CT = {"kind": "clip", "low": -200.0, "high": 300.0, "scale": 100.0}
_BODY = {"kind": "above", "value": -500.0}


def describe_folder(folder: Path, packaged: Mapping[str, DatasetDescription]) -> DatasetDescription:
    """Return the description of a folder with a ``dataset.json``.

    Channels are named as the file names them, in lower case. Regions are nnU-Net's where the file has regions.
    Otherwise a label's region holds that label and all greater ones, which is the order of organ and tumour in the
    Decathlon, and a warning says so; a dataset of another order needs a description of its own.

    Args:
        folder: Holds ``dataset.json``, ``imagesTr`` and mostly ``labelsTr``.
        packaged: The packaged datasets; one that the file names, such as MSD's Task01, describes the folder.

    Raises:
        InputError: The file cannot be read, its regions are not nested, or it has nnU-Net's label ``ignore``.
    """
    path = folder / "dataset.json"
    try:
        raw = parse_json(read_text(path))
        # nnU-Net's first version wrote the keys of the Decathlon, but one file per channel.
        nnunet = "channel_names" in raw or any(folder.glob("imagesTr/*_0000.nii*"))
        if raw.get("name") == "BRATS" and not nnunet:
            return packaged["msd-task01"]
        names = raw["channel_names" if "channel_names" in raw else "modality"]
        channels = [_channel(n, names[key]) for n, key in enumerate(sorted(names, key=int))]
        regions, labels = _regions(path, raw)
    except InputError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: not the dataset.json of nnU-Net or the Decathlon ({error!r})") from None
    if raw.get("file_ending", ".nii.gz") not in ENDINGS:  # it may be anything, lists too
        raise InputError(f"{path}: file_ending {raw['file_ending']!r} cannot be read; convert the images to .nii.gz")
    description = {
        "name": _key(Path(os.path.realpath(folder)).name) or "unnamed",
        "title": str(raw.get("name", Path(os.path.realpath(folder)).name)),
        "channels": channels,
        "foreground": _BODY if all(channel["name"] == "ct" for channel in channels) else {},
        "regions": regions,
        "labels": labels,
        "files": _files([channel["name"] for channel in channels], nnunet),
    }
    return DatasetDescription.from_dict(description, str(path))


def _key(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._").lower()


def _channel(number: int, name: str) -> dict[str, Any]:
    if name.upper() == "CT":
        return {"name": "ct", "title": name, "normalisation": _CT}
    return {"name": _key(name) or f"channel{number}", "title": name}


def _regions(path: Path, raw: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Regions, outermost first, and meanings of the labels."""
    if "channel_names" not in raw:  # value -> name
        return _cumulative(path, {name: int(value) for value, name in raw["labels"].items() if int(value) > 0})
    if "ignore" in raw["labels"]:
        raise InputError(
            f"{path}: the label 'ignore' ({raw['labels']['ignore']}), whose voxels neither train nor count, is not "
            "supported; give these voxels another label and remove 'ignore' from the file"
        )
    values = {name: value for name, value in raw["labels"].items() if name != "background"}
    if any(isinstance(value, list) for value in values.values()):
        return _regions_of_nnunet(values, raw.get("regions_class_order", ())), {}
    return _cumulative(path, {name: int(value) for name, value in values.items()})


def _regions_of_nnunet(values: Mapping[str, Any], order: Sequence[int]) -> list[dict[str, Any]]:
    """Regions by size; ``order`` says which label each is written with."""
    written = dict(zip(values, order, strict=False))
    sets = {name: sorted(value if isinstance(value, list) else [value]) for name, value in values.items()}
    ordered = sorted(sets.items(), key=lambda item: -len(item[1]))
    regions = []
    for n, (name, labels) in enumerate(ordered):
        own = [value for value in labels if n + 1 == len(ordered) or value not in ordered[n + 1][1]]
        label = written.get(name) if written.get(name) in own else next(iter(own), None)
        regions.append({"name": _key(name) or f"region{n}", "title": name, "labels": labels, "label": label})
    return regions


def _cumulative(path: Path, labels: dict[str, int]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    ordered = sorted(labels.items(), key=lambda item: item[1])
    regions = [
        {
            "name": _key(name) or f"region{n}",
            "title": name,
            "labels": [other for _, other in ordered if other >= value],
            "label": value,
        }
        for n, (name, value) in enumerate(ordered)
    ]
    if len(regions) > 1:
        held = "; ".join(f"{region['name']} holds the labels {region['labels']}" for region in regions)
        _LOG.warning("%s: its labels are taken as nested regions: %s; a TOML file gives others", path, held)
    return regions, {str(value): name for name, value in ordered}


def _files(channels: list[str], nnunet: bool) -> dict[str, Any]:
    def templates(n: int) -> list[str]:
        end = f"_{n:04d}" if nnunet else f"#{n}" if len(channels) > 1 else ""
        return [f"{folder}/{{case}}{end}" for folder in ("imagesTr", "imagesTs")]

    return {
        "channels": {channel: templates(n) for n, channel in enumerate(channels)},
        "reference": ["labelsTr/{case}", "labelsTs/{case}"],
    }
