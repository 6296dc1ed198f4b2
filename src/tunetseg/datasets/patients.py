"""Tables of patients that a release may have, such as BraTS 2020's ``name_mapping.csv``."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tunetseg.datasets.catalogue import find_description
from tunetseg.datasets.description import DatasetDescription, PatientTable
from tunetseg.datasets.recognition import patient_of
from tunetseg.errors import InputError
from tunetseg.io.bounded import read_csv

__all__ = ["PatientRow", "read_patient_tables"]


@dataclass(frozen=True)
class PatientRow:
    """What a table says of one case.

    Args:
        grade: The grade, if any.
        patient: The patient by the numbering of an earlier release, if any.
    """

    grade: str | None
    patient: str | None


def read_patient_tables(folders: Iterable[Path], datasets: Iterable[DatasetDescription]) -> dict[str, PatientRow]:
    """Return what the tables of some datasets say of their cases.

    Args:
        folders: Where the tables may lie.
        datasets: Those of a cohort's cases; only those that have a table count.

    Raises:
        InputError: A table is there but cannot be read or lacks the column of the cases.
    """
    tables = {found.files.table.file: found.files.table for found in datasets if found.files.table is not None}
    places = list(folders)
    rows: dict[str, PatientRow] = {}
    for table in tables.values():
        for folder in places:
            if (folder / table.file).is_file():
                rows |= _read(folder / table.file, table)
    return rows


def _read(path: Path, table: PatientTable) -> dict[str, PatientRow]:
    try:
        names, rows = read_csv(path)
    except InputError as fault:
        raise InputError(f"{fault}; patients and grades are unknown without it, so repair it") from None
    columns = set(names)
    if rows and not columns & {table.case, *table.earlier}:
        raise InputError(f"{path}: no column {table.case}; save it with commas, as it was released")
    if table.case not in columns:  # the table of an earlier release, which may have the same name
        return {}
    found: dict[str, PatientRow] = {}
    for row in rows:
        earlier = [
            patient
            for column, dataset in table.earlier.items()
            if (patient := patient_of(row.get(column) or "", find_description(dataset))[0])
        ]
        grade = row.get(table.grade) if table.grade else None
        said = PatientRow(grade or None, earlier[-1] if earlier else None)
        if found.setdefault(row[table.case], said) != said and row[table.case]:
            raise InputError(f"{path}: {row[table.case]} is there twice with different patients or grades; repair it")
    return found
