"""Convolutions of an upsampled map in OpenVINO graphs, computed before upsampling.

Each step of a decoder upsamples a coarse map by 2 (nearest neighbour), joins it to a fine one and convolves both. A
convolution is linear, so each map can have its own; and the voxels of the upsampled map repeat, so that a 3x3x3
convolution of it is one of 2x2x2 of the coarse map for each of the eight voxels that a coarse one becomes: 8/27 of the
multiplications, without the joined map. `tunetseg.networks.blocks.JoinedConv3d` is the same in PyTorch.
"""

from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as ops

__all__ = ["convolve_before_upsampling"]

_TAPS = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1]], np.float32)
"""Which of three weights along an axis meet voxels i - 1 and i of the coarse map, each a row.

The first two rows give the second half of voxel i - 1, the last two the first half of voxel i.
"""

_NEAREST = {
    "mode": "nearest",
    "shape_calculation_mode": "scales",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}
"""Attributes of the upsampling that PyTorch exports."""


def convolve_before_upsampling(model: openvino.Model) -> int:
    """Rewrite a graph in place and return the number of convolutions that were rewritten.

    The results stay the same to rounding. What is of another pattern stays as it is.
    """
    rewritten = 0
    for node in model.get_ordered_ops():
        found = _parts(node)
        if found is not None:
            node.output(0).replace(_rewritten(*found))
            rewritten += 1
    return rewritten


def _parts(node: Any) -> tuple[Any, Any, NDArray[np.float32]] | None:
    """Return the coarse map, the fine map and the weights of a convolution of both; of other nodes None."""
    if node.get_type_name() != "Convolution":
        return None
    joined, weights = (node.input_value(number).get_node() for number in range(2))
    if joined.get_type_name() != "Concat" or joined.get_axis() != 1 or joined.get_input_size() != 2:
        return None
    upsampling = joined.input_value(0).get_node()
    if not _doubles(upsampling):
        return None
    kernel = _constant(weights)
    if kernel is None or kernel.shape[2:] not in ((3, 3, 3), (1, 1, 1)):
        return None
    attributes = node.get_attributes()
    pad = kernel.shape[2] // 2
    if any(list(attributes[name]) != [pad] * 3 for name in ("pads_begin", "pads_end")) or any(
        list(attributes[name]) != [1] * 3 for name in ("strides", "dilations")
    ):
        return None
    return upsampling.input_value(0), joined.input_value(1), kernel


def _doubles(node: Any) -> bool:
    """Return whether a node repeats every voxel along x, y and z."""
    if node.get_type_name() != "Interpolate":
        return False
    attributes = node.get_attributes()
    if any(attributes[name] != value for name, value in _NEAREST.items()):
        return False
    scales = _constant(node.input_value(1).get_node())
    return scales is not None and scales.tolist()[-3:] == [2, 2, 2] and set(scales.tolist()[:-3]) <= {1}


def _constant(node: Any) -> NDArray[np.float32] | None:
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return node.get_data(dtype=np.float32) if node.get_type_name() == "Constant" else None


def _rewritten(coarse: Any, fine: Any, kernel: NDArray[np.float32]) -> Any:
    channels = kernel.shape[1] - fine.get_partial_shape()[1].get_length()
    of_coarse, of_fine = np.split(kernel, [channels], axis=1)
    if kernel.shape[2:] == (1, 1, 1):
        upsampled = ops.interpolate(
            _convolution(coarse, of_coarse, 0), np.array([1, 1, 2, 2, 2], np.float32), **_NEAREST
        )
        return ops.add(upsampled, _convolution(fine, of_fine, 0)).output(0)
    outputs = len(of_coarse)
    halves = of_coarse.reshape(-1, 27) @ np.kron(np.kron(_TAPS, _TAPS), _TAPS).T
    # Of (output, input, half x, voxel x, half y, voxel y, half z, voxel z), halves first, as depth_to_space has them.
    halves = halves.reshape(outputs, channels, 2, 2, 2, 2, 2, 2).transpose(2, 4, 6, 0, 1, 3, 5, 7)
    small = _convolution(coarse, halves.reshape(-1, channels, 2, 2, 2), 1)
    spread = ops.depth_to_space(small, "blocks_first", 2)
    first, last, step, axes = (np.array(values) for values in ([1] * 3, [-1] * 3, [1] * 3, [2, 3, 4]))
    return ops.add(ops.slice(spread, first, last, step, axes), _convolution(fine, of_fine, 1)).output(0)


def _convolution(features: Any, kernel: NDArray[np.float32], pad: int) -> Any:
    weights = ops.constant(np.ascontiguousarray(kernel))
    return ops.convolution(features, weights, [1] * 3, [pad] * 3, [pad] * 3, [1] * 3).output(0)
