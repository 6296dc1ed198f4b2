"""Which files of a folder are label maps, and of which case, by the names that datasets give them."""

import os
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunetseg.datasets import (
    DatasetDescription,
    case_of_prediction,
    find_description,
    nifti_stem,
    packaged_descriptions,
)
from tunetseg.datasets.recognition import REFERENCE, Match, match_file
from tunetseg.errors import InputError

__all__ = ["FolderNames", "described_above", "is_map_name", "names_of_folder", "region_words"]

_MAP_KINDS = ("unc", "prob")


def region_words(region: str, dataset: DatasetDescription | None = None) -> tuple[str, ...]:
    """Return the words for a region in names of files, the challenge's before the region's own name.

    Args:
        region: Name of the region.
        dataset: Dataset that has the region; by default all packaged ones are asked.

    Examples:
        >>> region_words("enhancing"), region_words("core")
        (('enhance', 'enhancing'), ('core',))
    """
    descriptions = [*([dataset] if dataset is not None else []), *packaged_descriptions().values()]
    words = [found.region(region).word for found in descriptions if region in found.region_names]
    return tuple(dict.fromkeys((*words, region)))


def is_map_name(stem: str, dataset: DatasetDescription | None = None) -> bool:
    """Return whether a file's name without ending is that of an uncertainty or probability map.

    Args:
        stem: Such as ``<case>_unc_whole``.
        dataset: Dataset whose regions count too, next to those of all packaged datasets.

    Examples:
        >>> is_map_name("p_unc_whole"), is_map_name("p_unc_01")
        (True, False)
    """
    descriptions = [*([dataset] if dataset is not None else []), *packaged_descriptions().values()]
    words = {word for found in descriptions for region in found.regions for word in (region.name, region.word)}
    return stem.endswith(tuple(f"_{kind}_{word}" for kind in _MAP_KINDS for word in words))


@dataclass(frozen=True)
class FolderNames:
    """The datasets whose names the files of one folder may have.

    Args:
        descriptions: In order of preference; those that fit anyone's files last.
        of_folder: Dataset that is given, or that a ``dataset.json`` in the folder describes; None where the names
            themselves say.
    """

    descriptions: tuple[DatasetDescription, ...]
    of_folder: DatasetDescription | None

    def is_case(self, case: str) -> bool:
        """Return whether a name is that of a case of a certain dataset."""
        return any(found.files.case_pattern.fullmatch(case) for found in self.descriptions if not found.generic)

    def case_of(self, path: Path) -> tuple[str, DatasetDescription | None]:
        """Return the case that a label map belongs to, and its dataset where the folder or the name says."""
        match = self._match(path)
        if match is not None and match.roles[0][0] == REFERENCE:
            return match.case, match.description
        case, _ = self._case_and_role(path)
        return case, self.of_folder

    def label_maps(self, paths: Collection[Path]) -> dict[Path, tuple[str, bool]]:
        """Return the label maps among the files of one folder: case, and whether it is named like a reference."""
        images = self._images(paths)
        cases = {}
        for path in paths:
            stem = nifti_stem(path)
            if stem is None or path in images or is_map_name(stem, self.of_folder):
                continue
            cases[path] = self._case_and_role(path)
        return cases

    def _match(self, path: Path) -> Match | None:
        return match_file(Path(os.path.abspath(path)), self.descriptions)

    def _case_and_role(self, path: Path) -> tuple[str, bool]:
        stem = unicodedata.normalize("NFC", nifti_stem(path) or path.name)
        match = self._match(path)
        if match is not None and match.roles[0][0] == REFERENCE:
            return match.case, True
        return _predicted_case(stem, self.descriptions) or stem, False

    def _images(self, paths: Iterable[Path]) -> set[Path]:
        """Return the images among label maps.

        Names of a certain dataset are sure. Names that fit anyone's files are not, because ``p_t1``, ``p_t2`` and
        ``p_t3`` may be time points: they are images next to their case's label map, or three or more of a case.
        """
        stems = {nifti_stem(path) for path in paths}
        sure: set[Path] = set()
        unsure: dict[str, set[Path]] = {}
        for path in paths:
            match = self._match(path)
            if match is None or match.roles[0][0] == REFERENCE:
                continue
            if match.description.generic:
                unsure.setdefault(match.case, set()).add(path)
            else:
                sure.add(path)
        return sure.union(*(images for case, images in unsure.items() if case in stems or len(images) > 2))


def _predicted_case(stem: str, descriptions: Sequence[DatasetDescription]) -> str | None:
    """Return the case whose prediction a dataset gives this name."""
    return next((case for found in descriptions if (case := case_of_prediction(stem, found)) is not None), None)


def described_above(folder: Path) -> DatasetDescription | None:
    """Return the dataset that a ``dataset.json`` next to a folder of references describes, as of ``labelsTr``."""
    whole = Path(os.path.abspath(folder))
    described = _described(whole.parent)
    templates = () if described is None else described.files.reference
    references = (templates,) if isinstance(templates, str) else templates
    return described if any(template.startswith(f"{whole.name}/") for template in references) else None


def _described(folder: Path) -> DatasetDescription | None:
    """Return the dataset that a folder's ``dataset.json`` describes; None where it has none, or another program's."""
    if not (folder / "dataset.json").is_file():
        return None
    try:
        return find_description(folder)
    except InputError:
        return None


def names_of_folder(folder: Path, dataset: DatasetDescription | None = None) -> FolderNames:
    """Return the datasets whose names the files of a folder may have.

    Args:
        folder: Holds label maps. Where it has a ``dataset.json``, as nnU-Net copies it next to predictions, that
            describes it.
        dataset: The dataset, where it is known.
    """
    described = dataset if dataset is not None else _described(folder)
    if described is not None:
        return FolderNames((described,), described)
    return FolderNames(tuple(found for found in packaged_descriptions().values() if found.recognise), None)
