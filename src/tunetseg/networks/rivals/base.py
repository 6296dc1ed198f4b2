"""What the rivals share."""

from typing import Any

from torch import nn

from tunetseg.networks.protocol import SegmentationNetwork

__all__ = ["Rival", "last_convolution"]


def last_convolution(module: nn.Module) -> nn.Conv3d:
    """Return the last 3-D convolution inside a module."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv3d)][-1]


class Rival(SegmentationNetwork):
    """A network that keeps the initialisation of its library or paper, except for the bias of its output.

    Args:
        in_channels: Channels of the image.
        regions: Names of the regions, outermost first.
        stride: Sides of an input must be multiples of this many voxels.
        options: Keyword arguments of the subclass, which ``reset_parameters`` needs to build it again.
    """

    def __init__(self, in_channels: int, regions: tuple[str, ...], *, stride: int, options: dict[str, Any]) -> None:
        super().__init__(regions, stride)
        self.in_channels = in_channels
        self.options = options

    def reset_parameters(self, prior_logit: float = 0.0) -> None:
        """Draw new weights as the constructor does; the output's bias becomes ``prior_logit``."""
        again: Any = type(self)
        self.load_state_dict(again(self.in_channels, self.regions, **self.options).state_dict())
        self.set_prior(prior_logit)
