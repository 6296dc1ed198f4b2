"""Segmenting one patient: seconds and memory of every engine and precision, of ensembles, and of other networks.

python benchmarks/inference.py PATIENT [--models 5 15 [--ensemble MODEL ...]] [--fine] [--rivals]

Each row is a process of its own, from its start to the written files. Seconds of the processor do not depend on other
work on the machine as much as those of the clock do. Without PyTorch there is no column of Dice. Rows without a number
of models are of the packaged model ``fast``, ensembles of the files of ``robust`` or of other models, again and again.
``--fine`` adds an untrained network of base 16 at 1 mm, ``--rivals`` untrained networks of MONAI on the crop of the
patient at 1 mm in bfloat16: SegResNet in one pass, and DynUNet as nnU-Net configures it, of which one window is timed
and multiplied by their number.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from tunetseg.models.engines import ENGINES, choose_engine
from tunetseg.models.zoo import find_models

_REGIONS = {"whole": 1, "core": 2, "enhancing": 3}


def main() -> None:
    """Parse the arguments and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patient", type=Path)
    parser.add_argument("--models", type=int, nargs="*", default=[])
    parser.add_argument("--ensemble", nargs="+", default=["robust"])
    parser.add_argument("--fine", action="store_true")
    parser.add_argument("--rivals", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        _child(arguments.patient, **json.loads(arguments.child))
        return
    packaged = [str(path) for path in find_models(["fast"])]
    folds = [str(path) for path in find_models(arguments.ensemble)]
    print("| what | seconds | CPU-s | network, CPU-s | peak, MB | Dice to torch float32 |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        truth = Path(folder) / "truth" if _has("torch", "32") else None
        if truth is not None:
            _row(arguments.patient, "torch, float32", truth, truth, packaged, "torch", "32")
        for engine in reversed(ENGINES):
            for precision in ("32", "bf16"):
                if (engine, precision) != ("torch", "32") and _has(engine, precision):
                    name = f"{engine}, {'bf16' if precision == 'bf16' else 'float32'}"
                    _row(arguments.patient, name, Path(folder) / name, truth, packaged, engine, precision)
        for count in arguments.models:
            name = f"auto, {count} models"
            _row(arguments.patient, name, Path(folder) / name, truth, (folds * count)[:count], "auto", "auto")
        if arguments.fine:
            fine = [str(_fine_model(Path(folder)))]
            _row(arguments.patient, "auto, base 16 at 1 mm", Path(folder) / "fine", None, fine, "auto", "auto")
    if arguments.rivals:
        for name in ("segresnet", "dynunet"):
            _measure(f"MONAI {name}, bf16", [sys.executable, __file__, str(arguments.patient)], {"rival": name})


def _has(engine: str, precision: str) -> bool:
    try:
        return choose_engine(engine, device="cpu", precision=precision).precision == precision  # type: ignore[arg-type]
    except ValueError:
        return False


def _row(
    patient: Path, name: str, out: Path, truth: Path | None, models: list[str], engine: str, precision: str
) -> None:
    asked = {"out": str(out), "models": models, "engine": engine, "precision": precision}
    _measure(name, [sys.executable, __file__, str(patient)], asked, out, truth)


def _measure(
    name: str, command: list[str], asked: dict[str, object], out: Path | None = None, truth: Path | None = None
) -> None:
    """Run a child and print its row."""
    began = time.monotonic()
    environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}  # as in ``tunet``
    command = [*command, "--child", json.dumps(asked)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None
    said = child.stdout.read().split()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{name}: ended with {child.returncode}")
    dice = " ".join(f"{value:.4f}" for value in _dice(out, truth)) if out and truth and out != truth else ""
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    print(f"| {name} | {time.monotonic() - began:.1f} | {cpu:.1f} | {said[-1]} | {peak:.0f} | {dice} |", flush=True)


def _dice(out: Path, truth: Path) -> list[float]:
    maps = []
    for folder in (out, truth):
        (path,) = (path for path in folder.glob("*.nii.gz") if "_unc_" not in path.name)
        labels = np.asanyarray(nib.load(path).dataobj)
        values = [value for value in (2, 1, 4, 3) if (labels == value).any()]  # edema, necrosis, enhancing
        maps.append(np.stack([np.isin(labels, values[level:]) for level in range(len(_REGIONS))]))
    first, second = maps
    both = (first & second).sum(axis=(1, 2, 3))
    return (2 * both / np.maximum(1, first.sum(axis=(1, 2, 3)) + second.sum(axis=(1, 2, 3)))).tolist()


def _child(patient: Path, rival: str = "", **asked: object) -> None:
    if rival:
        _run_rival(patient, rival)
        return
    from tunetseg.datasets import find_cases
    from tunetseg.inference import predictor
    from tunetseg.inference.cohort import segment_cases

    spent = [0.0]
    predict = predictor.predict_windows

    def timed(*arguments: object, **options: object) -> object:
        began = time.process_time()
        found = predict(*arguments, **options)  # type: ignore[arg-type]
        spent[0] += time.process_time() - began
        return found

    predictor.predict_windows = timed  # type: ignore[assignment]
    model = predictor.load_model(
        *asked["models"],  # type: ignore[misc]
        engine=str(asked["engine"]),
        device="cpu",
        precision=asked["precision"],  # type: ignore[arg-type]
        keep=False,
    )
    for _ in segment_cases(find_cases(patient), model, out=str(asked["out"])):
        pass
    print(f"{spent[0]:.2f}")


def _fine_model(folder: Path) -> Path:
    import torch

    from tunetseg.models.export import write_companion
    from tunetseg.models.store import ModelSpec, read_spec, save_model
    from tunetseg.networks import NetworkSpec, build_network
    from tunetseg.preparation import Preprocessing

    like = read_spec(find_models()[0])
    spec = NetworkSpec("tunet-seb", 4, like.network.regions, {"base_filters": 16})
    torch.manual_seed(0)
    path = folder / "fine.safetensors"
    save_model(
        path, build_network(spec), ModelSpec(spec, Preprocessing(1.0), (64, 64, 64), True, like.dataset), torch.bfloat16
    )
    write_companion(path)
    return path


def _run_rival(patient: Path, name: str) -> None:
    import torch

    from tunetseg.datasets import find_cases
    from tunetseg.inference.windows import window_starts
    from tunetseg.models.store import read_spec
    from tunetseg.networks import create_network
    from tunetseg.preparation import Preprocessing, prepare, read_volume

    description = read_spec(find_models()[0]).dataset
    volume = read_volume(find_cases(patient)[0], description)
    image = torch.from_numpy(prepare(volume, Preprocessing(1.0), description).array)
    windows = 1
    if name == "segresnet":
        from monai.networks.nets import SegResNet

        network = SegResNet(spatial_dims=3, init_filters=16, in_channels=4, out_channels=3).eval()
        image = torch.nn.functional.pad(image, [n for side in reversed(image.shape[1:]) for n in (0, -side % 8)])
    else:
        network = create_network("dynunet").eval()
        windows = int(np.prod([len(window_starts(side, 128, 0.5)) for side in image.shape[1:]]))
        image = image[:, :128, :128, :128]
    began = time.process_time()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        network(image[None])
    print(f"{(time.process_time() - began) * windows:.1f}")


if __name__ == "__main__":
    main()
