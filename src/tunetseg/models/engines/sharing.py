"""OpenVINO graphs whose weights are inputs, so that networks of one architecture share a graph and what is compiled.

Compiling takes as long as running once, and reading a graph a third of that. The models of an ensemble differ in their
weights only: the graph of the first serves all, and of the others the weights alone are read.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as ops

from tunetseg.io.bounded import open_file
from tunetseg.io.seal import SEAL
from tunetseg.models.companion import needed_onnx_file
from tunetseg.models.engines.upsampling import Part
from tunetseg.models.store import read_tensors, tensor_layout, weights_hash

__all__ = ["Weight", "graph_key", "weights_of", "weights_to_inputs"]

_TAKES_WEIGHTS = {
    "Add",
    "Convolution",
    "ConvolutionBackpropData",
    "GroupConvolution",
    "GroupNormalization",
    "MatMul",
    "Multiply",
    "PRelu",
    "Subtract",
    "Unsqueeze",
}
"""Types of the nodes whose constants are weights; those of others, such as scales, decide shapes."""

_STORED = ".stored"
"""What follows the name of a tensor of the model file in that of a constant that the graph converts."""

_SEALED = re.compile(SEAL.encode() + rb"\x12@.{64}", re.DOTALL)


@dataclass(frozen=True)
class Weight:
    """An input that takes weights.

    Args:
        name: Of the constant that it replaces, which is that of a tensor of the model file; of a part of a kernel, of
            the kernel.
        shape: Of its values.
        part: Which part of a kernel it takes; None for a whole tensor.
    """

    name: str
    shape: tuple[int, ...]
    part: Part | None = None


def weights_to_inputs(
    model: openvino.Model, parts: Mapping[str, tuple[str, Part]]
) -> tuple[list[Weight], list[NDArray[np.float32]]]:
    """Turn the weights of a graph, but for single numbers, into inputs after its own.

    Args:
        model: The graph, which is changed.
        parts: As `convolve_before_upsampling` returns them.

    Returns:
        What the inputs take, and the values that they have in this graph.
    """
    parameters, weights, values = [], [], []
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or not node.get_element_type().is_real():
            continue
        targets = list(node.output(0).get_target_inputs())
        value = node.get_data(dtype=np.float32)
        if value.ndim == 0 or not all(map(_takes_weights, targets)):
            continue
        parameter = ops.parameter(value.shape, np.float32)
        for target in targets:
            _replace(target, parameter, node.get_element_type())
        name, part = parts.get(node.get_friendly_name(), (node.get_friendly_name(), None))
        parameters.append(parameter)
        weights.append(Weight(name.removesuffix(_STORED), value.shape, part))
        values.append(value)
    model.add_parameters(parameters)
    model.validate_nodes_and_infer_types()
    return weights, values


def _takes_weights(target: Any) -> bool:
    """Return whether what an input of a node receives is a weight, if need be after a change of type or shape."""
    node = target.get_node()
    if node.get_type_name() == "ShapeOf":  # which is the same for all networks of one graph
        return True
    if node.get_type_name() in {"Convert", "Reshape"} and target.get_index() == 0:
        return all(map(_takes_weights, node.output(0).get_target_inputs()))
    return node.get_type_name() in _TAKES_WEIGHTS


def _replace(target: Any, parameter: Any, kind: openvino.Type) -> None:
    """Give an input of a node the values of a parameter, in the type that it expects."""
    consumer = target.get_node()
    if kind == openvino.Type.f32:
        target.replace_source_output(parameter.output(0))
    elif consumer.get_type_name() == "Convert" and consumer.get_output_element_type(0) == openvino.Type.f32:
        consumer.output(0).replace(parameter.output(0))
    else:
        target.replace_source_output(ops.convert(parameter, kind).output(0))


def weights_of(path: Path, weights: list[Weight]) -> list[NDArray[np.float32]] | None:
    """Return what the inputs of a graph take from a model file, or None where the file does not have it."""
    tensors = read_tensors(path)
    if any(weight.name not in tensors for weight in weights):
        return None
    found = []
    for weight in weights:
        tensor = tensors[weight.name]
        if weight.part is not None:
            tensor = weight.part(tensor)
        if tensor.size != np.prod(weight.shape):
            return None
        found.append(np.ascontiguousarray(tensor.reshape(weight.shape)))
    return found


def graph_key(path: Path) -> bytes:
    """Return a hash that two model files share only if their ONNX files differ in nothing but names and checksums.

    The checksum of the weights, which an ONNX file holds, is left out where it is right only. So if the ONNX file of
    one belongs to it, so does that of the other.
    """
    with open_file(needed_onnx_file(path)) as file:
        graph = file.read()
    graph = graph.replace(weights_hash(path).encode(), b"weights").replace(path.name.encode(), b"name")
    found = hashlib.sha256(json.dumps(tensor_layout(path), sort_keys=True).encode())
    found.update(_SEALED.sub(SEAL.encode(), graph))
    return found.digest()
