"""Makes the step of a decoder with a stored answer that engines are checked with, in src/tunetseg/models/engines/."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy import ndimage

FOLDER = Path(__file__).parents[1] / "src/tunetseg/models/engines"


def main() -> None:
    """Write ``proof.npz`` and ``proof.onnx``."""
    random = np.random.default_rng(2019)
    image = random.normal(size=(4, 8, 6, 10)).astype(np.float16)
    weight = (random.normal(size=(16, 8, 3, 3, 3)) / 8).astype(np.float16)
    bias = random.normal(size=16).astype(np.float16)
    coarse = image.reshape(4, 4, 2, 3, 2, 5, 2).max(axis=(2, 4, 6))
    joined = np.concatenate([np.kron(coarse, np.ones((1, 2, 2, 2))), image]).astype(np.float64)
    answer = [
        float(bias[out])
        + sum(
            ndimage.correlate(features, of_one.astype(np.float64), mode="constant")
            for features, of_one in zip(joined, kernel, strict=True)
        )
        for out, kernel in enumerate(weight)
    ]
    np.savez_compressed(
        FOLDER / "proof.npz", image=image, weight=weight, bias=bias, answer=np.array(answer, np.float32)
    )
    graph = helper.make_graph(
        [
            helper.make_node("MaxPool", ["image"], ["coarse"], kernel_shape=[2, 2, 2], strides=[2, 2, 2]),
            helper.make_node(
                "Resize",
                ["coarse", "", "scales"],
                ["upsampled"],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            ),
            helper.make_node("Concat", ["upsampled", "image"], ["joined"], axis=1),
            helper.make_node("Conv", ["joined", "weight", "bias"], ["logits"], kernel_shape=[3, 3, 3], pads=[1] * 6),
        ],
        "proof",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4, "x", "y", "z"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 16, "x", "y", "z"])],
        [
            numpy_helper.from_array(array.astype(np.float32), name)
            for name, array in (("weight", weight), ("bias", bias), ("scales", np.array([1, 1, 2, 2, 2])))
        ],
    )
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10, producer_name="tunetseg")
    onnx.checker.check_model(model)
    onnx.save(model, FOLDER / "proof.onnx")


if __name__ == "__main__":
    main()
