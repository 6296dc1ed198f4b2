"""What `tunet info` says."""

import platform
from importlib.metadata import version
from typing import Any

import torch

from tunetseg import __version__
from tunetseg.models.device import choose_device, has_fast_bfloat16
from tunetseg.models.store import file_hash, read_spec
from tunetseg.models.zoo import packaged_models
from tunetseg.networks import VARIANTS, Architecture, build_network
from tunetseg.training.recipes import RECIPES

__all__ = ["gather", "lines"]


def gather() -> dict[str, Any]:
    """All facts as plain data."""
    device = choose_device()
    models = [(name, path, read_spec(path)) for name, path in packaged_models().items()]
    return {
        "version": __version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("torch", "pytorch-lightning", "numpy", "scipy", "nibabel")},
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "bf16": has_fast_bfloat16(device),
        "recipes": list(RECIPES),
        "models": [
            {
                "name": name,
                "sha256": file_hash(path),
                "variant": spec.architecture.variant,
                "base_filters": spec.architecture.base_filters,
                "spacing_mm": spec.preprocessing.spacing,
                "training": spec.training,
            }
            for name, path, spec in models
        ],
        "variants": [{"name": name, "parameters": _parameters(name)} for name in VARIANTS],
    }


def _parameters(variant: str) -> int:
    with torch.device("meta"):
        network = build_network(Architecture(variant))
    return sum(parameter.numel() for parameter in network.parameters())


def lines(facts: dict[str, Any]) -> list[str]:
    """The same for people."""
    packages = ", ".join(f"{name} {number}" for name, number in facts["packages"].items())
    return [
        f"tunetseg {facts['version']}, Python {facts['python']}, {packages}",
        f"device    {facts['device']} ({facts['device_name']}), {facts['threads']} threads, "
        f"bf16 {'in hardware' if facts['bf16'] else 'not in hardware'}",
        f"recipes   {', '.join(facts['recipes'])}",
        "models    "
        + (", ".join(f"{m['name']} ({m['variant']}, {m['spacing_mm']:g} mm)" for m in facts["models"]) or "none"),
        "variants  (three regions, four channels, base 16, four levels)",
        *(f"  {variant['name']:<16}{variant['parameters']:>12,} parameters" for variant in facts["variants"]),
        "Research use, not a medical device.",
    ]
