"""Convolutions of an upsampled map in OpenVINO graphs, computed before upsampling.

Each step of a decoder upsamples a coarse map by 2 (nearest neighbour), joins it to a fine one and convolves both. A
convolution is linear, so each map can have its own; and the voxels of the upsampled map repeat, so that a 3x3x3
convolution of it is one of 2x2x2 of the coarse map for each of the eight voxels that a coarse one becomes: 8/27 of the
multiplications, without the joined map. `tunetseg.networks.blocks.JoinedConv3d` is the same in PyTorch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as ops

__all__ = ["Part", "convolve_before_upsampling"]

_TAPS = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1]], np.float32)
"""Which of three weights along an axis meet voxels i - 1 and i of the coarse map, each a row.

The first two rows give the second half of voxel i - 1, the last two the first half of voxel i.
"""

_IN_SPACE = np.einsum("abi,cdj,efk->aceijkbdf", *[_TAPS.reshape(2, 2, 3)] * 3, order="C").reshape(8, 27, 8)
"""The same along all three axes, shape (half, weight, voxel)."""

Part = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Takes one part of the kernel of a convolution of two joined maps, shape (output, input, x, y, z)."""

_NEAREST = {
    "mode": "nearest",
    "shape_calculation_mode": "scales",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}
"""Attributes of the upsampling that PyTorch exports."""


def convolve_before_upsampling(model: openvino.Model) -> dict[str, tuple[str, Part]]:
    """Rewrite a graph in place; the results stay the same to rounding. What is of another pattern stays as it is.

    Returns:
        Name of each constant that is new -> name of the kernel that it is a part of, and which part that is; two per
        convolution.
    """
    found: dict[str, tuple[str, Part]] = {}
    for node in model.get_ordered_ops():
        joined = _joined(node)
        if joined is not None:
            result, parts = _rewritten(*joined)
            node.output(0).replace(result)
            found |= parts
    return found


def _joined(node: Any) -> tuple[Any, Any, Any] | None:
    """Return the coarse map, the fine map and the constant kernel of a convolution of both; of other nodes None."""
    if node.get_type_name() != "Convolution":
        return None
    joined, weights = (node.input_value(number).get_node() for number in range(2))
    if joined.get_type_name() != "Concat" or joined.get_axis() != 1 or joined.get_input_size() != 2:
        return None
    upsampling = joined.input_value(0).get_node()
    if not _doubles(upsampling):
        return None
    kernel = _constant(weights)
    sides = None if kernel is None else tuple(kernel.get_output_shape(0))[2:]
    if sides not in ((3, 3, 3), (1, 1, 1)):
        return None
    attributes = node.get_attributes()
    pad = sides[0] // 2
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
    constant = _constant(node.input_value(1).get_node())
    scales = None if constant is None else constant.get_data(dtype=np.float32)
    return scales is not None and scales.tolist()[-3:] == [2, 2, 2] and set(scales.tolist()[:-3]) <= {1}


def _constant(node: Any) -> Any | None:
    """Return the constant that a node is, or that it converts; of other nodes None."""
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == "Constant" else None


def _rewritten(coarse: Any, fine: Any, constant: Any) -> tuple[Any, dict[str, tuple[str, Part]]]:
    """Return the sum of a convolution of each map, and where the kernels of both come from."""
    kernel = constant.get_data(dtype=np.float32)
    channels = kernel.shape[1] - fine.get_partial_shape()[1].get_length()
    name = constant.get_friendly_name()
    parts: dict[str, tuple[str, Part]] = {}

    def convolved(features: Any, part: Part, pad: int) -> Any:
        weights = ops.constant(part(kernel))
        weights.set_friendly_name(f"{name} of map {len(parts)}")
        parts[weights.get_friendly_name()] = name, part
        return ops.convolution(features, weights, [1] * 3, [pad] * 3, [pad] * 3, [1] * 3).output(0)

    of_fine = partial(_of_fine, channels=channels)
    if kernel.shape[2:] == (1, 1, 1):
        small = convolved(coarse, partial(_of_coarse, channels=channels), 0)
        spread = ops.interpolate(small, np.array([1, 1, 2, 2, 2], np.float32), **_NEAREST)
        return ops.add(spread, convolved(fine, of_fine, 0)).output(0), parts
    small = convolved(coarse, partial(_halves, channels=channels), 1)
    spread = ops.depth_to_space(small, "blocks_first", 2)
    first, last, step, axes = (np.array(values) for values in ([1] * 3, [-1] * 3, [1] * 3, [2, 3, 4]))
    return ops.add(ops.slice(spread, first, last, step, axes), convolved(fine, of_fine, 1)).output(0), parts


def _of_coarse(kernel: NDArray[np.float32], *, channels: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(kernel[:, :channels])


def _of_fine(kernel: NDArray[np.float32], *, channels: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(kernel[:, channels:])


def _halves(kernel: NDArray[np.float32], *, channels: int) -> NDArray[np.float32]:
    """Return the weights of the coarse map for each of the eight voxels that a coarse one becomes."""
    halves = kernel[:, :channels].reshape(-1, 27) @ _IN_SPACE  # halves first, as depth_to_space has them
    return halves.reshape(-1, channels, 2, 2, 2)
