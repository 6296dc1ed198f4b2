"""One patient's files."""

from dataclasses import dataclass, field
from pathlib import Path

from tunetseg.errors import InputError

__all__ = ["MODALITIES", "Case", "read_case_list"]

MODALITIES = ("t1", "t1ce", "flair", "t2")
"""Channel order of a volume: that of the author's earlier code."""


@dataclass(frozen=True)
class Case:
    """One patient's files at one time point; nothing is read.

    Args:
        id: Name of the case, as its dataset writes it.
        images: Modality -> file.
        segmentation: The experts' label map, where there is one.
        patient: Who it is, the same over years and time points where the names tell; folds split by it.
        grade: ``HGG`` or ``LGG`` where the folders tell.
        labels: Name of the label scheme, where the dataset tells.
        faults: What is wrong with the files, found by looking at their names.
    """

    id: str
    images: dict[str, Path]
    segmentation: Path | None = None
    patient: str = ""
    grade: str | None = None
    labels: str | None = None
    faults: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """A case without a known patient is its own patient."""
        if not self.patient:
            object.__setattr__(self, "patient", self.id)

    def check(self, modalities: tuple[str, ...] = MODALITIES) -> None:
        """Raise InputError if a modality is missing, not there, or given twice."""
        if self.faults:
            raise InputError(self.faults[0])
        missing = [modality for modality in modalities if modality not in self.images]
        if missing:
            beside = f" in {next(iter(self.images.values())).parent}" if self.images else ""
            raise InputError(
                f"{self.id}: no {' and no '.join(missing)} image{beside}; all of {', '.join(modalities)} are needed"
            )
        seen: dict[Path, str] = {}
        for modality in modalities:
            path = self.images[modality]
            if not path.is_file():
                raise InputError(f"{path}: there is no such {modality} file")
            first = seen.setdefault(path.resolve(), modality)
            if first != modality:
                raise InputError(f"{path}: given as {first} and as {modality}; each needs its own file")


def read_case_list(path: str | Path) -> list[str]:
    """Case names from a text file, such as a run folder's ``validation.txt``: one a line, each once.

    Raises:
        InputError: The file cannot be read, or names no case.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read; --cases takes a text file of case names") from None
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not names:
        raise InputError(f"{path}: names no case; --cases takes a text file of case names")
    return names
