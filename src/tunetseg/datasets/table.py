"""Every dataset's label values, as one table, and how to find a dataset's row."""

from collections.abc import Iterable

from tunetseg.datasets.labels import LabelScheme
from tunetseg.errors import InputError

__all__ = [
    "FILE_WORDS",
    "GLIOMA_REGIONS",
    "SCHEMES",
    "fitting_scheme",
    "is_map_name",
    "recognise_labels",
    "scheme_named",
]

GLIOMA_REGIONS = ("whole", "core", "enhancing")

FILE_WORDS = {"enhancing": "enhance"}
"""Regions that the challenge's file names call otherwise, as in ``<case>_unc_enhance.nii.gz``."""


def _glioma(
    name: str,
    whole: tuple[int, ...],
    core: tuple[int, ...],
    enhancing: int,
    shells: tuple[int, ...],
    values: dict[int, str],
) -> LabelScheme:
    regions = dict(zip(GLIOMA_REGIONS, (whole, core, (enhancing,)), strict=True))
    return LabelScheme(name, regions, shells, values)


_NCR, _ED, _ET = "necrosis and non-enhancing core", "oedema", "enhancing tumour"

SCHEMES: dict[str, LabelScheme] = {
    scheme.name: scheme
    for scheme in (
        _glioma(
            "brats2012",
            (1, 2, 3, 4),
            (1, 3, 4),
            4,
            (2, 1, 4),
            {1: "necrosis", 2: _ED, 3: "non-enhancing core", 4: _ET},
        ),
        _glioma("brats2017", (1, 2, 4), (1, 4), 4, (2, 1, 4), {1: _NCR, 2: _ED, 4: _ET}),
        _glioma("brats2023", (1, 2, 3), (1, 3), 3, (2, 1, 3), {1: _NCR, 2: _ED, 3: _ET}),
        # Public codes disagree whether the resection cavity belongs to core and whole; both are offered.
        _glioma("brats2024", (1, 2, 3), (1, 3), 3, (2, 1, 3), {1: _NCR, 2: _ED, 3: _ET, 4: "resection cavity"}),
        _glioma(
            "brats2024-cavity",
            (1, 2, 3, 4),
            (1, 3, 4),
            3,
            (2, 1, 3),
            {1: _NCR, 2: _ED, 3: _ET, 4: "resection cavity"},
        ),
        _glioma("msd", (1, 2, 3), (2, 3), 3, (1, 2, 3), {1: _ED, 2: "non-enhancing core", 3: _ET}),
        _glioma("nnunet", (1, 2, 3), (2, 3), 3, (1, 2, 3), {1: _ED, 2: _NCR, 3: _ET}),
        # The official code counts every label above 1 as tumour.
        LabelScheme(
            "kits19",
            {"kidney": (1, 2, 3), "tumour": (2, 3)},
            (1, 2),
            {1: "kidney", 2: "tumour", 3: "tumour too, or a cyst since 2021"},
        ),
    )
}

_YEARS = {
    **{str(year): "brats2012" for year in range(2012, 2017)},
    **{str(year): "brats2017" for year in range(2017, 2023)},
    "2023": "brats2023",
    **{str(year): "brats2024" for year in (2024, 2025)},
}


def scheme_named(name: str) -> LabelScheme:
    """Row of the table for a year (``2019``), a dataset and year (``brats2019``) or a scheme's own name.

    Raises:
        InputError: No such year or scheme; the message lists what there is.
    """
    key = name.lower()
    year = key.removeprefix("brats")
    found = SCHEMES.get(_YEARS.get(year, key))
    if found is None:
        raise InputError(
            f"labels {name!r}: no such dataset; say a BraTS year from 2012 to 2025 or one of {', '.join(SCHEMES)}"
        )
    return found


def recognise_labels(present: Iterable[int], source: str) -> LabelScheme:
    """Find the glioma scheme from the values that label maps hold, one file's or a whole cohort's.

    A 3 with no 4 means 2023's labels; a 4 with no 3, or neither, means those of 2017 to 2022. Values that
    BraTS 2017 to 2023 do not have are an error, as are a 3 and a 4 together: 2012 and 2024 both have them,
    with opposite meanings, so a person must say which.

    Raises:
        InputError: The values fit no year, or two years of opposite meaning.
    """
    values = set(present) - {0}
    if {3, 4} <= values:
        raise InputError(
            f"{source}: labels 3 and 4 both occur, which fits 2012 to 2016 and 2024 with opposite meanings; "
            "say which with --labels"
        )
    scheme = SCHEMES["brats2023" if 3 in values else "brats2017"]
    scheme.check(values, source)
    return scheme


def fitting_scheme(name: str, regions: tuple[str, ...]) -> LabelScheme:
    """Scheme by year or name, for a network of some regions.

    Raises:
        InputError: There is none of that name, or it has other regions.
    """
    scheme = scheme_named(name)
    if scheme.region_names != regions:
        raise InputError(f"labels {name}: its regions {scheme.region_names} are not the model's {regions}")
    return scheme


def is_map_name(stem: str) -> bool:
    """Whether a file's name, without its ending, is an uncertainty or probability map's: ``<case>_unc_whole``."""
    regions = {name for scheme in SCHEMES.values() for name in scheme.region_names}
    words = regions | set(FILE_WORDS.values())
    return stem.endswith(tuple(f"_{kind}_{word}" for kind in ("unc", "prob") for word in words))
