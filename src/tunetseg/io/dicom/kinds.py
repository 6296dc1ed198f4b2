"""Which slices of a series belong to one volume: echoes and kinds of images apart."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from tunetseg.io.dicom.geometry import stack_planes
from tunetseg.io.dicom.headers import Frame

__all__ = ["make_one_stack", "split_volumes"]

_CORRECTIONS = {"ND", "DIS2D", "DIS3D", "NORM"}
"""Values of the image type that say how an image was corrected, and not what it shows."""

_ECHO_MS = 0.3
_ECHO_SHARE = 0.01


def split_volumes(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Group the slices of a series by echo, image type and diffusion weighting.

    Slices whose image types differ only in how they were corrected stay together where they make one stack.

    Args:
        frames: At least one, in any order.

    Returns:
        Slices of each volume, the shortest echo time first.
    """
    echoes = _echoes({frame.tags.echo_time for frame in frames} - {None})
    kinds: dict[tuple[Any, ...], dict[tuple[str, ...], list[Frame]]] = defaultdict(lambda: defaultdict(list))
    for frame in frames:
        tags = frame.tags
        shown = tuple(word for word in tags.image_type if word.upper() not in _CORRECTIONS)
        kinds[echoes.get(tags.echo_time, 0.0), shown, tags.diffusion][tags.image_type].append(frame)
    volumes = []
    for key in sorted(kinds):
        parts = [part for _, part in sorted(kinds[key].items())]
        if len(parts) > 1 and make_one_stack(parts):
            parts = [[frame for part in parts for frame in part]]
        volumes += parts
    return volumes


def make_one_stack(parts: Sequence[Sequence[Frame]]) -> bool:
    """Return whether groups of slices share no place and make one volume together."""
    planes = [{frame.plane.place: frame.plane for frame in part if frame.plane is not None} for part in parts]
    together = {place: plane for part in planes for place, plane in part.items()}
    if not together or len(together) < sum(map(len, planes)):
        return False
    return stack_planes([*together.values()], "")[0] is not None


def _echoes(times: Iterable[Any]) -> dict[float | None, float]:
    """Echo time -> the shortest of those that differ from it by no more than scanners' rounding."""
    found: dict[float | None, float] = {}
    last = shortest = float("-inf")
    for time in sorted(times):
        if time - last > max(_ECHO_MS, _ECHO_SHARE * time):
            shortest = time
        found[time] = shortest
        last = time
    return found
