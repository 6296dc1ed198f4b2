"""The page of one patient."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tunetseg.evaluation.evaluate import evaluate
from tunetseg.metrics import SCORES, LesionSize, lesion_sizes
from tunetseg.report.pages import check_page, write_page
from tunetseg.report.palette import (
    PROBABILITY_MAP,
    REFERENCE,
    UNCERTAINTY_MAP,
    colour_table,
    region_colours,
    rgb,
)
from tunetseg.report.slices import display_limits, patient_pictures
from tunetseg.report.view import PatientView
from tunetseg.report.voxels import Frame, pack, pack_images

__all__ = ["LEAST_LESION_ML", "RegionFacts", "region_facts", "write_patient_page"]

LEAST_LESION_ML = 0.05
"""Parts smaller than this are not listed as lesions."""

_LISTED = 10
"""Lesions that the page lists per region."""

_SHOWN_SCORES = ("dice", "hd95", "sensitivity", "specificity", "precision", "volume_error_ml")
_PROBABILITY_STEPS = 200


@dataclass(frozen=True, eq=False)
class RegionFacts:
    """What is measured of one region.

    Args:
        name: Key.
        title: Name for readers.
        colour: Of the region.
        volume_ml: Volume.
        lesions: Its parts, the largest first.
        side: Where its centre lies, in words; empty for an empty region.
        uncertainty: Mean uncertainty inside, None where there is no map or no region.
    """

    name: str
    title: str
    colour: str
    volume_ml: float
    lesions: Sequence[LesionSize]
    side: str
    uncertainty: float | None

    @cached_property
    def largest(self) -> LesionSize | None:
        """The lesion with the greatest product of diameters."""
        return max(self.lesions, key=lambda lesion: lesion.diameters.product_mm2, default=None)

    @property
    def listed(self) -> Sequence[LesionSize]:
        """The lesions that a page lists."""
        return self.lesions[:_LISTED]


def region_facts(view: PatientView) -> list[RegionFacts]:
    """Return what is measured of each region, outermost first."""
    colours = region_colours(len(view.dataset.regions))
    facts = []
    for level, region in enumerate(view.dataset.regions):
        mask = view.nesting > level
        unsure = None if view.uncertainty is None or not mask.any() else float(view.uncertainty[level][mask].mean())
        facts.append(
            RegionFacts(
                region.name,
                region.title or region.name,
                colours[level],
                float(mask.sum()) * view.grid.voxel_ml,
                lesion_sizes(mask, view.grid.spacing, least_ml=LEAST_LESION_ML),
                _side(view, mask),
                unsure,
            )
        )
    return facts


def write_patient_page(view: PatientView, path: str | Path) -> Path:
    """Write the report of one patient as one HTML file that needs no other file and no network.

    Args:
        view: What is shown.
        path: Ends in ``.html``.

    Returns:
        The file.

    Raises:
        InputError: The name has another ending, or a file of another program would be replaced.
    """
    check_page(path)
    facts = region_facts(view)
    innermost = next((fact.largest for fact in reversed(facts) if fact.largest is not None), None)
    volumes, settings = _viewer(view, facts)
    return write_page(
        path,
        "patient.html",
        view=view,
        facts=facts,
        least_ml=LEAST_LESION_ML,
        findings=_findings(view),
        channels=_channels(view),
        pictures=patient_pictures(view, innermost.diameters if innermost else None),
        measured=next((fact for fact in reversed(facts) if fact.largest is not None), None),
        scores=_scores(view),
        manifest=json.dumps(view.manifest, indent=1, ensure_ascii=False),
        volumes=volumes,
        settings=settings,
    )


def _findings(view: PatientView) -> list[dict[str, str]]:
    """Return warnings first, then notes."""
    found = [dict(finding) for finding in view.manifest.get("findings", [])]
    notes = [{"level": "note", "message": note} for note in view.manifest.get("notes", [])]
    if view.reference_fault:
        notes.append({"level": "warning", "message": f"the reference cannot be shown: {view.reference_fault}"})
    return sorted([*found, *notes], key=lambda finding: finding["level"] == "note")


def _channels(view: PatientView) -> list[dict[str, Any]]:
    inputs = view.manifest.get("inputs", {})
    return [
        {
            "name": channel.name,
            "title": channel.title or channel.name,
            "file": inputs.get(channel.name, ""),
            "missing": channel.name in view.missing,
        }
        for channel in view.dataset.channels
    ]


def _scores(view: PatientView) -> dict[str, Any] | None:
    """Return the scores against the reference, by the usual rules of the dataset."""
    if view.reference is None:
        return None
    scheme = view.dataset.scheme
    found = evaluate(
        scheme.label_map(view.nesting),
        scheme.label_map(view.reference),
        affine=view.grid.affine,
        labels=scheme,
        rules=view.dataset.rules,
    )
    rows = [
        {
            "title": view.dataset.region(row["region"]).title or row["region"],
            "reference_ml": row["reference_ml"],
            "values": [
                None if np.isnan(row[name]) else round(row[name], SCORES[name].digits) for name in _SHOWN_SCORES
            ],
        }
        for row in found.rows
    ]
    return {
        "headings": [SCORES[name].heading for name in _SHOWN_SCORES],
        "digits": [SCORES[name].digits for name in _SHOWN_SCORES],
        "rows": rows,
        "rules": found.summary["rules"],
    }


def _side(view: PatientView, mask: NDArray[np.bool_]) -> str:
    """Return where the centre of a mask lies from the middle of what the images show, in words."""
    if view.images is None or not view.oriented or not mask.any():
        return ""
    middle = [(part.start + part.stop - 1) / 2 for part in ndimage.find_objects(view.seen.astype(np.uint8))[0]]
    centre = ndimage.center_of_mass(mask)
    offset = [(place - mid) * size for place, mid, size in zip(centre, middle, view.grid.spacing, strict=True)]
    words = (("right", "left"), ("front", "back"), ("down", "up"))
    return ", ".join(f"{abs(mm):.0f} mm {pair[int(mm > 0)]}" for mm, pair in zip(offset, words, strict=True))


def _viewer(view: PatientView, facts: Sequence[RegionFacts]) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Return the volumes of the viewer, and what it must know of them."""
    present = [number for number, channel in enumerate(view.dataset.channels) if channel.name not in view.missing]
    images = [] if view.images is None else [view.images[number] for number in present]
    frame, packed = pack_images(images, view.grid, view.seen)
    shown: list[dict[str, Any]] = []
    for number, image, volume in zip(present, images, packed, strict=False):
        channel = view.dataset.channels[number]
        low, high = display_limits(image, channel)
        span = min(low, float(image.min())), max(high, float(image.max()))
        facts_of = {"low": low, "high": high, "least": span[0], "most": span[1]}
        shown.append(
            {"id": f"image-{channel.name}", "kind": "image", "title": channel.title or channel.name}
            | facts_of
            | {"data": volume.data, "slope": volume.slope}
        )
    shown += _label_volumes(view, frame)
    shown += _map_volumes(view, frame, facts)
    volumes = [{"id": volume["id"], "data": volume.pop("data")} for volume in shown]
    return volumes, {
        "volumes": shown,
        "shape": frame.shape,
        "step": frame.step,
        "toStored": frame.to_stored(view.stored),
        "toWorld": np.round(frame.affine, 6)[:3].tolist(),
        "regions": [{"title": fact.title, "colour": rgb(fact.colour)} for fact in facts],
        "labels": ["outside", *(_label_title(view, level) for level in range(len(facts)))],
        "reference": rgb(REFERENCE),
        "maps": {
            "probability": colour_table(PROBABILITY_MAP, 64),
            "uncertainty": colour_table(UNCERTAINTY_MAP, 64),
        },
        "start": _start(view, frame, facts),
        "oriented": view.oriented,
    }


def _label_title(view: PatientView, level: int) -> str:
    return view.scheme.values[view.scheme.exclusive_labels[level]]


def _label_volumes(view: PatientView, frame: Frame) -> list[dict[str, Any]]:
    found = [("labels", "Segmentation", view.nesting), ("reference", "Reference", view.reference)]
    return [
        {"id": name, "kind": name, "title": title, "data": pack(array, frame, labels=True).data, "slope": 1.0}
        for name, title, array in found
        if array is not None
    ]


def _map_volumes(view: PatientView, frame: Frame, facts: Sequence[RegionFacts]) -> list[dict[str, Any]]:
    found: list[tuple[str, NDArray[np.uint8] | None, float]] = []
    probabilities = None
    if view.probabilities is not None:
        probabilities = np.rint(view.probabilities * _PROBABILITY_STEPS).astype(np.uint8)
    found = [("probability", probabilities, 1 / _PROBABILITY_STEPS), ("uncertainty", view.uncertainty, 1.0)]
    return [
        {
            "id": f"{kind}-{fact.name}",
            "kind": kind,
            "name": fact.name,
            "title": fact.title,
            "data": pack(array, frame, slope).data,
            "slope": slope,
        }
        for kind, maps, slope in found
        if maps is not None
        for fact, array in zip(facts, maps, strict=True)
    ]


def _start(view: PatientView, frame: Frame, facts: Sequence[RegionFacts]) -> list[int]:
    """Return the voxel of the frame where the cross-hair begins: the largest lesion, or the middle."""
    lesion = next((fact.lesions[0] for fact in reversed(facts) if fact.lesions), None)
    if lesion is None:
        return [length // 2 for length in frame.shape]
    place = np.linalg.inv(frame.affine) @ view.grid.affine @ [*lesion.centre, 1.0]
    return np.clip(np.rint(place[:3]), 0, np.array(frame.shape) - 1).astype(int).tolist()
