"""Store a trained model as bf16 for the package.

python tools/package_model.py RUN src/tunetseg/models/packaged/NAME
"""

import sys
from pathlib import Path

import torch

from tunetseg.models.store import load_network, save_model
from tunetseg.models.zoo import MODEL, find_models


def main(run: str, folder: str, name: str = MODEL) -> None:
    """Write a model file into a folder."""
    target = Path(folder) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    (path,) = find_models([run])
    network, spec = load_network(path)
    save_model(target, network, spec, torch.bfloat16)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
