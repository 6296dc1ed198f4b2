"""Networks: the paper's blocks, sub-network and cascade; a registry of them and of other networks by name.

What needs PyTorch is imported when it is first used, so that names and options can be read without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tunetseg.networks.registry import (
    NetworkSpec,
    build_network,
    create_network,
    missing_packages,
    network_names,
    network_options,
    register,
)

if TYPE_CHECKING:
    from tunetseg.networks.cascade import Cascade
    from tunetseg.networks.cpu import speed_up_on_cpu
    from tunetseg.networks.protocol import LossTerms, SegmentationNetwork

_HOMES = {
    "Cascade": "cascade",
    "LossTerms": "protocol",
    "SegmentationNetwork": "protocol",
    "speed_up_on_cpu": "cpu",
}

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


def __getattr__(name: str) -> Any:
    """Import a name that needs PyTorch when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
