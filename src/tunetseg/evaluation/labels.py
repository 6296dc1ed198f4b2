"""Which label scheme each file of an evaluation is written in, and how that is known."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from tunetseg.datasets import GLIOMA_REGIONS, LabelScheme, recognise_labels, scheme_named
from tunetseg.errors import InputError
from tunetseg.evaluation.pairing import LabelFile

__all__ = ["Finding", "describe_findings", "find_scheme"]

HowKnown = Literal["option", "manifest", "dataset", "rules", "values"]

_HOW = {
    "option": "as the option says",
    "manifest": "as the manifest beside each prediction says",
    "dataset": "as the dataset's year tells",
    "rules": "as the rules say",
}


@dataclass(frozen=True)
class Finding:
    """The scheme of one file.

    Args:
        scheme: Its row of the table.
        how: What it is known by.
        values: Label values that the file holds, without background.
    """

    scheme: LabelScheme
    how: HowKnown
    values: frozenset[int]


def find_scheme(file: LabelFile, values: Iterable[int], overrule: str | None, usual: str = "brats2017") -> Finding:
    """Scheme of one label map: as the option says, else the manifest, the dataset's year, the rules or the values.

    A file alone is enough where only values tell: with both 3 and 4 in it a person must say, with one of them
    it is clear, and with neither the two schemes in question mean the same.

    Args:
        file: The label map.
        values: Label values that it holds.
        overrule: A year or scheme that a person named.
        usual: The rules' own scheme. It decides where it has other regions than glioma's, whose years values tell.

    Raises:
        InputError: No such scheme, or the file holds values that the scheme does not have.
    """
    present = frozenset(values) - {0}
    source = str(file.path)
    if overrule is not None:
        named: tuple[str, HowKnown] | None = (overrule, "option")
    elif file.told is not None and file.told_by != "nothing":
        named = (file.told, file.told_by)
    elif scheme_named(usual).region_names != GLIOMA_REGIONS:
        named = (usual, "rules")
    else:
        named = None
    if named is None:
        return Finding(recognise_labels(present, source), "values", present)
    try:
        scheme = scheme_named(named[0])
    except InputError as error:
        raise (error if overrule is not None else InputError(f"{source}: its {named[1]} says {error}")) from None
    scheme.check(present, source)
    return Finding(scheme, named[1], present)


def _by_values(findings: list[Finding]) -> tuple[Counter[str], str]:
    """Schemes that values told, and the sentence that says so."""
    union = frozenset[int]().union(*(finding.values for finding in findings))
    if {3, 4} <= union:
        count = Counter(
            finding.scheme.name if finding.values & {3, 4} else "brats2017 or brats2023" for finding in findings
        )
        return count, "case by case by their values, since some files hold a 3 and others a 4"
    scheme = recognise_labels(union, "all files").name
    if not union & {3, 4}:
        return Counter({scheme: len(findings)}), "no enhancing tumour anywhere, so that 2017's and 2023's agree"
    seen = "a 3 and no 4" if 3 in union else "a 4 and no 3"
    return Counter({scheme: len(findings)}), f"recognised by {seen} over all files"


def describe_findings(findings: Iterable[Finding]) -> dict[str, Any]:
    """What one side's labels were found to be, for people and files.

    Returns:
        ``schemes``: scheme -> number of files; ``sentence``: the same with how it is known.
    """
    given = list(findings)
    total: Counter[str] = Counter()
    clauses = []
    for how in dict.fromkeys(finding.how for finding in given):
        mine = [finding for finding in given if finding.how == how]
        if how == "values":
            count, reason = _by_values(mine)
        else:
            count, reason = Counter(finding.scheme.name for finding in mine), _HOW[how]
        total += count
        names = ", ".join(f"{name} ({number})" for name, number in sorted(count.items()))
        clauses.append(f"{names}, {reason}")
    return {"schemes": dict(sorted(total.items())), "sentence": "; ".join(clauses)}
