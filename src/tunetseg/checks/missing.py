"""Channels that a patient lacks."""

from collections.abc import Sequence

from tunetseg.findings import Finding, listed

__all__ = ["missing_channels"]

_CONTRAST = "t1ce"
"""Without this channel, regions that are defined by contrast enhancement are guesses."""


def missing_channels(names: Sequence[str], *, trained: bool = True) -> list[Finding]:
    """Return warnings of the channels that a patient lacks.

    Args:
        names: The channels.
        trained: Whether every model is known to have been trained with missing images.
    """
    if not names:
        return []
    sentence = f"no {listed(names, 'or')} image: replaced by zeros, so expect worse results"
    if not trained:
        sentence += "; the model is not known to have been trained with missing images"
    findings = [Finding("missing-channel", "warning", sentence)]
    if _CONTRAST in names:
        message = "without a contrast-enhanced T1 the tumour core and the enhancing tumour cannot be relied on"
        findings.append(Finding("no-contrast", "warning", message))
    return findings
