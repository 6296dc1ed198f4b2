"""Templates of file names, as the descriptions of datasets have them."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

__all__ = ["REFERENCE", "Template", "compile_case", "compile_template"]

REFERENCE = "reference"
"""Role of a reference segmentation, where others have the name of a channel."""


@dataclass(frozen=True)
class Template:
    """One way in which files are named.

    Args:
        role: What a file of this name is: a channel, or ``REFERENCE``.
        expression: Regular expression of the names of the folders and of the file, without its ending.
        case: Fits the name of a case.
        volume: Index of the volume in a 4-D file.
        literal: Count of characters that stand for themselves.
        depth: Count of the folders in the template, and one for the file.
        tail: What every name that fits ends with.
        ignore_case: Upper and lower case are the same; ``tail`` is then in lower case.
    """

    role: str
    expression: str
    case: re.Pattern[str]
    volume: int | None
    literal: int
    depth: int
    tail: str
    ignore_case: bool

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The expression; compiled only where it is needed, as most files end like few templates."""
        return re.compile(self.expression, self.case.flags)

    def case_of(self, path: Path, stem: str) -> str | None:
        """Return the case that a file belongs to, or None where the template does not fit.

        Args:
            path: The file; absolute, as its folders count too.
            stem: Its name without ending.
        """
        # Comparing strings is much faster than compiling and matching patterns.
        if not (stem.lower() if self.ignore_case else stem).endswith(self.tail):
            return None
        if len(path.parts) <= self.depth:
            return None
        found = self.pattern.fullmatch("/".join((*path.parts[-self.depth : -1], stem)))
        if found is None:
            return None
        if "case" in self.pattern.groupindex:
            return found["case"]
        folder = path.parents[self.depth - 1].name
        return folder if self.case.fullmatch(folder) else None


def compile_case(case: str, ignore_case: bool) -> re.Pattern[str]:
    """Return the pattern of a case's name.

    Raises:
        ValueError: It is not a valid regular expression, or cannot be a part of one.
    """
    try:
        re.compile(f"x(?P<case>{case})")  # as in a template, where no group may be called case, nor a flag be set
        return re.compile(case, re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise ValueError(f"invalid regular expression {case!r} ({error})") from None


def compile_template(role: str, text: str, case: str, ignore_case: bool) -> Template:
    """Return a template from its text.

    Args:
        role: What a file of this name is.
        text: As in `FileLayout`.
        case: Regular expression of a case's name.
        ignore_case: Upper and lower case are the same.

    Raises:
        ValueError: The text is not a valid template.
    """
    name, hash_sign, volume = text.partition("#")
    if name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"template {text!r}: leave out the ending .nii or .nii.gz, as either fits")
    if hash_sign and not volume.isdecimal():
        raise ValueError(f"template {text!r}: the number of a volume must follow #")
    parts = re.split(r"(\{case\}|\*)", name)
    literals = [part for part in parts if part not in {"{case}", "*"}]
    if not name or name.startswith("/") or re.search("[{}]", "".join(literals)):
        raise ValueError(f"template {text!r}: must be a relative name, in which {{case}} and * stand for other names")
    whole = compile_case(case, ignore_case)
    pattern = ""
    for part in parts:
        if part == "*":
            pattern += "[^/]*?"
        elif part == "{case}":
            pattern += "(?P=case)" if "(?P<case>" in pattern else f"(?P<case>{case})"
        else:
            pattern += re.escape(part)
    tail = parts[-1].rpartition("/")[2]
    return Template(
        role,
        pattern,
        whole,
        int(volume) if hash_sign else None,
        sum(map(len, literals)),
        name.count("/") + 1,
        tail.lower() if ignore_case else tail,
        ignore_case,
    )
