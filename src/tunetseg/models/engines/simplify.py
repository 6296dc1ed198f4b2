"""OpenVINO graphs without operations that change nothing."""

from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops

__all__ = ["simplify"]


def simplify(model: openvino.Model) -> None:
    """Rewrite a graph in place, so that it is compiled and run sooner; the results stay the same to rounding.

    OpenVINO reads each bias of a convolution, and each scale and shift of a normalisation, with six operations that
    work out its shape, (1, channel, 1, 1, 1). Here the shape is a constant. And a bias whose channel is normalised
    afterwards is left out, as normalisation takes it away again.
    """
    for node in model.get_ordered_ops():
        match node.get_type_name():
            case "Reshape":
                _make_shape_constant(node)
            case "MVN":
                _leave_out_bias(node)


def _make_shape_constant(reshape: Any) -> None:
    shape = reshape.get_output_partial_shape(0)
    if shape.is_static and reshape.input_value(1).get_node().get_type_name() != "Constant":
        reshape.input(1).replace_source_output(ops.constant(np.array(shape.to_shape())).output(0))


def _leave_out_bias(normalisation: Any) -> None:
    biased, axes = (normalisation.input_value(number).get_node() for number in range(2))
    if biased.get_type_name() != "Add" or axes.get_type_name() != "Constant":
        return
    features, bias = biased.input_value(0), biased.input_value(1)
    shape = bias.get_partial_shape()
    if shape.is_static and len(shape) == 5 and all(shape.to_shape()[axis] == 1 for axis in axes.get_data().tolist()):
        normalisation.input(0).replace_source_output(features)
