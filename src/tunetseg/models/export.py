"""Models as ONNX and OpenVINO files, which run without PyTorch."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from tunetseg.errors import InputError
from tunetseg.io.files import whole_file, written_together
from tunetseg.io.scratch import scratch_folder
from tunetseg.io.seal import SEAL, check_seal, seal
from tunetseg.models.companion import SOURCE, STRIDE, WEIGHTS, onnx_file, weights_source
from tunetseg.models.store import load_network, stored_tensors, weights_hash

if TYPE_CHECKING:
    import onnx

    from tunetseg.networks import SegmentationNetwork

__all__ = ["write_companion", "write_onnx", "write_openvino"]

_OPSET = 21
"""The first whose group normalisation is that of PyTorch."""

_STORED = ".stored"
"""What follows the name of a weight as it is stored, before it becomes float32."""


def write_onnx(model: str | Path, out: str | Path) -> Path:
    """Write the network of a model file as an ONNX file that needs no other file.

    Its input ``image`` has the shape (1, channel, x, y, z), of any sides that are multiples of the network's stride;
    its output ``logits`` has the shape (1, region, x, y, z). Weights are stored as the model file has them, bfloat16 or
    float32, and computed with as float32.

    Args:
        model: A model file.
        out: File to write.

    Returns:
        The file.

    Raises:
        InputError: The model cannot be read, or its network cannot be written as ONNX.
        OSError: The disk is full or cannot be written to.
    """
    return _write(_exported(Path(model)), Path(out))


def write_companion(model: str | Path, future: str | Path | None = None) -> Path:
    """Write the ONNX file that engines look for next to a model file; it takes the weights from the model file.

    Args:
        model: A model file.
        future: What the model file will be, where it is to be renamed.

    Returns:
        The file, which is as `write_onnx` makes it, but for the weights.

    Raises:
        InputError: As from `write_onnx`.
        OSError: The disk is full or cannot be written to.
    """
    source = Path(model)
    target = source if future is None else Path(future)
    graph = _exported(source)
    graph.metadata_props.add(key=SOURCE, value=weights_source(source, target.name))
    _take_weights_from(graph, source, target.name)
    return _write(graph, onnx_file(target))


def _exported(model: Path) -> "onnx.ModelProto":
    """Return the network of a model file as ONNX, with the properties that engines check."""
    network, spec = load_network(model)
    try:
        graph = _graph(network, spec.network.in_channels, spec.patch_size)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # of whatever kind: the network may be of another library
        raise InputError(f"{model}: network {spec.network.name!r} cannot be written as ONNX ({_line(error)})") from None
    _name_instance_normalisation(graph.graph)
    _shrink(graph, _stored_as_bfloat16(model))
    for key, value in ((STRIDE, str(network.stride)), (WEIGHTS, weights_hash(model)), (SEAL, "0" * 64)):
        graph.metadata_props.add(key=key, value=value)
    return graph


def _take_weights_from(graph: "onnx.ModelProto", model: Path, name: str) -> None:
    """Replace the weights that a model file has byte for byte by where they are in the file ``name``, in place."""
    from onnx import TensorProto

    content = memoryview(model.read_bytes())
    places = stored_tensors(model)
    for tensor in graph.graph.initializer:
        begin, end = places.get(tensor.name.removesuffix(_STORED), (0, 0))
        if begin < end and content[begin:end] == tensor.raw_data:
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", name), ("offset", begin), ("length", end - begin)):
                tensor.external_data.add(key=key, value=str(value))


def _write(graph: "onnx.ModelProto", target: Path) -> Path:
    graph.metadata_props.sort(key=lambda entry: entry.key)
    with whole_file(target, durable=True) as partial:
        partial.write_bytes(graph.SerializeToString(deterministic=True))
        seal(partial)
    return target


def write_openvino(model: str | Path, out: str | Path) -> Path:
    """Write the network of a model file as OpenVINO IR: a file ``.xml`` and next to it the weights, ``.bin``.

    Args:
        model: A model file.
        out: The ``.xml`` file to write.

    Returns:
        The ``.xml`` file.

    Raises:
        InputError: As from `write_onnx`.
        OSError: The disk is full or cannot be written to.
    """
    import openvino

    from tunetseg.models.engines.openvino import OpenVinoEngine

    target = Path(out)
    engine = OpenVinoEngine("32")
    with written_together(target.parent) as aside, scratch_folder(target.parent) as drafts:
        graph = onnx_file(Path(model))
        if graph.is_file():
            check_seal(graph)
            engine.load(Path(model))  # or it might belong to other weights
        else:
            graph = write_onnx(model, drafts / "model.onnx")
        openvino.save_model(engine.read(graph), aside / target.name, compress_to_fp16=False)
    return target


def _graph(network: "SegmentationNetwork", channels: int, sides: tuple[int, int, int]) -> "onnx.ModelProto":
    import torch

    from tunetseg.networks.blocks import JoinedConv3d, SqueezeExcite

    for module in list(network.modules()):
        if isinstance(module, JoinedConv3d | SqueezeExcite):
            module.simplify()  # smaller, with exact weights, and compiled sooner
    image = torch.zeros(1, channels, *sides)
    axes = {2 + axis: network.stride * torch.export.Dim(name, min=2) for axis, name in enumerate("xyz")}
    with _quiet():
        program = torch.onnx.export(
            network,
            (image,),
            dynamo=True,
            opset_version=_OPSET,
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes=[axes],
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says about itself from users."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _name_instance_normalisation(graph: "onnx.GraphProto") -> None:
    """Call group normalisation of one channel per group what it is, in place: engines compute it faster then."""
    channels = {tensor.name: tensor.dims[0] for tensor in graph.initializer if len(tensor.dims) == 1}
    for node in graph.node:
        settings = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type == "GroupNormalization" and settings["num_groups"].i == channels.get(node.input[1]):
            node.op_type = "InstanceNormalization"
            for name in settings.keys() - {"epsilon"}:
                node.attribute.remove(settings[name])


def _shrink(model: "onnx.ModelProto", bfloat16: bool) -> None:
    """Remove what only debugging needs, and store the weights of a bfloat16 model as such, in place."""
    import ml_dtypes
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    if not bfloat16:
        return
    casts, nodes = [], list(graph.node)
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values, name = numpy_helper.to_array(tensor).astype(ml_dtypes.bfloat16), tensor.name
            tensor.CopyFrom(TensorProto(name=name + _STORED, data_type=TensorProto.BFLOAT16, dims=values.shape))
            tensor.raw_data = values.tobytes()
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend([*casts, *nodes])


def _stored_as_bfloat16(model: Path) -> bool:
    from safetensors import safe_open

    with safe_open(model, framework="numpy") as file:
        kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    return "BF16" in kinds and not kinds & {"F32", "F64", "F16"}


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
