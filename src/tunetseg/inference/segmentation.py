"""The result of segmenting one patient, in memory."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunetseg.datasets import (
    Case,
    DatasetDescription,
    LabelScheme,
    candidate_schemes,
    count_labels,
    present_labels,
    recognise_labels,
)
from tunetseg.errors import InputError
from tunetseg.findings import Finding
from tunetseg.inference.uncertainty import uncertainty
from tunetseg.io import Grid, check_same_lattice, read_label_map
from tunetseg.models.calibration import Calibration, calibrate
from tunetseg.preparation.regrid import regrid, regrid_masks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NOT_A_DEVICE", "Segmentation"]

NOT_A_DEVICE = "research use, not a medical device"


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The segmentation of one patient, in memory.

    All arrays are in the order of axes of one image, mostly that of the first channel, as ``grid`` says.

    Args:
        case: Name of the case.
        label_map: uint8, shape (x, y, z), values of ``scheme``.
        probabilities: float32, shape (region, x, y, z), as the models give them: before calibration and
            post-processing; outermost region first.
        grid: Where the voxels lie.
        scheme: The label values.
        dataset: Dataset of the model: names and titles of regions and channels.
        notes: Sentences on what post-processing changed.
        findings: What the checks of the images and of the result noticed.
        facts: Models and settings, for the manifest.
        source: The files that were segmented, if any.
        images: The images that were segmented, float32, shape (channel, x, y, z).
        oriented: False where the images do not say how the patient lies.
        seconds: Time of reading the images and of segmenting them; over a cohort the two overlap, of different cases.
        calibration: Region -> curve of each model, which uncertainty follows from; empty for plain uncertainty.
    """

    case: str
    label_map: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    grid: Grid
    scheme: LabelScheme
    dataset: DatasetDescription
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    source: Case | None = None
    images: NDArray[np.float32] | None = None
    oriented: bool = True
    seconds: float = 0.0
    calibration: Sequence[Mapping[str, Calibration]] = ()

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the regions, outermost first."""
        return self.scheme.region_names

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel indices to world in mm, shape (4, 4)."""
        return self.grid.affine

    @property
    def uncertainty(self) -> NDArray[np.float32]:
        """Uncertainty of each voxel and region, 0 certain to 100 uncertain, shape (region, x, y, z) (paper, Eq. 2).

        It follows from the calibrated probabilities where the models have a calibration.
        """
        return uncertainty(self.calibrated(self.probabilities))

    def calibrated(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities of the regions, shape (region, ...), after the calibration of the models."""
        return calibrate(probabilities, self.regions, self.calibration)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings because of which the result may be wrong."""
        return tuple(finding for finding in self.findings if finding.level == "warning")

    @property
    def masks(self) -> NDArray[np.bool_]:
        """Nested masks after post-processing, shape (region, x, y, z)."""
        return self.scheme.masks(self.label_map)

    @cached_property
    def volumes_ml(self) -> dict[str, float]:
        """Volume of each region in millilitres."""
        counts = count_labels(self.label_map)
        self.scheme.check(np.flatnonzero(counts).tolist(), "label map")
        return {
            name: round(float(counts[sorted({*labels})].sum()) * self.grid.voxel_ml, 3)
            for name, labels in self.scheme.regions.items()
        }

    def onto(self, grid: Grid, *, move: ArrayLike | None = None) -> "Segmentation":
        """Return the same segmentation on another grid; voxels that were not segmented count as no tumour.

        Args:
            grid: Where labels and probabilities are wanted.
            move: World coordinates of this segmentation to those of ``grid`` in mm, shape (4, 4); by default they are
                the same.
        """
        if move is None and self.grid.same_lattice(grid):

            def moved(arrays: NDArray) -> NDArray:
                return grid.from_lps(self.grid.to_lps(arrays))

            masks, probabilities, images = moved(self.masks), moved(self.probabilities), self.images
            images = images if images is None else moved(images)
        else:
            masks = regrid_masks(self.masks, self.grid, grid, move=move)
            probabilities = np.stack([regrid(one, self.grid, grid, move=move) for one in self.probabilities])
            images = self.images
            if images is not None:
                images = np.stack([regrid(one, self.grid, grid, move=move, masked=True) for one in images])
        label_map = self.scheme.merge(masks)
        return replace(self, label_map=label_map, probabilities=probabilities, images=images, grid=grid)

    def save(
        self,
        folder: str | Path,
        *,
        probabilities: bool = False,
        picture: bool = False,
        dicom: bool = False,
        report: bool = False,
    ) -> Path:
        """Write the label map, the uncertainty maps and a manifest; none appears before all are complete.

        Args:
            folder: Created if needed.
            probabilities: Write the probability maps too.
            picture: Draw ``<case>.png`` too.
            dicom: Write ``<case>_seg.dcm``, and with ``probabilities`` ``<case>_prob.dcm``, of a case that was read
                from DICOM.
            report: Write ``<case>.html`` too, as `report` does.

        Returns:
            The file of the label map.

        Raises:
            InputError: The folder cannot be written to, or a file that was not written by tunetseg would be replaced.
        """
        from tunetseg.inference.save import save_segmentation

        return save_segmentation(self, folder, probabilities=probabilities, picture=picture, dicom=dicom, report=report)

    def report(self, path: str | Path, *, reference: str | Path | None = None) -> Path:
        """Write one HTML file that shows the patient and the result in any browser, without a network.

        Args:
            path: Ends in ``.html``.
            reference: File of a reference segmentation on the same lattice; by default that of the case, if it has one.

        Returns:
            The file.

        Raises:
            InputError: The reference cannot be read or lies on another lattice, or a file of another program would be
                replaced.
        """
        from tunetseg.report.patient import write_patient_page
        from tunetseg.report.view import view_of

        return write_patient_page(view_of(self, reference=reference), path)

    def plot(self, *, reference: str | Path | NDArray[np.integer] | None = None) -> "Figure":
        """Draw the axial slice with the most tumour: images, labels, uncertainty.

        Args:
            reference: Reference segmentation to draw as lines: a file on the same lattice, or an array like
                ``label_map``, with the same label values.

        Returns:
            A matplotlib figure.

        Raises:
            InputError: The reference cannot be read, lies on another lattice, or has other label values.
        """
        from tunetseg.report.figure import draw_segmentation

        if isinstance(reference, str | Path):
            reference = self._read_reference(reference)
        elif reference is not None and reference.shape != self.label_map.shape:
            raise InputError(f"a reference of shape {reference.shape}, but the label map has {self.label_map.shape}")
        return draw_segmentation(self, reference=reference)

    def _read_reference(self, path: str | Path) -> NDArray[np.uint8]:
        """Return a reference segmentation as an array like ``label_map``; its file may have other label values."""
        image = read_label_map(path)
        check_same_lattice(path, image.stored, "the segmentation", self.grid)
        own = self.source.dataset if self.source is not None else None
        scheme = recognise_labels(present_labels(image.array), candidate_schemes(own or self.dataset), str(path))
        if scheme.region_names != self.regions:
            raise InputError(f"{path}: its regions {', '.join(scheme.region_names)} are not {', '.join(self.regions)}")
        return self.grid.from_lps(self.scheme.label_map(scheme.nesting(image.array)))

    def __repr__(self) -> str:
        """Return the name and the volumes."""
        return f"Segmentation({self.case!r}: {self.summary()})"

    def summary(self) -> str:
        """Return the volumes as one line of text."""
        return ", ".join(f"{region} {volume:.1f} ml" for region, volume in self.volumes_ml.items())

    def viewer(self) -> Any:
        """Return a viewer for notebooks: images, label map and uncertainty in three planes and a render.

        Returns:
            A widget of ipyniivue, with the first image, or that of contrast-enhanced T1, under the regions.

        Raises:
            InputError: ipyniivue is not installed, or the result has no images.
        """
        from tunetseg.report.widget import make_widget

        return make_widget(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return what notebooks show: a viewer where ipyniivue is installed and images are there, else a picture."""
        bundle: dict[str, Any] = {"text/plain": repr(self), "text/html": self._repr_html_()}
        if self.images is not None and find_spec("ipyniivue") is not None:
            widget = self.viewer()._repr_mimebundle_()
            bundle |= widget[0] if isinstance(widget, tuple) else widget
            bundle["text/plain"] = repr(self)
        return bundle

    def _repr_html_(self) -> str:
        """Return a picture and the volumes, which notebooks show."""
        rows = "".join(
            f"<tr><td>{escape(self.dataset.region(region).title or region)}</td><td>{volume:.1f} ml</td></tr>"
            for region, volume in self.volumes_ml.items()
        )
        said = [*(f"{finding.level}: {finding.message}" for finding in self.findings), *self.notes]
        notes = "".join(f"<p>{escape(sentence)}</p>" for sentence in said)
        return (
            f"<h4>{escape(self.case)}</h4>{self._html_picture()}<table>{rows}</table>{notes}"
            f"<p>{escape(NOT_A_DEVICE)}</p>"
        )

    def _html_picture(self) -> str:
        """Return the picture as HTML; empty without images or without matplotlib."""
        if self.images is None:
            return ""
        try:
            figure = self.plot()
        except ModuleNotFoundError:
            return ""
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=80)
        data = base64.b64encode(buffer.getvalue()).decode()
        return f'<img alt="segmentation of {escape(self.case)}" src="data:image/png;base64,{data}">'
