"""Store a trained model as bf16 for the package: ``python tools/package_model.py RUN src/tunetseg/models/NAME``."""

import sys
from pathlib import Path

import torch

from tunetseg.models.store import load_model, save_model
from tunetseg.models.zoo import find_model


def main(run: str, folder: str) -> None:
    """Write ``model.safetensors`` into a folder."""
    target = Path(folder) / "model.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    network, spec = load_model(find_model(run))
    save_model(target, network, spec, torch.bfloat16)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
