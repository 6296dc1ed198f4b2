"""The paper's six networks by name (Table 1)."""

from dataclasses import dataclass

from tunetseg.errors import InputError
from tunetseg.networks.cascade import Cascade
from tunetseg.networks.subnetwork import LevelDesign, PlainDesign, PostActivationDesign, PreActivationDesign

__all__ = ["VARIANTS", "Architecture", "build_network"]

VARIANTS: dict[str, tuple[type[LevelDesign], bool]] = {
    "tunet": (PlainDesign, False),
    "tunet-seb": (PlainDesign, True),
    "tunet-reb1": (PostActivationDesign, False),
    "tunet-reb1-seb": (PostActivationDesign, True),
    "tunet-reb2": (PreActivationDesign, False),
    "tunet-reb2-seb": (PreActivationDesign, True),
}
"""Name -> what stands at each level, and whether squeeze-and-excitation follows."""


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build a network; stored with its weights.

    Args:
        variant: One of ``VARIANTS``.
        image_channels: Channels of the image.
        regions: Nested regions, outermost first.
        base_filters: Filters of the first level (paper: 16).
        levels: Resolutions of each sub-network (paper: 4).
    """

    variant: str = "tunet-seb"
    image_channels: int = 4
    regions: tuple[str, ...] = ("whole", "core", "enhancing")
    base_filters: int = 16
    levels: int = 4

    def __post_init__(self) -> None:
        """Check the name and the sizes."""
        if self.variant not in VARIANTS:
            raise InputError(f"variant {self.variant!r}: no such network; there are {', '.join(VARIANTS)}")
        if min(self.image_channels, self.base_filters, self.levels, len(self.regions)) < 1:
            raise InputError(f"architecture {self}: channels, filters, levels and regions must be at least 1")


def build_network(architecture: Architecture) -> Cascade:
    """Network with fresh weights.

    Examples:
        >>> network = build_network(Architecture("tunet"))
        >>> sum(parameter.numel() for parameter in network.parameters())
        12323907
    """
    design, squeeze_excite = VARIANTS[architecture.variant]
    return Cascade(
        architecture.image_channels,
        tuple(architecture.regions),
        architecture.levels,
        design(architecture.base_filters, squeeze_excite),
    )
