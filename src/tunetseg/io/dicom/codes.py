"""Coded names of tumour regions, from DICOM's context group 7168 (brain lesions) and SNOMED CT."""

import re
from typing import NamedTuple

__all__ = ["RegionCode", "region_code"]


class RegionCode(NamedTuple):
    """What DICOM calls a region.

    Args:
        value: Code.
        scheme: Coding scheme: ``SCT`` for SNOMED CT, ``NCIt`` for the NCI Thesaurus.
        meaning: In words.
        colour: Red, green and blue, 0 to 255, that viewers show.
    """

    value: str
    scheme: str
    meaning: str
    colour: tuple[int, int, int]


# SNOMED CT has no code for how a lesion takes up contrast agent; DICOM's own list takes those from the NCI Thesaurus.
_REGIONS = (
    (r"necro", RegionCode("6574001", "SCT", "Necrosis", (216, 101, 79))),
    (r"o?edema", RegionCode("79654002", "SCT", "Edema", (128, 174, 128))),
    (r"non[ -]?enhanc", RegionCode("C81175", "NCIt", "Non-Enhancing Lesion", (177, 122, 101))),
    (r"enhanc", RegionCode("C113842", "NCIt", "Enhancing Lesion", (241, 214, 145))),
    (r"cyst", RegionCode("367643001", "SCT", "Cyst", (111, 184, 210))),
    (r"tumou?r|neoplasm|glioma|\bcore\b", RegionCode("108369006", "SCT", "Neoplasm", (144, 80, 160))),
)
_OTHER = RegionCode("52988006", "SCT", "Lesion", (120, 120, 200))


def region_code(words: str) -> RegionCode:
    """Return the code of a region.

    Args:
        words: What the region is called.

    Examples:
        >>> region_code("necrosis and non-enhancing core").meaning, region_code("GD-enhancing tumour").meaning
        ('Necrosis', 'Enhancing Lesion')
        >>> region_code("whole tumour (WT)").meaning, region_code("resection cavity").meaning
        ('Neoplasm', 'Lesion')
    """
    return next((code for pattern, code in _REGIONS if re.search(pattern, words.lower())), _OTHER)
