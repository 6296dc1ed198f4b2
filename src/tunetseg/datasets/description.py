"""Everything that is true of one dataset and not of all: channels, regions, labels, files, rules."""

import itertools
import re
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from tunetseg.datasets.labels import LabelScheme
from tunetseg.datasets.templates import REFERENCE, Template, compile_case, compile_template
from tunetseg.errors import InputError

__all__ = [
    "Channel",
    "DatasetDescription",
    "FileLayout",
    "Foreground",
    "Normalisation",
    "PatientTable",
    "Postprocessing",
    "Region",
    "convert",
]

_Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Normalisation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the intensities of a channel become a network's input.

    Background is 0 afterwards, whatever the kind.

    Args:
        kind: ``zscore``: zero mean and unit variance over the foreground voxels of each volume (paper, 2.5), for MRI.
            ``clip``: clip to ``low`` and ``high``, then subtract ``low`` and divide by ``scale``, for CT.
        low: Smallest intensity that is kept, for ``clip``; it becomes 0, as does background.
        high: Largest intensity that is kept, for ``clip``.
        scale: Intensities per unit of the result, for ``clip``.
    """

    kind: Literal["zscore", "clip"] = "zscore"
    low: float | None = None
    high: float | None = None
    scale: Annotated[float, Meta(gt=0)] = 1.0

    def __post_init__(self) -> None:
        """Check that a range is given where one is needed."""
        if self.kind == "clip" and not (self.low is not None and self.high is not None and self.low < self.high):
            raise ValueError(f"clip needs low < high, not {self.low} and {self.high}")


class Channel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One image of a case.

    Args:
        name: Key, such as ``t1ce``.
        title: Heading in figures.
        normalisation: How its intensities are scaled.
    """

    name: _Name
    title: str = ""
    normalisation: Normalisation = Normalisation()


class Foreground(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which voxels a volume is cropped to.

    Args:
        kind: ``nonzero``: voxels that are not 0 in any channel, which is what skull-stripping leaves.
            ``above``: voxels whose intensity is above ``value`` in any channel, such as -500 HU for a body in CT.
        value: Threshold of ``above``.
    """

    kind: Literal["nonzero", "above"] = "nonzero"
    value: float = 0.0


class Region(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the nested regions.

    Args:
        name: Key, such as ``enhancing``.
        labels: Label values that belong to the region, those of the regions inside it included.
        title: Name in figures and reports.
        label: Value that is written for a voxel of this region and of no deeper one. Needed only where more than one
            of ``labels`` belongs to no deeper region.
        file_word: Word for the region in names of files, as in ``<case>_unc_enhance.nii.gz``; the name by default.
    """

    name: _Name
    labels: Annotated[tuple[Annotated[int, Meta(ge=1, le=255)], ...], Meta(min_length=1)]
    title: str = ""
    label: int | None = None
    file_word: str = ""

    @property
    def word(self) -> str:
        """Word for the region in names of files."""
        return self.file_word or self.name


class PatientTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A CSV file of a release that gives grades, and the names of the same patients in earlier releases.

    Args:
        file: Its name; it is looked for in the cohort's folders and in the folder above.
        case: Column of the case's name.
        grade: Column of the grade.
        earlier: Column -> name of the dataset whose case names it holds.
    """

    file: str
    case: str
    grade: str = ""
    earlier: dict[str, str] = {}


class FileLayout(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """How files are named.

    Names are templates without ``.nii`` or ``.nii.gz``: ``{case}`` is the name of the case, ``*`` any characters, and
    folders are separated by ``/``, as in ``imagesTr/{case}_0000``. A template without ``{case}`` belongs to the case
    that is called like its folder. ``#2`` at the end is the third volume of a 4-D file. Where several templates fit a
    name, the most literal one counts. Where several images of a folder fit one channel, the first template counts.

    Args:
        case: Regular expression of a case's name. Its group ``patient`` is the same for all cases of a patient, its
            group ``site`` names the hospital; both are optional.
        channels: Channel -> template, or several.
        reference: Template, or several, of the reference segmentation.
        prediction: Template of a predicted label map, in which ``{patient}`` may stand for the group of ``case``.
        case_name: Template of the case's name from ``{patient}``; needed where ``prediction`` has ``{patient}``.
        numbering: Datasets of one numbering share patients.
        patient_rename: Pattern and replacement, applied to the name of a patient.
        grades: Names of folders that give the grade of the cases below them.
        exceptions: Case -> name of its reference, where a release named it differently.
        table: A CSV file with more about the patients.
        ignore_case: Upper and lower case are the same.
        shape: Voxels of every case along x, y, z, where the release fixes them.
    """

    case: str = ".+"
    channels: dict[str, str | tuple[str, ...]] = {}
    reference: str | tuple[str, ...] = "{case}_seg"
    prediction: str = "{case}"
    case_name: str = "{case}"
    numbering: str = ""
    patient_rename: tuple[str, str] | None = None
    grades: tuple[str, ...] = ()
    exceptions: dict[str, str] = {}
    table: PatientTable | None = None
    ignore_case: bool = False
    shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        """Check patterns and templates."""
        _ = self.templates
        if self.patient_rename is not None:
            pattern, replacement = self.patient_rename
            try:
                re.sub(pattern, replacement, "")
            except (re.error, IndexError) as error:
                raise ValueError(f"invalid patient_rename {pattern!r}, {replacement!r} ({error})") from None
        for field in ("prediction", "case_name"):
            words = set(re.findall(r"\{[^{}]*\}|[{}]", getattr(self, field)))
            if not words or not words <= {"{case}", "{patient}"}:
                raise ValueError(
                    f"{field} {getattr(self, field)!r}: must contain {{case}} or {{patient}}, no other braces"
                )
        if "{patient}" in self.prediction and "{patient}" not in self.case_name:
            raise ValueError("case_name must contain {patient} where prediction does")

    @cached_property
    def case_pattern(self) -> re.Pattern[str]:
        """Pattern of a case's name."""
        return compile_case(self.case, self.ignore_case)

    @cached_property
    def templates(self) -> tuple[Template, ...]:
        """Every name that a file may have."""
        return tuple(
            compile_template(role, text, self.case, self.ignore_case)
            for role, given in (*self.channels.items(), (REFERENCE, self.reference))
            for text in ((given,) if isinstance(given, str) else given)
        )


class Postprocessing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules that turn probabilities into masks (paper, 2.6); a region of None switches a rule off.

    Args:
        threshold: Smallest probability that counts as found.
        thresholds: Region -> the same for that region, in place of ``threshold``.
        fallback_region: Region whose threshold is lowered until something of it is found.
        threshold_fallbacks: Lower thresholds, in turn.
        min_component_mm3: Region -> smallest volume of a connected component that is kept; smaller ones are removed
            with all that lies inside them, except the largest one. Voxels that share a face, an edge or a corner are
            connected.
        min_volume_region: Region that is removed where it is small, with all regions inside it.
        min_volume_mm3: Smallest volume that is kept. The paper says 500 voxels, which are of 1 mm3 in BraTS; counting
            mm3 gives the same there and the same lesion at any other spacing.
    """

    threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    thresholds: dict[str, Annotated[float, Meta(gt=0, lt=1)]] = {}
    fallback_region: str | None = None
    threshold_fallbacks: tuple[Annotated[float, Meta(gt=0, lt=1)], ...] = ()
    min_component_mm3: dict[str, Annotated[float, Meta(ge=0)]] = {}
    min_volume_region: str | None = None
    min_volume_mm3: Annotated[float, Meta(ge=0)] = 0.0

    def regions(self) -> list[tuple[str, str]]:
        """Return each field that names a region, with that region."""
        single = [(name, getattr(self, name)) for name in ("fallback_region", "min_volume_region")]
        several = [(name, region) for name in ("thresholds", "min_component_mm3") for region in getattr(self, name)]
        return [(name, region) for name, region in (*single, *several) if region is not None]

    def threshold_of(self, region: str) -> float:
        """Return the smallest probability of a region that counts as found."""
        return self.thresholds.get(region, self.threshold)


class DatasetDescription(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One dataset, as its TOML file describes it; every model stores its own.

    Args:
        name: Key, such as ``brats2021``.
        channels: Images of a case, in the order in which a network sees them.
        regions: Nested regions, outermost first; the label values of each lie within those of the one before.
        title: Name for readers.
        aliases: Other names, such as a year.
        labels: Label value -> meaning; also values that belong to no region. Background, 0, may be left out.
        label_scheme: Name of the convention of label values; datasets that share one name it. The dataset's by default.
        label_candidates: Conventions among which the values of a label map decide, where the dataset does not fix one.
        foreground: Which voxels a volume is cropped to.
        files: How files are named.
        rules: Rules that it is evaluated by.
        postprocessing: Rules that turn probabilities into masks.
        recognise: Files are taken for this dataset by their names alone; otherwise only where it is named.
        generic: Its names fit anyone's files, so all other datasets are tried first.

    Examples:
        >>> from tunetseg.datasets import find_description
        >>> kits = find_description("kits19")
        >>> kits.channel_names, kits.region_names
        (('ct',), ('kidney', 'tumour'))
    """

    name: _Name
    channels: Annotated[tuple[Channel, ...], Meta(min_length=1)]
    regions: Annotated[tuple[Region, ...], Meta(min_length=1)]
    title: str = ""
    aliases: tuple[str, ...] = ()
    labels: dict[Annotated[int, Meta(ge=0, le=255)], str] = {}
    label_scheme: str = ""
    label_candidates: tuple[str, ...] = ()
    foreground: Foreground = Foreground()
    files: FileLayout = FileLayout()
    rules: str = "brats2020"
    postprocessing: Postprocessing = Postprocessing()
    recognise: bool = True
    generic: bool = False

    def __post_init__(self) -> None:
        """Check that names are unique and that the regions are nested."""
        for what, names in (("channel", self.channel_names), ("region", self.region_names)):
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"{what} {twice!r} is given twice")
        if REFERENCE in self.channel_names:
            raise ValueError(f"a channel cannot be called {REFERENCE!r}")
        unknown = sorted(set(self.files.channels) - set(self.channel_names))
        if unknown:
            raise ValueError(
                f"files.channels: unknown channel {unknown[0]!r}; choose from {', '.join(self.channel_names)}"
            )
        for field, region in self.postprocessing.regions():
            if region not in self.region_names:
                raise ValueError(
                    f"postprocessing.{field}: unknown region {region!r}; choose from {', '.join(self.region_names)}"
                )
        _ = self.scheme

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, in order."""
        return tuple(channel.name for channel in self.channels)

    @property
    def region_names(self) -> tuple[str, ...]:
        """Names of the regions, outermost first."""
        return tuple(region.name for region in self.regions)

    @cached_property
    def scheme(self) -> LabelScheme:
        """The label values of the regions."""
        meanings = _meanings(self.regions) | self.labels
        return LabelScheme(
            self.label_scheme or self.name,
            {region.name: region.labels for region in self.regions},
            _exclusive_labels(self.regions),
            {value: meaning for value, meaning in sorted(meanings.items()) if value != 0},
        )

    def region(self, name: str) -> Region:
        """Return a region by its name."""
        return self.regions[self.region_names.index(name)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold."""
        return msgspec.to_builtins(self, str_keys=True)

    @classmethod
    def from_dict(cls, raw: Any, source: str = "dataset description") -> "DatasetDescription":
        """Return the description that plain data hold.

        Args:
            raw: As from `to_dict` or a TOML file.
            source: Named in errors.

        Raises:
            InputError: A key is unknown, a value has the wrong type, or the regions are not nested.
        """
        return convert(raw, cls, source)


def convert(raw: Any, kind: type[Any], source: str) -> Any:
    """Return plain data as a schema's type, with errors that name the file and the field.

    Raises:
        InputError: The data do not fit the schema.
    """
    try:
        return msgspec.convert(raw, kind, str_keys=True)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `")
        reason = reason.removeprefix("Object contains ").replace("Object missing required", "missing")
        field = place.rstrip("`").removeprefix("key in ").removeprefix("$").removeprefix(".")
        raise InputError(f"{source}: {field + ': ' if field else ''}{reason[:1].lower()}{reason[1:]}") from None


def _meanings(regions: tuple[Region, ...]) -> dict[int, str]:
    """Return what each label value means where the description does not say: its region, outside the one within."""
    meanings: dict[int, str] = {}
    for region, inner in itertools.zip_longest(regions, regions[1:]):
        own = [value for value in region.labels if inner is None or value not in inner.labels]
        text = region.name if inner is None else f"{region.name} outside {inner.name}"
        meanings |= {value: text if len(own) == 1 else f"{text}, label {value}" for value in own}
    return meanings


def _exclusive_labels(regions: tuple[Region, ...]) -> tuple[int, ...]:
    """Value that is written for each region, where only that region and none inside it holds a voxel."""
    values = []
    for region, inner in itertools.zip_longest(regions, regions[1:]):
        if inner is not None and not set(inner.labels) < set(region.labels):
            raise ValueError(
                f"region {inner.name!r} must lie inside region {region.name!r}; list the regions outermost first, each "
                "with the labels of those inside it"
            )
        own = [value for value in dict.fromkeys(region.labels) if inner is None or value not in inner.labels]
        if region.label is None and len(own) > 1:
            raise ValueError(
                f"region {region.name!r}: labels {own} belong to no deeper region; say with 'label' which is written"
            )
        if region.label is not None and region.label not in own:
            raise ValueError(
                f"region {region.name!r}: label {region.label} is not one of {own}, which no deeper region has"
            )
        values.append(own[0] if region.label is None else region.label)
    return tuple(values)
