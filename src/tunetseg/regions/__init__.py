"""Nested regions and every dataset's label values."""

from tunetseg.regions.scheme import LabelScheme, nested
from tunetseg.regions.table import (
    FILE_WORDS,
    GLIOMA_REGIONS,
    SCHEMES,
    fitting_scheme,
    is_map_name,
    recognise_labels,
    scheme_named,
)

__all__ = [
    "FILE_WORDS",
    "GLIOMA_REGIONS",
    "SCHEMES",
    "LabelScheme",
    "fitting_scheme",
    "is_map_name",
    "nested",
    "recognise_labels",
    "scheme_named",
]
