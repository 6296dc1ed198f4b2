"""``tunet segment`` as one call: patients' folders or files in, results in a folder out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tunetseg.datasets import Case, case_from_files, find_cases, read_case_list
from tunetseg.errors import InputError
from tunetseg.inference.ensemble import Ensemble
from tunetseg.inference.segment import Segmentation, segment_cases
from tunetseg.models.device import choose_device
from tunetseg.models.zoo import find_model

__all__ = ["choose_cases", "segment"]


def choose_cases(
    patients: Sequence[str | Path],
    files: Mapping[str, Path] | None = None,
    *,
    name: str | None = None,
    only: str | Path | None = None,
) -> list[Case]:
    """Cases of folders, or of four files.

    Args:
        patients: Case folders or cohort folders.
        files: Modality -> file, instead of folders.
        name: What to call the case of the four files.
        only: Text file of case names; the others are left out.

    Raises:
        InputError: Neither or both are given, a case is there twice, or a name of the list is not among them.
    """
    if bool(patients) == bool(files):
        raise InputError(
            "give either patients' folders, before any --model, or four files with --t1 --t1ce --t2 --flair"
        )
    if files:
        if only is not None:
            raise InputError("--cases chooses among folders' cases; four files are one case")
        return [case_from_files(dict(files), name)]
    if name is not None:
        raise InputError("--name names the case of four files; folders' cases have names")
    cases: dict[str, Case] = {}
    for folder in patients:
        for case in find_cases(folder):
            first = cases.setdefault(case.id, case)
            if {path.resolve() for path in first.images.values()} != {path.resolve() for path in case.images.values()}:
                raise InputError(f"{folder}: case {case.id} is in another folder too; segment them one at a time")
    if only is None:
        return list(cases.values())
    wanted = read_case_list(only)
    missing = [case for case in wanted if case not in cases]
    if missing:
        raise InputError(f"{only}: {missing[0]} is not among the patients given")
    return [cases[case] for case in wanted]


def segment(
    patients: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    files: Mapping[str, Path] | None = None,
    models: Sequence[str | Path] = (),
    name: str | None = None,
    only: str | Path | None = None,
    device: str = "auto",
    labels: str | None = None,
    probabilities: bool = False,
    mirror: bool = False,
    overlap: float = 0.5,
    skip_broken: bool = False,
    say: Callable[[str], None] = print,
    progress: Callable[[str, float], None] = lambda case, share: None,
) -> list[Segmentation]:
    """Find the tumour in patients: a label map, uncertainty maps and a manifest each.

    Args:
        patients: Case folders or cohort folders; images co-registered and skull-stripped. Empty with ``files``.
        out: Folder of the results, made if need be.
        files: Modality (t1, t1ce, t2, flair) -> file, instead of folders.
        models: Packaged models, model files or run folders; several are averaged (paper, Eq. 1). The packaged
            model where none is given.
        name: What to call the case of the four files.
        only: Text file of case names; only these are segmented.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        labels: BraTS year or scheme of the label values to write; by default the case's own dataset's.
        probabilities: Write probability maps too.
        mirror: Average with the prediction of the mirror image; takes twice as long.
        overlap: Least overlap of windows, for models trained on patches.
        skip_broken: Report a broken case and go on without it.
        say: Takes lines for people.
        progress: Told the case and the share of it that is done, 0 to 1.

    Returns:
        One record a case that was segmented.

    Raises:
        InputError: Bad input; with ``skip_broken`` only when no case could be segmented.

    Examples:
        >>> from tunetseg.inference.cohort import segment
        >>> records = segment("BraTS2021_00002", "result")  # doctest: +SKIP
        >>> records[0].manifest["volume_ml"]["whole"]  # doctest: +SKIP
        182.4
    """
    folders = [patients] if isinstance(patients, str | Path) else patients
    cases = choose_cases(folders, files, name=name, only=only)
    ensemble = Ensemble(
        tuple(find_model(model) for model in models) or (find_model(),), choose_device(device), overlap, mirror
    )
    say(f"{len(cases)} case(s), {len(ensemble.paths)} model(s), on {ensemble.device}")
    faults: list[InputError] = []

    def broken(fault: InputError) -> None:
        faults.append(fault)
        say(f"left out: {fault}")

    done = segment_cases(
        cases,
        out,
        ensemble,
        labels=labels,
        probabilities=probabilities,
        on_fault=broken if skip_broken else None,
        progress=progress,
    )
    if not done:
        raise InputError(f"none of {len(cases)} cases could be segmented; the last fault: {faults[-1]}")
    return done
