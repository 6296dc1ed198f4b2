"""Networks: the paper's blocks, sub-network and cascade; a registry of them and of rivals by name."""

from tunetseg.networks.cascade import Cascade
from tunetseg.networks.cpu import speed_up_on_cpu
from tunetseg.networks.protocol import LossTerms, SegmentationNetwork
from tunetseg.networks.registry import (
    NetworkSpec,
    build_network,
    create_network,
    missing_packages,
    network_names,
    network_options,
    register,
)

__all__ = [
    "Cascade",
    "LossTerms",
    "NetworkSpec",
    "SegmentationNetwork",
    "build_network",
    "create_network",
    "missing_packages",
    "network_names",
    "network_options",
    "register",
    "speed_up_on_cpu",
]
