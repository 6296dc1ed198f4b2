"""What a folder holds, as which channels its files were recognised, and what the checks say; without a model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunetseg.checks.images import check_volume
from tunetseg.checks.missing import missing_channels
from tunetseg.datasets import Case, DatasetDescription, find_patients
from tunetseg.errors import InputError
from tunetseg.findings import Finding, refusals
from tunetseg.preparation import read_volume
from tunetseg.progress import Progress, silent

__all__ = ["Inspection", "inspect_case", "inspect_place"]


@dataclass(frozen=True)
class Inspection:
    """What was found of one case.

    Args:
        id: Name of the case.
        dataset: Dataset whose file names the files have, or ``DICOM``; empty where none is known.
        channels: Channel -> the file, or number and description of the series.
        reasons: Channel -> why it was taken for this channel.
        findings: What the checks say.
    """

    id: str
    dataset: str
    channels: dict[str, str]
    reasons: dict[str, str]
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the inspection ready for JSON."""
        return {
            "id": self.id,
            "dataset": self.dataset,
            "channels": self.channels,
            "reasons": self.reasons,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def inspect_place(
    place: str | Path,
    description: DatasetDescription,
    *,
    dataset: DatasetDescription | None = None,
    progress: Progress = silent,
) -> list[Inspection]:
    """Inspect every case of a folder; DICOM is looked for where no file is named like an image of a case.

    Args:
        place: Folder of a case, of a cohort, or of DICOM files; or a zip archive of DICOM files.
        description: Says which channels are needed.
        dataset: How files are named; by default their names tell.
        progress: Called after every case.

    Raises:
        InputError: There is neither a case nor a DICOM image.
    """
    cases = find_patients(place, description, dataset=dataset, progress=progress)
    found = []
    for number, case in enumerate(cases):
        found.append(inspect_case(case, description))
        progress("inspecting cases", number + 1, len(cases))
    return found


def inspect_case(case: Case, description: DatasetDescription) -> Inspection:
    """Read the images of a case and check them; what cannot be read is a finding of level ``refuse``.

    Args:
        case: Its files.
        description: Says which channels are needed.
    """
    findings = list(case.findings)
    try:
        volume = read_volume(case, description, missing="allow", grids="any")
        findings += check_volume(volume, description)
        if not any(found.code == "missing-channel" for found in findings):  # said already where it is refused
            findings = [*missing_channels(volume.missing), *findings]
    except InputError as fault:
        if not refusals(findings):
            findings = [*findings, Finding("unreadable", "refuse", str(fault))]
    known = case.dataset.name if case.dataset is not None else ""
    channels, reasons = {}, {}
    for name, path in case.images.items():
        series, number = case.series.get(name), case.volumes.get(name)
        if series is not None:
            channels[name], reasons[name] = series.name, "; ".join(series.guess.reasons)
            continue
        channels[name] = str(path) if number is None else f"{path}, volume {number}"
        reasons[name] = f"named like {known}" if known else "by its name"
    return Inspection(case.id, "DICOM" if case.series else known, channels, reasons, tuple(findings))
