"""Checks of one volume: geometry, background, brain."""

import numpy as np
from numpy.typing import NDArray

from tunetseg.checks.sample import Sample, shows_brain, take_sample
from tunetseg.checks.sequences import check_sequences
from tunetseg.checks.thresholds import THRESHOLDS
from tunetseg.datasets import DatasetDescription
from tunetseg.findings import Finding
from tunetseg.io import Grid
from tunetseg.limits import LIMITS
from tunetseg.preparation import Volume
from tunetseg.preparation.boxes import bounding_box

__all__ = ["check_grid", "check_volume"]

_IN_PLANE = np.zeros((3, 3, 3), bool)
_IN_PLANE[:, 1, 1] = _IN_PLANE[1, :, 1] = True
"""The neighbours of a voxel in its axial slice."""

_STRIP = "remove the skull (HD-BET, SynthStrip) and set what is not brain to 0"


def check_volume(volume: Volume, description: DatasetDescription) -> list[Finding]:
    """Return what is unusual about the images of a case.

    Of other images than MRI of brains only the geometry is checked.

    Args:
        volume: Shape (channel, x, y, z), in the order of the description.
        description: Names of the channels, and what counts as foreground.

    Returns:
        Findings, of which those of level ``refuse`` come first, then ``warning``, then ``note``.

    Examples:
        >>> from tunetseg.datasets import find_description
        >>> from tunetseg.datasets.phantom import make_patient
        >>> from tunetseg.io import image_from_array
        >>> from tunetseg.preparation import stack_images
        >>> patient = make_patient(seed=0, shape=(48, 48, 32), spacing=5)
        >>> images = {name: image_from_array(image, affine=patient.affine) for name, image in patient.images.items()}
        >>> glioma = find_description("brats2021")
        >>> [finding.code for finding in check_volume(stack_images(images, glioma), glioma)]
        ['thick-slices']
    """
    sample = take_sample(volume, description)
    findings = check_grid(volume.grid, description)
    if not volume.oriented:
        message = "the header does not say how the patient lies; x to the left, y to the front and z up are assumed"
        findings.append(Finding("no-orientation", "note", message))
    findings += _regridded(volume)
    findings += _background(volume, description)
    if sample is not None and not any(finding.level == "refuse" for finding in findings):
        findings += _brain(sample, found=all(one.kind != "none" for one in volume.background))
        findings += check_sequences(sample)
    order = ("refuse", "warning", "note")
    return sorted(findings, key=lambda finding: order.index(finding.level))


def check_grid(grid: Grid, description: DatasetDescription) -> list[Finding]:
    """Return what is unusual about the size of voxels and of the field of view.

    Args:
        grid: Of the images.
        description: Says whether they show a brain, whose size is known.
    """
    limits = THRESHOLDS
    size = " x ".join(f"{edge:.3g}" for edge in grid.spacing)
    low, high = LIMITS.voxel_mm
    if not all(low <= edge <= high for edge in grid.spacing):
        message = f"voxels of {size} mm, but {low:g} to {high:g} mm are possible; correct the header"
        return [Finding("voxel-size", "refuse", message)]
    if not shows_brain(description):
        return []
    if min(grid.shape) < 2:
        message = f"a single slice, shape {grid.shape}; give the whole volume"
        return [Finding("single-slice", "refuse", message)]
    field = max(edge * count for edge, count in zip(grid.spacing, grid.shape, strict=True))
    if field > LIMITS.field_mm:
        message = f"a field of view of {field:.0f} mm, which no head has; correct the voxel sizes of the header"
        return [Finding("field-of-view", "refuse", message)]
    if max(grid.spacing) > limits.slice_mm:
        message = (
            f"voxels of {size} mm: small and thin parts of a tumour are lost in slices thicker than "
            f"{limits.slice_mm:g} mm; use a thinner series if there is one"
        )
        return [Finding("thick-slices", "warning", message)]
    return []


def _regridded(volume: Volume) -> list[Finding]:
    """Channels that lay on another grid, and whether that grid shows the same part of the head."""
    if not volume.regridded:
        return []
    size = " x ".join(f"{edge:.3g}" for edge in volume.grid.spacing)
    names = [one.channel for one in volume.regridded]
    verb = "lies on another grid and was" if len(names) == 1 else "lie on other grids and were"
    message = f"{', '.join(names)} {verb} brought to that of {volume.reference} ({size} mm) by their headers"
    findings = [Finding("regridded", "note", message)]
    for one in volume.regridded:
        if one.lost > THRESHOLDS.lost:
            message = (
                f"{100 * one.lost:.0f} % of what {one.channel} shows lies outside of the grid of {volume.reference}; "
                "check that the images are registered, or choose the other grid"
            )
            findings.append(Finding("outside-grid", "warning", message))
        if one.covered < THRESHOLDS.covered:
            message = (
                f"{one.channel} covers only {100 * one.covered:.0f} % of the brain that {volume.reference} shows; "
                "no tumour is found where it is missing"
            )
            findings.append(Finding("partly-covered", "warning", message))
    return findings


def _background(volume: Volume, description: DatasetDescription) -> list[Finding]:
    """What had to be done so that the background is 0."""
    findings = []
    pairs = list(zip(description.channel_names, volume.background, strict=False))
    for kind, said in (
        ("constant", "the background of {} is not 0 but constant, and was set to 0"),
        ("ringing", "{} was resampled with a kernel that rings; the faint values around the head were set to 0"),
        ("noise", "the background of {} is noise, and what does not stand out of it was set to 0; look at the result"),
    ):
        names = [name for name, one in pairs if one.kind == kind]
        if names:
            findings.append(Finding(f"background-{kind}", "note", said.format(", ".join(names))))
    damaged = [f"{one.spikes} of {name}" for name, one in pairs if one.spikes]
    if damaged:
        message = f"single voxels are far brighter than all others and were limited: {', '.join(damaged)}"
        findings.append(Finding("spikes", "note", message))
    return findings


def _brain(sample: Sample, *, found: bool) -> list[Finding]:
    """Whether what is not background is a whole brain without its skull."""
    low, high = THRESHOLDS.brain_ml
    ml = max(sample.ml)
    findings = []
    names = _with_skull(sample)
    if not found:
        message = f"no background was found around the brain: the skull does not look removed; {_STRIP}"
        findings.append(Finding("no-background", "warning", message))
    elif ml > high:
        message = f"{ml:.0f} ml are not background, more than a brain has: the skull does not look removed; {_STRIP}"
        findings.append(Finding("skull", "warning", message))
    elif names:
        message = (
            f"a dark layer lies under the surface of {', '.join(names)}: the skull does not look removed; {_STRIP}"
        )
        findings.append(Finding("skull", "warning", message))
    elif ml < low:
        message = f"a brain of {ml:.0f} ml, less than an adult has; check that the images show a whole brain"
        findings.append(Finding("brain-volume", "warning", message))
    extent = _extent(sample)
    if found and any(length < least for length, least in zip(extent, THRESHOLDS.extent_mm, strict=True)):
        size = " x ".join(f"{length:.0f}" for length in extent)
        message = f"the brain is only {size} mm large; check that the images show the whole head"
        findings.append(Finding("part-of-head", "warning", message))
    return findings


def _with_skull(sample: Sample) -> list[str]:
    """Channels that have a layer as dark as bone under their surface."""
    names = []
    for name, channel, mask in zip(sample.names, sample.array, sample.masks, strict=True):
        if not mask.any():
            continue
        depth = _depth(mask, sample.spacing)
        layers = [(depth > begin) & (depth <= begin + 3) for begin in (6, 9, 12)]
        if not all(layer.any() for layer in layers):
            continue
        # Normalised images have values on both sides of 0.
        dark = min(0.0, float(np.percentile(channel[mask], 1)))
        median = float(np.median(channel[mask])) - dark
        if min(float(channel[layer].mean()) - dark for layer in layers) < THRESHOLDS.skull * median:
            names.append(name)
    return names


def _depth(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Distance in mm from the surface; axial slices count as filled, for a head is open where the neck is cut."""
    from scipy import ndimage

    result = np.zeros(mask.shape)
    box = bounding_box(mask)
    assert box is not None
    filled = ndimage.binary_fill_holes(mask[box], _IN_PLANE)
    result[box] = ndimage.distance_transform_edt(np.pad(filled, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    return result


def _extent(sample: Sample) -> tuple[float, ...]:
    """Lengths in mm of what is not background in any channel, along x, y, z."""
    mask: NDArray[np.bool_] = np.logical_or.reduce(sample.masks)
    box = bounding_box(mask) or (slice(0, 0),) * 3
    return tuple((side.stop - side.start) * size for side, size in zip(box, sample.spacing, strict=True))
