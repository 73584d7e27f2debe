"""A tiny model of the contract, built on the spot: depth = (1 + mean RGB) * focal / 100, sigma = depth / 10."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

WIDTH, HEIGHT = 112, 64
METADATA = {
    "width": str(WIDTH),
    "height": str(HEIGHT),
    "focal_canonical": "100.0",
    "min_depth": "0.5",
    "max_depth": "200.0",
    "training_data": "none",
    "git_revision": "test",
    "licence": "Apache-2.0",
}


def write_tiny_model(
    path: Path, metadata: dict[str, str] | None = None, outputs: tuple[str, str] = ("depth", "sigma")
) -> Path:
    """Write the model to `path`; other metadata or output names make files that break the contract on purpose."""
    depth, sigma = outputs
    nodes = [
        helper.make_node("Cast", ["images"], ["float_images"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float_images", "channel_axis"], ["grey"], keepdims=0),
        helper.make_node("Add", ["grey", "one"], ["shifted"]),
        helper.make_node("Unsqueeze", ["focal", "pixel_axes"], ["focal_nhw"]),
        helper.make_node("Mul", ["shifted", "focal_nhw"], ["scaled"]),
        helper.make_node("Div", ["scaled", "hundred"], [depth]),
        helper.make_node("Div", [depth, "ten"], [sigma]),
    ]
    constants = [
        helper.make_tensor("channel_axis", TensorProto.INT64, [1], [3]),
        helper.make_tensor("pixel_axes", TensorProto.INT64, [2], [1, 2]),
        *(
            helper.make_tensor(name, TensorProto.FLOAT, [], [value])
            for name, value in (("one", 1.0), ("hundred", 100.0), ("ten", 10.0))
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", HEIGHT, WIDTH, 3]),
            helper.make_tensor_value_info("focal", TensorProto.FLOAT, ["N"]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", HEIGHT, WIDTH]) for name in (depth, sigma)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, METADATA if metadata is None else metadata)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
