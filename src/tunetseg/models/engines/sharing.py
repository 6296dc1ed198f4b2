"""OpenVINO graphs whose weights are inputs, so that networks of one architecture share what is compiled.

Compiling takes as long as running once. The models of an ensemble differ in their weights only, so that one of them is
compiled and all are run with it.
"""

import hashlib
import secrets
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as ops

__all__ = ["graph_signature", "weights_to_inputs"]

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

_WITH_GRAPHS = {"If", "Loop", "TensorIterator"}
"""Types of the nodes that hold graphs of their own."""


def weights_to_inputs(model: openvino.Model) -> list[NDArray[np.float32]]:
    """Turn the weights of a graph, but for single numbers, into inputs after its own, and return their values."""
    parameters, values = [], []
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
        parameters.append(parameter)
        values.append(value)
    model.add_parameters(parameters)
    model.validate_nodes_and_infer_types()
    return values


def _takes_weights(target: Any) -> bool:
    """Return whether what an input of a node receives is a weight, if need be after a change of type or shape."""
    node = target.get_node()
    if node.get_type_name() == "ShapeOf":  # which is the same for all networks of one signature
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


def graph_signature(model: openvino.Model) -> bytes:
    """Return a hash that two graphs share only if they compute the same from the same inputs."""
    nodes = model.get_ordered_ops()
    number = {node.get_name(): place for place, node in enumerate(nodes)}
    found = hashlib.sha256()
    for node in nodes:
        inputs = [(number[source.get_node().get_name()], source.get_index()) for source in node.input_values()]
        shapes = [str(output.get_partial_shape()) for output in node.outputs()]
        found.update(repr((node.get_type_name(), inputs, shapes, node.get_attributes())).encode())
        if node.get_type_name() == "Constant":
            found.update(node.get_data().tobytes())
        elif node.get_type_name() in _WITH_GRAPHS:
            found.update(secrets.token_bytes(16))  # they are not compared, so no other graph is the same
    return found.digest()
