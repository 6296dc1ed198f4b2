"""Store trained models as bf16, with their ONNX files, for the package; several in one folder are an ensemble.

python tools/package_model.py FOLDER MODEL... [--dataset glioma] [--postprocessing rules.toml]
"""

import argparse
from dataclasses import replace
from pathlib import Path

import msgspec
import torch

from tunetseg.datasets import find_description
from tunetseg.inference.postprocess import find_postprocessing
from tunetseg.models.export import write_companion
from tunetseg.models.store import load_network, save_model
from tunetseg.models.zoo import MODEL, find_models


def main() -> None:
    """Write ``model.safetensors``, or ``fold-0.safetensors`` and so on in the order of the models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--dataset", help="name of the dataset that users see; by default that of the first model")
    parser.add_argument("--postprocessing", type=Path, help="rules that tunet tune wrote")
    given = parser.parse_args()
    paths = find_models(given.models)
    given.folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        network, spec = load_network(path)
        dataset = find_description(given.dataset) if given.dataset else spec.dataset
        if given.postprocessing is not None:
            dataset = msgspec.structs.replace(
                dataset, postprocessing=find_postprocessing(given.postprocessing, dataset)
            )
        target = given.folder / (MODEL if len(paths) == 1 else f"fold-{number}.safetensors")
        save_model(target, network, replace(spec, dataset=dataset), torch.bfloat16)
        write_companion(target)
        print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
