"""Which MR sequence a series is, from what the scanner wrote about it."""

import re
from dataclasses import dataclass, field

__all__ = ["SequenceGuess", "SequenceTags", "guess_sequence"]


@dataclass(frozen=True)
class SequenceTags:
    """What a series says about how it was acquired.

    Args:
        description: Series description.
        protocol: Protocol name; it counts only where the description says nothing.
        sequence_name: The vendor's name of the pulse sequence.
        modality: ``MR``, ``CT``, ...
        echo_time: In ms.
        repetition_time: In ms.
        inversion_time: In ms.
        contrast_agent: Contrast agent.
        scanning_sequence: Such as ``SE`` and ``IR``.
        acquisition_contrast: Of enhanced MR images, such as ``FLUID_ATTENUATED``.
        image_type: Values such as ``ORIGINAL``, ``PRIMARY``, ``M``.
        diffusion: Whether a b-value is given that is not 0.
    """

    description: str = ""
    protocol: str = ""
    sequence_name: str = ""
    modality: str = "MR"
    echo_time: float | None = None
    repetition_time: float | None = None
    inversion_time: float | None = None
    contrast_agent: str = ""
    scanning_sequence: tuple[str, ...] = ()
    acquisition_contrast: str = ""
    image_type: tuple[str, ...] = ()
    diffusion: bool = False


@dataclass(frozen=True)
class SequenceGuess:
    """Which channel a series seems to be.

    Args:
        candidates: ``t1``, ``t1ce``, ``t2``, ``flair`` or ``ct``; several where the tags do not decide or contradict
            each other, none where it is something else.
        reasons: Why, in a few words each.
        certain: Whether words and times were both there and agreed, or one was clear alone.
    """

    candidates: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    certain: bool = True

    @property
    def channel(self) -> str | None:
        """The only candidate, if there is exactly one."""
        return self.candidates[0] if len(self.candidates) == 1 else None


@dataclass
class _Evidence:
    """Possible weightings and the reasons for them."""

    found: set[str] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)


# Words are matched in lower case with all of " _-/" as spaces; none may quote what is not in the pattern.
_OTHER = {
    "diffusion": r"\b(?:dwi|dti|adc|eadc|diff\w*|trace\w*|tensor|ep2d|noddi|dki|fa map)\b",
    "susceptibility": r"\b(?:swi|swan|swip|venobold|suscept\w*|hemo\w*|h(?:a|ä)mo\w*)\b|\bt2w? ?(?:\*|star)",
    "perfusion": r"\b(?:perf\w*|dsc|dce|asl|pcasl|pasl|r?cbf|r?cbv|mtt|tmax|ttp)\b",
    "angiography": r"\b(?:tof|mra|mrv|angio\w*|venogr\w*)\b",
    "field map": r"\b(?:b0 ?map|b1 ?map|field ?map|phase ?map)\b",
    "localizer": r"\b(?:locali[sz]er|loc|scout|survey|3 ?plane|aa ?head)\b",
    "spectroscopy": r"\b(?:mrs|spectro\w*|svs|csi)\b",
    "functional MRI": r"\b(?:bold|fmri|resting)\b",
    "calibration": r"\b(?:calib\w*|asset|sense ref|ref ?scan|prescan)\b",
    "relaxation map": r"\bt[12] ?map\w*\b|\b(?:mapit|qmap)\b",
    "subtraction": r"\b(?:sub|subtr\w*)\b",
    "projection": r"\b(?:mip|minip)\b",
    "double inversion": r"\bdir\b",
    "spine": r"\b(?:spine|c ?spine|cervical|lumbar|thoracic|hws|bws|lws)\b",
    "STIR": r"\bstir\b",
}
_IMAGE_TYPES = {
    "LOCALIZER": "localizer",
    "PROJECTION IMAGE": "projection",
    "MIN IP": "projection",
    "ADC": "diffusion",
    "DIFFUSION": "diffusion",
    "SUBTRACTION": "subtraction",
    "PHASE": "phase image",
    "P": "phase image",
    "R": "real part",
    "I": "imaginary part",
}
_WEIGHTINGS = {
    "flair": r"flair|\bdark ?fl|darkfluid|fluid ?att|\btirm\b|\bspcir",
    "t2": r"\b(?:[23]d ?)?[es]?t2(?!\d)",
    "t1": r"\b(?:[23]d ?)?[es]?t1(?!\d)",
    "t1 by name": r"\b(?:mp ?rage|mp2rage|bravo|f?spgr|vibe|thrive|tfl3d)",
    "pd": r"\b(?:pd|pdw|proton ?dens\w*)\b",
}
_AGENT = (
    r"(?:contrast\w*|kontrast\w*|gad|gado\w*|gd|km|mdc|civ|inj\w*|c|ce|dotarem|clariscan|gadovist|magnevist|prohance"
    r"|omniscan|vueway)"
)
_TREATMENT = (
    r"(?:op\w*|rt|rtx|xrt|crt|tx|srs|radi\w*|chemo\w*|tmz|gamma ?knife|cyber ?knife|surg\w*|treat\w*|therap\w*"
    r"|resect\w*|crani\w*|biops\w*|bx)\b"
)
_BEFORE = rf"pre(?! ?{_TREATMENT})"
# The posterior fossa is abbreviated too. Words such as T1post are written together.
_AFTER = rf"(?:\b|(?<=t1)|(?<=t1w))post(?! ?(?:{_TREATMENT}|fossa|ictal|traum\w*))"
_WITHOUT = (
    rf"\b(?:{_BEFORE}|ohne|without|w ?o|no|non|sans|senza|sin|vor|before|avant) ?{_AGENT}\b"
    rf"|\b{_BEFORE}\b|\b(?:nativ\w*|unenhanced|noncontrast|plain)\b"
)
_WITH = (
    rf"\+ ?{_AGENT}\b|\b{_AGENT} ?\+|\b(?:with|nach|mit|after|avec|apres|con|w) ?{_AGENT}\b"
    rf"|{_AFTER}(?: ?{_AGENT})?\b|\bt1w? ?{_AGENT}\b|\bt1w? ?\+ *$|\bt1w?\+ "
    r"|\b(?:ce|gd|gad|gado\w*|km|mdc|civ|inj\w*|contrast\w*|kontrast\w*|enhanced|dotarem|gadovist)\b"
)
_PLUS_MINUS = (
    r"\+ ?/ ?-|\b(?:w|with|mit|avec|con)\b[ /]*(?:and|und|et|e|y|&)?[ /]*\b(?:w/?o|without|ohne|sans|senza|sin)\b"
    r"|\b(?:w/?o|without|ohne|sans|senza|sin) *(?:and|und|et|e|y|&) *(?:w|with|mit|avec|con)\b"
)
# A hyphen before a word is a minus only after a space or bracket: T1-Gd is with contrast agent, T1 -Gd without.
_MINUS = rf"(?<![^\s_(\[])-{_AGENT}(?![a-z0-9])|(?<![a-z]){_AGENT}-(?![^\s_)\],;])"
_SIGNS = {
    _PLUS_MINUS: " with contrast without contrast ",
    _MINUS: " without contrast ",
    r"(?<![a-z0-9])w/\s*$": " with contrast ",
}
"""Signs that `_plain` would drop, and what they mean; in lower case."""

_NO_AGENT = {"", "no", "none", "n", "0", "nein", "nil", "without", "unknown"}


def guess_sequence(tags: SequenceTags) -> SequenceGuess:
    """Return which of T1, T1 with contrast agent, T2 and FLAIR a series is.

    Words of the description count first, then those of the protocol; times of the acquisition must not contradict
    them. What is not decided stays undecided.

    Args:
        tags: What the series says.

    Examples:
        >>> guess = guess_sequence(SequenceTags("AX T1 MPRAGE +C", echo_time=3, repetition_time=2200))
        >>> guess.channel, guess.reasons[0]
        ('t1ce', 'the description says T1')
        >>> guess_sequence(SequenceTags("AX BRAIN", echo_time=100, repetition_time=9000)).candidates
        ('flair', 't2')
    """
    if tags.modality == "CT":
        return SequenceGuess(("ct",), ("the modality is CT",))
    if tags.modality != "MR":
        return SequenceGuess((), (f"the modality is {tags.modality}",))
    other = _other_kind(tags)
    if other:
        return SequenceGuess((), (other,))
    words, times = _by_words(tags), _by_times(tags)
    weightings, certain, reasons = _combine(words, times)
    if weightings == {"t1"}:
        contrast, contrast_reason, sure = _contrast(tags)
        return SequenceGuess(contrast, (*reasons, contrast_reason), certain and sure)
    known = tuple(sorted(weightings - {"pd", "other"}))
    if weightings & {"pd", "other"} and not known:
        kind = "proton density" if "pd" in weightings else "neither T1 nor T2 nor FLAIR"
        return SequenceGuess((), (*reasons, f"so it is {kind}"), certain)
    if "t1" in known:
        known = tuple(sorted({*known, *_contrast(tags)[0]} - ({"t1"} - {*_contrast(tags)[0]})))
    return SequenceGuess(known, tuple(reasons), certain and len(known) == 1)


def _plain(text: str) -> str:
    return re.sub(r"[\s_\-/.,;:()\[\]]+", " ", text.lower()).strip()


def _spelled_out(text: str) -> str:
    text = text.lower()
    for sign, words in _SIGNS.items():
        text = re.sub(sign, words, text)
    return text


def _other_kind(tags: SequenceTags) -> str:
    """Why a series is none of the four, or nothing."""
    for value in tags.image_type:
        if value.upper() in _IMAGE_TYPES:
            return f"the image type says {_IMAGE_TYPES[value.upper()]}"
    if tags.diffusion:
        return "a b-value is given, as in diffusion"
    if tags.inversion_time and tags.inversion_time < 300 and re.search(r"\btirm\b", _plain(tags.description)):
        return "the description says TIRM, with the short TI of STIR"
    for source, text in (("description", tags.description), ("protocol", tags.protocol)):
        plain = _plain(text)
        for kind, pattern in _OTHER.items():
            if re.search(pattern, plain):
                return f"the {source} says {kind}"
        if plain and _weighting_words(plain):
            break  # the protocol counts only where the description says nothing
    return ""


def _weighting_words(plain: str) -> set[str]:
    found = {name.removesuffix(" by name") for name, pattern in _WEIGHTINGS.items() if re.search(pattern, plain)}
    if "flair" in found:
        # T2 FLAIR is FLAIR; T1 FLAIR (GE) is a T1 with an inversion pulse.
        return {"t1"} if "t1" in found and "t2" not in found else {"flair"}
    return found


def _by_words(tags: SequenceTags) -> _Evidence:
    names = {"t1": "T1", "t2": "T2", "flair": "FLAIR", "pd": "proton density"}
    if tags.acquisition_contrast:
        found = {"FLUID_ATTENUATED": "flair", "T1": "t1", "T2": "t2", "PROTON_DENSITY": "pd"}.get(
            tags.acquisition_contrast.upper()
        )
        if found and not _weighting_words(_plain(tags.description)):
            return _Evidence({found}, [f"the acquisition contrast is {names[found]}"])
    texts = (("description", tags.description), ("protocol", tags.protocol), ("sequence name", tags.sequence_name))
    for source, text in texts:
        words = _weighting_words(_plain(text))
        if words:
            said = " and ".join(names[word] for word in sorted(words))
            return _Evidence(words, [f"the {source} says {said}"])
    return _Evidence()


def _by_times(tags: SequenceTags) -> _Evidence:
    """Weightings that echo, repetition and inversion time allow, for field strengths of 1 to 3 T."""
    echo, repetition, inversion = tags.echo_time, tags.repetition_time, tags.inversion_time or None
    if not echo or not repetition:
        return _Evidence()
    said = f"TE {echo:.3g} and TR {repetition:.5g} ms"
    gradient = "GR" in tags.scanning_sequence and "SE" not in tags.scanning_sequence
    if inversion is not None:
        said += f" and TI {inversion:.5g} ms"
        if inversion < 300:
            found = {"other"}
        elif inversion >= 1300:
            found = {"flair"} if echo >= 60 else {"t1", "flair"}
        else:
            found = {"t1"} if echo <= 40 else {"other"}
    elif gradient and echo >= 15 and repetition <= 1500:
        found = {"other"}
    elif echo >= 60 and repetition >= 1500:
        inverted = "IR" in tags.scanning_sequence
        found = {"flair"} if inverted else {"t2"} if repetition < 4000 else {"t2", "flair"}
    elif echo <= 40 and repetition <= 1200:
        found = {"t1"}
    elif echo <= 45 and repetition >= 1700:
        # A gradient echo with so long a TR has an inversion pulse whose time was not written.
        found = {"t1"} if gradient and echo <= 10 else {"pd"}
    else:
        return _Evidence()
    return _Evidence(found, [said])


def _combine(words: _Evidence, times: _Evidence) -> tuple[set[str], bool, list[str]]:
    """Weightings, whether they are certain, and why."""
    reasons = [*words.reasons, *(f"{reason} fit {_names(times.found)}" for reason in times.reasons)]
    if not words.found and not times.found:
        return set(), False, ["no name or time says what it is"]
    if not words.found:
        return times.found, False, reasons
    if not times.found:
        return words.found, len(words.found) == 1, reasons
    if words.found == {"t2"} and times.found == {"flair"}:
        # Many sites call it T2 TIRM or T2 IR.
        return {"flair"}, True, reasons
    agreed = words.found & times.found
    if agreed:
        return agreed, len(agreed) == 1, reasons
    return words.found | times.found - {"other"}, False, [*reasons, "which contradict each other"]


def _names(found: set[str]) -> str:
    names = {"t1": "T1", "t2": "T2", "flair": "FLAIR", "pd": "proton density", "other": "none of T1, T2 and FLAIR"}
    return " or ".join(names[name] for name in sorted(found))


def _contrast(tags: SequenceTags) -> tuple[tuple[str, ...], str, bool]:
    """Which T1 it is, why, and whether that is certain."""
    agent = tags.contrast_agent.strip().lower() not in _NO_AGENT
    for source, text in (("description", tags.description), ("protocol", tags.protocol)):
        plain = _plain(_spelled_out(text))
        rest = re.sub(_WITHOUT, " ", plain)
        without, with_agent = rest != plain, bool(re.search(_WITH, rest))
        if without and with_agent:
            if source == "protocol":
                break  # that of an examination with series of both kinds
            return ("t1", "t1ce"), f"the {source} says both with and without contrast agent", False
        if without:
            reason = f"the {source} says without contrast agent"
            return ("t1",), reason + (", although a tag names one" if agent else ""), not agent
        if with_agent:
            return ("t1ce",), f"the {source} says contrast agent", True
    if agent:
        return ("t1ce",), "a tag names a contrast agent", True
    return ("t1",), "nothing names a contrast agent", True
