"""Every operator of the torch engine against ONNX Runtime, one node at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from fsmde_core.errors import FsmdeError

torch = pytest.importorskip("torch")

from fsmde_core.engines.torch.onnx_graph import TorchGraph
from fsmde_core.engines.torch.onnx_operators import OPERATORS

pytestmark = pytest.mark.torch

# One node per operator of the torch engine: (operator, attributes, input shapes or constant arrays).
I64 = np.int64
NODES: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("Add", {}, [(2, 3, 4), (3, 1)]),
    ("BatchNormalization", {"epsilon": 1e-3}, [(2, 3, 4, 5), (3,), (3,), (3,), np.array([1, 2, 3], np.float32)]),
    ("Cast", {"to": TensorProto.INT64}, [(3, 4)]),
    ("Clip", {}, [(3, 4), np.float32(-0.3), np.float32(0.4)]),
    ("Clip", {}, [(3, 4), None, np.float32(0.4)]),
    ("Concat", {"axis": -1}, [(2, 3), (2, 4)]),
    ("Conv", {"pads": [0, 0, 1, 1], "strides": [2, 2]}, [(2, 4, 8, 10), (6, 4, 3, 3), (6,)]),
    ("Conv", {"pads": [2, 2, 2, 2], "dilations": [2, 2], "group": 4}, [(2, 4, 8, 10), (4, 1, 3, 3)]),
    ("CumSum", {}, [(3, 4), np.array(1, I64)]),
    ("Div", {}, [(3, 4), np.array([3, -2, 7, 5], np.float32)]),
    ("Div", {}, [np.array([7, -7, 9], I64), np.array([2, 2, 3], I64)]),
    ("Exp", {}, [(3, 4)]),
    ("Expand", {}, [(3, 1), np.array([2, 1, 4], I64)]),
    ("Gather", {"axis": 1}, [(3, 4), np.array(-1, I64)]),
    ("Gather", {"axis": 1}, [(3, 4, 2), np.array([[0, -1], [2, 1]], I64)]),
    ("Gemm", {"transB": 1, "alpha": 0.5, "beta": 2.0}, [(3, 4), (5, 4), (5,)]),
    ("Gemm", {"transA": 1}, [(4, 3), (4, 5)]),
    ("GlobalAveragePool", {}, [(2, 3, 4, 5)]),
    ("HardSigmoid", {"alpha": 0.3}, [(3, 4)]),
    ("HardSwish", {}, [(3, 4)]),
    ("Identity", {}, [(3, 4)]),
    ("Log", {}, [np.array([0.5, 2, 7], np.float32)]),
    ("MatMul", {}, [(2, 3, 4), (4, 5)]),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 0]}, [(1, 2, 8, 9)]),
    ("Mul", {}, [(2, 3), (3,)]),
    ("Pad", {}, [(2, 3, 4), np.array([0, 1, 0, 0, 2, 3], I64), np.float32(1.5)]),
    ("Pow", {}, [np.array([0.5, 2, 7], np.float32), np.float32(2)]),
    ("ReduceMax", {"keepdims": 0}, [(2, 3, 4), np.array([1], I64)]),
    ("ReduceMean", {}, [(2, 3, 4), np.array([-1, 1], I64)]),
    ("ReduceSum", {"keepdims": 0}, [(2, 3, 4)]),
    ("ReduceSum", {"noop_with_empty_axes": 1}, [(2, 3, 4)]),
    ("Relu", {}, [(3, 4)]),
    ("Reshape", {}, [(2, 3, 4), np.array([0, -1], I64)]),
    ("Resize", {"mode": "linear"}, [(1, 2, 4, 5), None, np.array([1, 1, 2, 2], np.float32)]),
    ("Resize", {"mode": "linear"}, [(1, 2, 8, 6), None, None, np.array([1, 2, 5, 9], I64)]),
    (
        "Resize",
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        [(1, 2, 4, 5), None, np.array([1, 1, 2, 2], np.float32)],
    ),
    (
        "Resize",
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        [(1, 2, 4, 5), None, None, np.array([1, 2, 7, 9], I64)],
    ),
    ("Shape", {"start": 1}, [(2, 3, 4)]),
    ("Sigmoid", {}, [(3, 4)]),
    ("Slice", {}, [(4, 6), np.array([1], I64), np.array([-1], I64), np.array([1], I64), np.array([2], I64)]),
    ("Slice", {}, [(4, 6), np.array([1, 0], I64), np.array([9, 3], I64)]),
    ("Softmax", {"axis": 1}, [(2, 3, 4)]),
    ("Softplus", {}, [(3, 4)]),
    ("Reciprocal", {}, [np.array([0.5, 2, 7], np.float32)]),
    ("Sqrt", {}, [np.array([0.5, 2, 7], np.float32)]),
    ("Squeeze", {}, [(2, 1, 4, 1), np.array([1, -1], I64)]),
    ("Sub", {}, [(2, 3), (3,)]),
    ("Transpose", {"perm": [2, 0, 1]}, [(2, 3, 4)]),
    ("Unsqueeze", {}, [(2, 3), np.array([-1, 0], I64)]),
]


def one_node_model(path: Path, operator: str, attributes: dict[str, Any], inputs: list[Any]) -> dict[str, np.ndarray]:
    """Write a model of one node; returns its float inputs, the constants are in the file."""
    generator = np.random.default_rng(1)
    names, feeds, constants = [], {}, []
    for i, value in enumerate(inputs):
        name = "" if value is None else f"in{i}"
        names.append(name)
        if isinstance(value, tuple):
            feeds[name] = generator.normal(size=value).astype(np.float32)
        elif value is not None:
            constants.append(numpy_helper.from_array(np.asarray(value), name))
    node = helper.make_node(operator, names, ["out"], **attributes)
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in feeds.items()]
    kinds = {"Shape": TensorProto.INT64, "Cast": TensorProto.INT64}
    kind = kinds.get(operator, constants[0].data_type if constants and not feeds else TensorProto.FLOAT)
    graph = helper.make_graph([node], "one", values, [helper.make_tensor_value_info("out", kind, None)], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return feeds


@pytest.mark.parametrize(("operator", "attributes", "inputs"), NODES, ids=[f"{n[0]}{i}" for i, n in enumerate(NODES)])
def test_torch_operator_equals_onnxruntime(
    operator: str, attributes: dict[str, Any], inputs: list[Any], tmp_path: Path
) -> None:
    path = tmp_path / "one.onnx"
    feeds = one_node_model(path, operator, attributes, inputs)
    expected = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds)[0]
    graph = TorchGraph(path, torch.device("cpu"))
    found = graph({name: torch.from_numpy(value) for name, value in feeds.items()})[0].numpy()
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_every_torch_operator_is_tested() -> None:
    assert {name for name, _, _ in NODES} | {"Constant"} == set(OPERATORS)


@pytest.mark.parametrize(
    ("operator", "attributes", "words"),
    [
        ("Erf", {}, "no operator Erf; use onnxruntime"),
        ("Resize", {"mode": "cubic"}, "Resize '' failed: resize of 4 axes with mode cubic"),
    ],
)
def test_what_torch_cannot_do_is_named(operator: str, attributes: dict[str, Any], words: str, tmp_path: Path) -> None:
    inputs = [(1, 2, 4, 4)] if operator == "Erf" else [(1, 2, 4, 4), None, np.array([1, 1, 2, 2], np.float32)]
    feeds = one_node_model(tmp_path / "one.onnx", operator, attributes, inputs)
    with pytest.raises(FsmdeError, match=words):
        TorchGraph(tmp_path / "one.onnx", torch.device("cpu"))({n: torch.from_numpy(v) for n, v in feeds.items()})
