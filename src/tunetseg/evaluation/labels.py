"""Which label scheme each label map of an evaluation is written in, and how that is known."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunetseg.datasets import (
    DatasetDescription,
    LabelScheme,
    candidate_schemes,
    find_description,
    find_scheme,
    recognise_labels,
)
from tunetseg.errors import InputError

__all__ = ["Finding", "choose_scheme", "default_schemes", "describe_findings", "manifest_scheme", "to_scheme"]

HowKnown = Literal["option", "segmentation", "manifest", "dataset", "rules", "reference", "values"]

_HOW = {
    "option": "as requested",
    "segmentation": "as the segmentation says",
    "manifest": "as the manifest next to each prediction says",
    "dataset": "as the dataset says",
    "rules": "as the rules say",
    "reference": "as the references",
}


@dataclass(frozen=True)
class Finding:
    """The label scheme of one label map.

    Args:
        scheme: The scheme.
        how: How it is known.
        values: Label values that the map holds, without background.
        fits: Names of all schemes that were in question and have these values.
    """

    scheme: LabelScheme
    how: HowKnown
    values: frozenset[int]
    fits: tuple[str, ...] = ()


def to_scheme(labels: str | Path | LabelScheme | DatasetDescription) -> LabelScheme:
    """Return a label scheme that a user names or gives.

    Raises:
        InputError: There is no dataset of that name.
    """
    if isinstance(labels, LabelScheme):
        return labels
    return labels.scheme if isinstance(labels, DatasetDescription) else find_scheme(labels)


def default_schemes(rules_labels: str | None) -> tuple[HowKnown, list[LabelScheme]]:
    """Return the schemes in question where nothing is known of a label map but the rules it is scored by.

    Args:
        rules_labels: Scheme that the rules are tied to, if any; otherwise the values decide among those of gliomas.
    """
    if rules_labels is not None:
        return "rules", [find_scheme(rules_labels)]
    return "values", candidate_schemes(find_description("glioma"))


def manifest_scheme(manifest: Mapping[str, object], known: Iterable[LabelScheme], source: object) -> LabelScheme | None:
    """Return the label scheme that the manifest of a prediction names; None where it names none.

    Args:
        manifest: As `Segmentation.save` wrote it: ``labels`` names the scheme.
        known: Schemes of datasets that are not packaged, which may be the one that is named.
        source: The prediction, named in errors.

    Raises:
        InputError: The scheme that is named is not known.
    """
    name = manifest.get("labels")
    if not isinstance(name, str):
        return None
    for scheme in known:
        if scheme.name == name:
            return scheme
    try:
        return find_scheme(name)
    except InputError:
        raise InputError(
            f"{source}: its manifest names the label values of {name!r}, an unknown dataset; name its .toml file"
        ) from None


def choose_scheme(source: object, values: Iterable[int], how: HowKnown, candidates: Sequence[LabelScheme]) -> Finding:
    """Return the scheme of one label map.

    Args:
        source: The file, named in errors.
        values: Label values that it holds.
        how: How the candidates are known.
        candidates: The one scheme that it must have, or several in order of preference among which the values decide.

    Raises:
        InputError: The label map holds values that the scheme, or every scheme in question, does not have.
    """
    present = frozenset(values) - {0}
    if len(candidates) == 1:
        candidates[0].check(present, str(source))
        return Finding(candidates[0], how, present, (candidates[0].name,))
    scheme = recognise_labels(present, candidates, str(source))
    fits = tuple(dict.fromkeys(found.name for found in candidates if present <= set(found.values)))
    return Finding(scheme, how, present, fits)


def _by_values(findings: Sequence[Finding]) -> tuple[Counter[str], str]:
    """Return the schemes that values decided, and the words that say so."""
    union = sorted(frozenset[int]().union(*(finding.values for finding in findings)))
    common = [name for name in findings[0].fits if all(name in finding.fits for finding in findings)]
    if not common:
        count = Counter(" or ".join(finding.fits) for finding in findings)
        return count, "case by case by their values, which no single scheme has"
    listed = " ".join(map(str, union)) or "none"
    more = f", which {' and '.join(common[1:])} can have too" if len(common) > 1 else ""
    if union == [1]:
        more += ", though only 1 occurs, as in binary masks, of which scores of inner regions mean nothing"
    elif 3 in union and common[0] == "brats2023":
        more += ", unless they are of nnU-Net or MSD, where 1 is oedema and 2 necrosis: name nnunet or msd then"
    return Counter({common[0]: len(findings)}), f"by the label values of all files ({listed}){more}"


def describe_findings(findings: Iterable[Finding]) -> dict[str, Any]:
    """Return what the label schemes of one side are, for readers and files.

    Returns:
        ``schemes``: scheme -> number of files; ``sentence``: the same with how it is known.
    """
    by_how: dict[HowKnown, list[Finding]] = {}
    for finding in findings:
        by_how.setdefault(finding.how, []).append(finding)
    total: Counter[str] = Counter()
    clauses = []
    for how, group in by_how.items():
        if how == "values":
            count, reason = _by_values(group)
        else:
            count, reason = Counter(finding.scheme.name for finding in group), _HOW[how]
        total += count
        names = ", ".join(f"{name} ({number})" for name, number in sorted(count.items()))
        clauses.append(f"{names}, {reason}")
    return {"schemes": dict(sorted(total.items())), "sentence": "; ".join(clauses)}
