"""A trained model as one safetensors file that holds all that is needed to use it."""

import errno
import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from tunetseg.datasets import DatasetDescription
from tunetseg.datasets.description import convert
from tunetseg.errors import InputError
from tunetseg.io.bounded import check_file, open_file, parse_json
from tunetseg.io.files import whole_file
from tunetseg.io.seal import SEAL, check_seal, seal
from tunetseg.io.tensors import METADATA, read_tensor_header
from tunetseg.limits import check_patch, shortage
from tunetseg.models.calibration import Calibration
from tunetseg.networks import NetworkSpec, build_network
from tunetseg.preparation import Preprocessing
from tunetseg.signals import held_signals

if TYPE_CHECKING:
    import torch

    from tunetseg.networks import SegmentationNetwork

__all__ = [
    "ModelSpec",
    "file_hash",
    "load_network",
    "read_spec",
    "read_tensors",
    "replace_spec",
    "save_model",
    "stored_tensors",
    "tensor_layout",
    "weights_hash",
    "write_tensors",
]

_FORMAT = "tunetseg model"
_VERSION = 2
_KEYS = {
    "format", "version", "network", "preprocessing", "patch_size", "whole_volume", "dataset", "training", "calibration",
    SEAL,
}  # fmt: skip
"""What the header of a model says."""

_FLOATS = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32, "F64": np.float64}
"""Type of a tensor -> how NumPy reads it; it has no bfloat16."""

_ALIGNMENT = 2**16
"""Tensors of a model begin at a multiple of this many bytes, so that most new specs leave them where they are."""


@dataclass(frozen=True)
class ModelSpec:
    """What a model is and how it must be used.

    Args:
        network: The network.
        preprocessing: Working spacing and denoising.
        patch_size: Voxels at the working spacing that it was trained on, along x, y, z.
        whole_volume: True where a patch held a whole volume, so that inference is one pass.
        dataset: Channels and their normalisation, regions and label values, post-processing.
        training: What it was trained with, for readers: recipe, stage, spacing in mm, cases, epochs, steps, scores, the
            SHA-256 of the model whose weights the first stage started from, the cases that it never saw, and how often
            channels were dropped.
        calibration: Region -> curve from its probabilities to how often they are right, where it was measured.

    Raises:
        ValueError: Parts do not fit each other.
    """

    network: NetworkSpec
    preprocessing: Preprocessing
    patch_size: tuple[int, int, int]
    whole_volume: bool
    dataset: DatasetDescription
    training: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Calibration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the network has the channels and regions of the dataset."""
        if self.network.in_channels != len(self.dataset.channels):
            raise ValueError(
                f"a network of {self.network.in_channels} channels for the {len(self.dataset.channels)} channels "
                f"{', '.join(self.dataset.channel_names)}"
            )
        if self.network.regions != self.dataset.region_names:
            raise ValueError(
                f"a network of the regions {', '.join(self.network.regions)} for a dataset of the regions "
                f"{', '.join(self.dataset.region_names)}"
            )
        unknown = next((region for region in self.calibration if region not in self.dataset.region_names), None)
        if unknown is not None:
            raise ValueError(f"a calibration of an unknown region {unknown!r}")
        if len(self.patch_size) != 3 or not all(type(side) is int and side > 0 for side in self.patch_size):
            raise ValueError(f"patch size {self.patch_size}, where three whole numbers of voxels are needed")
        check_patch(self.patch_size)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "network": asdict(self.network),
            "preprocessing": asdict(self.preprocessing),
            "patch_size": list(self.patch_size),
            "whole_volume": self.whole_volume,
            "dataset": self.dataset.to_dict(),
            "training": self.training,
            "calibration": msgspec.to_builtins(self.calibration),
        }

    @classmethod
    def from_dict(cls, raw: dict[str, Any], source: str) -> "ModelSpec":
        """Return the spec that plain data hold.

        Raises:
            InputError: The data are not of a model, of another version, or do not make sense.
        """
        if raw.get("format") != _FORMAT:
            raise InputError(f"{source}: not a model of tunetseg; choose a file that tunet train has written")
        if raw.get("version") != _VERSION:
            raise InputError(
                f"{source}: has version {raw.get('version')} of the model format, but this tunetseg reads version "
                f"{_VERSION}; install the tunetseg that wrote it, or train a new model"
            )
        unknown = sorted(set(raw) - _KEYS)
        if unknown:
            raise InputError(f"{source}: its header is damaged (an unknown field {unknown[0]!r}); copy it again")
        try:
            return cls(
                NetworkSpec(**raw["network"]),
                convert(raw["preprocessing"], Preprocessing, "preprocessing"),
                tuple(raw["patch_size"]),
                convert(raw["whole_volume"], bool, "whole_volume"),
                DatasetDescription.from_dict(raw["dataset"], "dataset"),
                dict(raw["training"]),
                convert(raw.get("calibration", {}), dict[str, Calibration], "calibration"),
            )
        except InputError as error:  # what this installation does not know, such as a network by its name
            raise InputError(
                f"{source}: cannot be used here ({error}); install the tunetseg that wrote it, or copy it again"
            ) from None
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise InputError(f"{source}: its header is damaged ({error!r}); copy it again") from None


def write_tensors(
    path: Path, tensors: "dict[str, torch.Tensor]", key: str, content: dict[str, Any], *, durable: bool = False
) -> None:
    """Write a safetensors file with its checksum; an earlier one stays until the new one is complete.

    Args:
        path: The file.
        tensors: Contiguous, on the CPU, none sharing memory with another.
        key: Name of the one entry of the header's metadata. Several are written in no fixed order, and the same content
            would have several hashes.
        content: The entry, which is stored as JSON.
        durable: Force the content to disk first.

    Raises:
        OSError: The disk is full or cannot be written to.
    """
    from safetensors.torch import save_file

    with whole_file(path, durable=durable) as partial:
        try:
            save_file(tensors, partial, metadata={key: json.dumps({SEAL: "0" * 64, **content})})
            seal(partial)
        except SafetensorError as error:
            raise OSError(errno.EIO, str(error)) from error


def save_model(
    path: str | Path, network: "SegmentationNetwork", spec: ModelSpec, dtype: "torch.dtype | None" = None
) -> None:
    """Write weights and spec; the file appears only when complete and on disk.

    Args:
        path: Usually ``model.safetensors``.
        network: Its floating-point parameters and buffers are stored as ``dtype``.
        spec: Stored as JSON in the header.
        dtype: By default ``torch.float32``; ``torch.bfloat16`` halves the file.

    Raises:
        OSError: The disk is full or cannot be written to.
    """
    import torch
    from safetensors.torch import save

    stored = dtype or torch.float32
    tensors = {
        name: value.detach().to("cpu", stored if value.is_floating_point() else value.dtype).contiguous().clone()
        for name, value in network.state_dict().items()
    }
    content = memoryview(save(tensors))
    begin = 8 + int.from_bytes(content[:8], "little")
    with whole_file(Path(path), durable=True) as partial, partial.open("wb") as file:
        _write_header(file, json.loads(bytes(content[8:begin])), spec)
        file.write(content[begin:])
        file.flush()
        seal(partial)


def read_spec(path: str | Path) -> ModelSpec:
    """Return the spec of a model file; the weights are not read.

    Raises:
        InputError: The file is missing, damaged, or not a model of this package.
    """
    check_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, MemoryError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error}); copy it again") from None
    try:
        raw = parse_json(metadata.get("spec", "{}"))
        if not isinstance(raw, dict):
            raise ValueError(f"a spec of type {type(raw).__name__}")
    except ValueError as error:
        raise InputError(f"{path}: its header is damaged ({error!r}); copy it again") from None
    return ModelSpec.from_dict(raw, str(path))


@held_signals()  # PyTorch makes of an interruption that a tensor has no shape, and the file would be called damaged
def load_network(path: str | Path, device: "str | torch.device" = "cpu") -> "tuple[SegmentationNetwork, ModelSpec]":
    """Return the network of a model file, in evaluation mode and float32, and its spec. Nothing is unpickled.

    Raises:
        InputError: The file is missing or damaged, its weights do not fit its network or are not finite, or a package
            that the network needs is not installed.
    """
    import torch

    spec = read_spec(path)
    check_seal(path)
    try:
        with torch.device("meta"):  # so that a header cannot ask for memory that the file does not fill
            network = build_network(spec.network)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        # Copied: where a tensor begins in the file depends on the length of the header, and some kernels round by that.
        tensors = {
            name: value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)
            for name, value in tensors.items()
        }
        _check_types(network, tensors)
        network.load_state_dict(tensors, assign=True)
        if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
            network = build_network(spec.network)  # some networks compute buffers that are not stored
            network.load_state_dict(tensors)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (SafetensorError, RuntimeError, TypeError, KeyError, ValueError, OverflowError) as error:
        if shortage(error):
            raise
        reason = str(error).splitlines()[0]  # of weights that do not fit, PyTorch lists every one
        raise InputError(f"{path}: its weights do not fit its network ({reason}); copy it again") from None
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        # It would find nothing, and be certain of it.
        raise InputError(f"{path}: holds weights that are NaN or infinite; copy it again, or train a new model")
    if any(side % network.stride for side in spec.patch_size):
        raise InputError(
            f"{path}: its patch size {spec.patch_size} is not a multiple of the stride of its network, "
            f"{network.stride}; copy it again"
        )
    return network.to(device).eval(), spec


def _check_types(network: "SegmentationNetwork", tensors: "dict[str, torch.Tensor]") -> None:
    """Raise ValueError where whole numbers or truth values stand in for weights."""
    expected = network.state_dict()
    for name, tensor in tensors.items():
        if name in expected and tensor.is_floating_point() != expected[name].is_floating_point():
            raise ValueError(f"{name} has values of type {str(tensor.dtype).removeprefix('torch.')}")


def replace_spec(path: str | Path, spec: ModelSpec) -> None:
    """Give a model file another spec; its weights stay as they are, bit for bit.

    Args:
        path: The file, which is replaced at once.
        spec: Of the same network.

    Raises:
        InputError: The file cannot be read.
        ValueError: The spec is of another network.
        OSError: The disk is full or cannot be written to.
    """
    check_seal(path)
    if read_spec(path).network != spec.network:
        raise ValueError(f"{path}: is of another network")
    header, begin = read_tensor_header(path)
    with whole_file(Path(path), durable=True) as partial, Path(path).open("rb") as old, partial.open("wb") as new:
        _write_header(new, header, spec)
        old.seek(begin)
        shutil.copyfileobj(old, new)
        new.flush()
        seal(partial)


def _write_header(file: BinaryIO, tensors: dict[str, Any], spec: ModelSpec) -> None:
    """Write the header of a model: where its tensors are, and its spec."""
    header = tensors | {METADATA: {"spec": json.dumps({SEAL: "0" * 64, **spec.to_dict()})}}
    words = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    words += b" " * (-(8 + len(words)) % _ALIGNMENT)
    file.write(len(words).to_bytes(8, "little") + words)


def tensor_layout(path: str | Path) -> tuple[dict[str, Any], int]:
    """Return what a model file says of its tensors, name -> type, shape and place, and the byte at which they begin."""
    header, begin = read_tensor_header(path)
    header.pop(METADATA, None)
    return header, begin


def read_tensors(path: str | Path) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of floating-point numbers of a model file by name, without PyTorch.

    Raises:
        InputError: The file is damaged.
    """
    layout, begin = tensor_layout(path)
    with open_file(path) as file:
        content = memoryview(file.read())[begin:]
    try:
        return {
            name: _floats(content[slice(*entry["data_offsets"])], entry["dtype"]).reshape(entry["shape"])
            for name, entry in layout.items()
            if entry["dtype"] in _FLOATS
        }
    except (ValueError, TypeError, LookupError):
        raise InputError(f"{path}: damaged or cut off; copy it again") from None


def _floats(raw: memoryview, kind: str) -> NDArray[np.float32]:
    values = np.frombuffer(raw, _FLOATS[kind])
    if kind == "BF16":  # the upper half of float32
        return np.left_shift(values, 16, dtype=np.uint32).view(np.float32)
    return values.astype(np.float32)


def stored_tensors(path: str | Path) -> dict[str, tuple[int, int]]:
    """Return the name of each tensor of a model file -> its first byte in the file and the one after its last."""
    layout, begin = tensor_layout(path)
    return {
        name: (begin + entry["data_offsets"][0], begin + entry["data_offsets"][1]) for name, entry in layout.items()
    }


def weights_hash(path: str | Path) -> str:
    """Return the SHA-256 of the weights of a model file, in hexadecimal; it stays when the spec is replaced."""
    layout, begin = tensor_layout(path)
    digest = hashlib.sha256(json.dumps(layout, sort_keys=True).encode())
    with Path(path).open("rb") as file:
        file.seek(begin)
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
