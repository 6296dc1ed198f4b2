"""What ``tunet info`` prints."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from tunetseg import __version__
from tunetseg.datasets import packaged_descriptions
from tunetseg.models.device import choose_device, has_fast_bfloat16
from tunetseg.models.store import file_hash, read_spec
from tunetseg.models.zoo import DEFAULT, packaged_models
from tunetseg.networks import create_network, network_names
from tunetseg.networks.registry import missing_packages
from tunetseg.training.recipes import recipe_names

__all__ = ["gather", "lines"]

_PACKAGES = ("torch", "pytorch-lightning", "numpy", "scipy", "nibabel", "monai")


def gather() -> dict[str, Any]:
    """Return all facts as plain data."""
    device = choose_device()
    return {
        "version": __version__,
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "bf16": has_fast_bfloat16(device),
        "networks": [{"name": name, "parameters": _parameters(name)} for name in network_names()],
        "datasets": [
            {
                "name": found.name,
                "title": found.title,
                "channels": list(found.channel_names),
                "regions": list(found.region_names),
            }
            for found in packaged_descriptions().values()
        ],
        "recipes": list(recipe_names()),
        "default_model": DEFAULT,
        "models": [
            {
                "name": name,
                "files": [{"name": path.name, "sha256": file_hash(path)} for path in paths],
                "network": spec.network.name,
                "dataset": spec.dataset.name,
                "spacing_mm": spec.preprocessing.spacing,
                "training": spec.training,
            }
            for name, paths in packaged_models().items()
            for spec in [read_spec(paths[0])]
        ],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _parameters(name: str) -> int | None:
    """Parameters with default options, for four channels and three regions; None where a package is missing."""
    if missing_packages(name):
        return None
    with torch.device("meta"):
        network = create_network(name)
    return sum(parameter.numel() for parameter in network.parameters())


def lines(facts: dict[str, Any]) -> list[str]:
    """Return the facts as lines of text."""
    packages = ", ".join(f"{name} {number}" for name, number in facts["packages"].items())
    models = [
        f"{m['name']}{' (default)' if m['name'] == facts['default_model'] else ''}: {m['network']}, {m['dataset']}, "
        f"{m['spacing_mm']:g} mm"
        for m in facts["models"]
    ]
    return [
        f"tunetseg {facts['version']}, Python {facts['python']}, {packages}",
        f"device    {facts['device']} ({facts['device_name']}), {facts['threads']} threads, "
        f"bf16 {'in hardware' if facts['bf16'] else 'not in hardware'}",
        f"recipes   {', '.join(facts['recipes'])}",
        f"models    {'; '.join(models) or 'none'}",
        "networks  (three regions, four channels, default options)",
        *(f"  {network['name']:<20}{_count(network['parameters'])}" for network in facts["networks"]),
        "datasets",
        *(
            f"  {dataset['name']:<20}{dataset['title']}: {', '.join(dataset['channels'])}; "
            f"{', '.join(dataset['regions'])}"
            for dataset in facts["datasets"]
        ),
        "Research use, not a medical device.",
    ]


def _count(parameters: int | None) -> str:
    return "needs tunetseg[rivals]" if parameters is None else f"{parameters:>12,} parameters"
