"""A trained model as one safetensors file that says all that is needed to use it."""

import errno
import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tunetseg.datasets.case import MODALITIES
from tunetseg.errors import InputError
from tunetseg.io.files import whole_file
from tunetseg.networks import Architecture, Cascade, build_network
from tunetseg.preparation.preprocess import Preprocessing

__all__ = ["ModelSpec", "file_hash", "load_model", "read_spec", "save_model", "write_tensors"]

_FORMAT = "tunetseg model 1"


@dataclass(frozen=True)
class ModelSpec:
    """What a model is and how it must be used.

    Args:
        architecture: The network.
        preprocessing: How a volume becomes its input, the working spacing included.
        window: Voxels at the working spacing that it was trained on, along x, y, z.
        whole_volume: True where that window held whole brains, so inference is one pass.
        modalities: Channels in order.
        training: What it was trained with, for people: recipe, stage, spacing in mm, cases, epochs, steps, and the
            SHA-256 of the model whose weights the first stage started from, if any.
    """

    architecture: Architecture
    preprocessing: Preprocessing
    window: tuple[int, int, int]
    whole_volume: bool
    modalities: tuple[str, ...] = MODALITIES
    training: dict[str, Any] = field(default_factory=dict)


def write_tensors(
    path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str], *, durable: bool = False
) -> None:
    """Write a safetensors file; the old one stands until the new is whole, and on disk where ``durable``.

    Raises:
        OSError: The disk is at fault.
    """
    with whole_file(path, durable=durable) as partial:
        try:
            save_file(tensors, partial, metadata=metadata)
        except SafetensorError as error:
            raise OSError(errno.EIO, str(error)) from error


def save_model(path: str | Path, network: Cascade, spec: ModelSpec, dtype: torch.dtype = torch.float32) -> None:
    """Write weights and spec; the file appears only when complete and on disk.

    Args:
        path: Usually ``model.safetensors``.
        network: Its parameters are stored as ``dtype``.
        spec: Stored as JSON in the file's header.
        dtype: ``torch.bfloat16`` halves the file.
    """
    target = Path(path)
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in network.state_dict().items()}
    # One entry: several are written in no fixed order, and the same model would have several hashes.
    write_tensors(target, tensors, {"spec": json.dumps({"format": _FORMAT, **asdict(spec)})}, durable=True)


def read_spec(path: str | Path) -> ModelSpec:
    """Spec of a model file; the weights are not read.

    Raises:
        InputError: The file is missing, damaged, or no model of this package.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such model file") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error}); copy it again") from None
    try:
        raw = json.loads(metadata.get("spec", "{}"))
        kind = raw.pop("format", metadata.get("format"))  # the first files had it beside the spec
        if kind != _FORMAT:
            raise InputError(f"{path}: not a tunetseg model (format {kind!r}); train or export one with tunet train")
        architecture = raw.pop("architecture")
        architecture["regions"] = tuple(architecture["regions"])
        spec = ModelSpec(
            architecture=Architecture(**architecture),
            preprocessing=Preprocessing(**raw.pop("preprocessing")),
            window=tuple(raw.pop("window")),
            modalities=tuple(raw.pop("modalities")),
            **raw,
        )
        _check_use(spec)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: its header is damaged or another program's ({error!r}); copy it again") from None
    return spec


def _check_use(spec: ModelSpec) -> None:
    """Raise ValueError where a spec's parts do not fit each other."""
    stride = 2 ** (spec.architecture.levels - 1)
    if len(spec.window) != 3 or any(side < 1 or side % stride for side in spec.window):
        raise ValueError(f"window {spec.window} of a network that halves to 1/{stride}")
    if len(spec.modalities) != spec.architecture.image_channels or not {*spec.modalities} <= {*MODALITIES}:
        raise ValueError(f"modalities {spec.modalities} for {spec.architecture.image_channels} channels")
    if not 0 < spec.preprocessing.spacing < math.inf:
        raise ValueError(f"spacing {spec.preprocessing.spacing}")


def load_model(path: str | Path, device: str | torch.device = "cpu") -> tuple[Cascade, ModelSpec]:
    """Network in evaluation mode, float32, and its spec. Nothing is unpickled.

    Raises:
        InputError: The file is missing, damaged, or its weights do not fit its own architecture or are not finite.
    """
    spec = read_spec(path)
    try:
        with torch.device("meta"):  # so that a header cannot ask for memory that the file does not fill
            network = build_network(spec.architecture)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        network.load_state_dict(tensors, assign=True)
    except (SafetensorError, RuntimeError, TypeError, KeyError) as error:
        raise InputError(f"{path}: its weights do not fit its architecture ({error}); copy it again") from None
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        # It would find nothing, and be certain of it.
        raise InputError(f"{path}: holds weights that are no numbers; copy it again, or train anew")
    return network.to(device).eval(), spec


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
