"""Blocks, sub-network, cascade, and the six variants by name."""

from tunetseg.networks.cascade import Cascade
from tunetseg.networks.variants import VARIANTS, Architecture, build_network

__all__ = ["VARIANTS", "Architecture", "Cascade", "build_network"]
