"""What ``tunet info`` prints."""

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from tunetseg import __version__
from tunetseg.datasets import packaged_descriptions
from tunetseg.limits import processors
from tunetseg.models.engines import choose_engine
from tunetseg.models.engines.protocol import thread_limit
from tunetseg.models.store import file_hash, read_spec
from tunetseg.models.zoo import DEFAULT, find_models, packaged_models
from tunetseg.networks import create_network, network_names
from tunetseg.networks.registry import missing_packages
from tunetseg.training.recipes import recipe_names

__all__ = ["gather", "lines"]

_PACKAGES = ("numpy", "scipy", "nibabel", "openvino", "onnxruntime", "torch", "pytorch-lightning", "monai")


def gather() -> dict[str, Any]:
    """Return all facts as plain data."""
    engine = choose_engine(models=find_models())
    return {
        "version": __version__,
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "engine": engine.version,
        "device": engine.device,
        "device_name": _device_name(engine.device),
        "threads": thread_limit() or processors(),
        "bf16": engine.precision == "bf16",
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
                "network": specs[0].network.name,
                "dataset": specs[0].dataset.name,
                "spacing_mm": specs[0].preprocessing.spacing,
                "files": [
                    {"name": path.name, "sha256": file_hash(path), "training": spec.training}
                    for path, spec in zip(paths, specs, strict=True)
                ],
            }
            for name, paths in packaged_models().items()
            for specs in [[read_spec(path) for path in paths]]
        ],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return platform.machine()
    import torch

    return torch.cuda.get_device_name(device)


def _parameters(name: str) -> int | None:
    """Parameters with default options, for four channels and three regions; None where a package is missing."""
    if find_spec("torch") is None or missing_packages(name):
        return None
    import torch

    with torch.device("meta"):
        network = create_network(name)
    return sum(parameter.numel() for parameter in network.parameters())


def lines(facts: dict[str, Any]) -> list[str]:
    """Return the facts as lines of text."""
    packages = ", ".join(f"{name} {number}" for name, number in facts["packages"].items())
    models = [
        f"{m['name']}{' (default)' if m['name'] == facts['default_model'] else ''}: {_mean_of(m['files'])}"
        f"{m['network']}, {m['dataset']}, {m['spacing_mm']:g} mm, trained on {_patients(m['files'])} patients"
        for m in facts["models"]
    ]
    return [
        f"tunetseg {facts['version']}, Python {facts['python']}, {packages}",
        f"engine    {facts['engine']} on {facts['device']} ({facts['device_name']}), {facts['threads']} threads, "
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


def _mean_of(files: list[dict[str, Any]]) -> str:
    return f"mean of {len(files)}, " if len(files) > 1 else ""


def _patients(files: list[dict[str, Any]]) -> str:
    """Return how many patients each of some models has seen."""
    counts = {file["training"].get("cases", "unknown") for file in files}
    return " or ".join(map(str, sorted(counts, key=str)))


def _count(parameters: int | None) -> str:
    return (
        f"needs tunetseg[{'train' if find_spec('torch') is None else 'rivals'}]"
        if parameters is None
        else f"{parameters:>12,} parameters"
    )
