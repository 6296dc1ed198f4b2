"""What ``tunet segment`` and ``tunet demo`` show while they work, and at the end."""

import logging
from collections.abc import Sequence
from pathlib import Path

from tunetseg.cli.console import line_console, shown
from tunetseg.datasets import Case, Postprocessing
from tunetseg.errors import InputError
from tunetseg.inference.predictor import Ensemble
from tunetseg.inference.segment import segment_cases
from tunetseg.inference.segmentation import NOT_A_DEVICE

__all__ = ["segment_patients"]

_LOG = logging.getLogger("tunetseg.cli")


def segment_patients(
    cases: Sequence[Case],
    out: Path,
    model: Ensemble,
    *,
    labels: str | None = None,
    probabilities: bool = False,
    picture: bool = False,
    skip_broken: bool = False,
    postprocessing: Postprocessing | None = None,
    calibrated: bool = True,
) -> None:
    """Segment cases with a progress bar, and print what was found and where it is.

    Raises:
        InputError: A case is broken; with ``skip_broken`` only if none could be segmented.
    """
    console = line_console()
    faults: list[InputError] = []

    def leave_out(fault: InputError) -> None:
        faults.append(fault)
        _LOG.warning("left out: %s", fault)

    schemes: set[str] = set()
    done = 0
    with shown() as progress:
        _LOG.info("%d case(s), %d model(s), on %s", len(cases), len(model.paths), model.device)
        if not skip_broken:
            for case in cases:
                case.check(model.dataset.channel_names, missing="allow")
        results = segment_cases(
            cases,
            model,
            out=out,
            labels=labels,
            probabilities=probabilities,
            picture=picture,
            postprocessing=postprocessing,
            missing="allow",
            calibrated=calibrated,
            on_fault=leave_out if skip_broken else None,
            progress=progress,
        )
        try:
            for result in results:
                done += 1
                schemes.add(result.scheme.name)
                console.print(f"{result.case}: {result.summary()} ({result.seconds:.1f} s)")
                for note in result.notes:
                    console.print(f"  note: {note}")
                del result  # or it would be held while the next case is segmented
        except InputError as fault:
            if len(cases) == 1:
                raise
            raise InputError(f"{fault} ({done} of {len(cases)} cases are done; see --skip-broken)") from None
    if not done:
        raise InputError(f"none of {len(cases)} cases could be segmented; the last fault: {faults[-1]}")
    console.print(
        f"Look at {out}: <case>.nii.gz (labels of {', '.join(sorted(schemes))}), "
        f"<case>_unc_*.nii.gz (0 certain to 100 uncertain), <case>.json{', <case>.png' if picture else ''}. "
        f"{NOT_A_DEVICE.capitalize()}."
    )
