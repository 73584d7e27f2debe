"""The graph that TensorRT gets: what its parser refuses is gone, and ONNX Runtime computes the same from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fsmde_core.engines.base import DepthBatch
from fsmde_core.engines.model import default_model_path, read_model_info
from fsmde_core.engines.self_check import TOLERANCE, Deviation, fixed_input
from fsmde_core.engines.tensorrt import network
from fsmde_core.engines.tensorrt.network import buildable_precisions, prepare_graph
from fsmde_core.errors import FsmdeError
from support.small_network import small_network, write_quantised
from support.tensorrt_rules import violations


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_quantised(tmp_path_factory.mktemp("network") / "small_int8.onnx")


def prepared(path: Path, precision: str) -> onnx.ModelProto:
    return onnx.load_from_string(prepare_graph(read_model_info(path), precision))


def run(model: onnx.ModelProto, feeds: dict[str, NDArray]) -> list[NDArray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(values) for values in session.run(None, feeds)]


def difference(path: Path, precision: str) -> Deviation:
    """Of the prepared graph from the file, on the engines' check input."""
    images, focal = fixed_input(read_model_info(path), 2)
    feeds = {"images": images, "focal": focal}
    expected, found = (DepthBatch(*run(model, feeds)) for model in (onnx.load(path), prepared(path, precision)))
    scale = expected.depth + expected.sigma
    errors = np.abs(np.stack([found.depth - expected.depth, found.sigma - expected.sigma])) / scale
    return Deviation(float(np.median(errors)), float(np.quantile(errors, 0.99)))


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_files_break_the_parsers_rules_before_and_not_after(small_model: Path, quantised: Path) -> None:
    assert any("uint8 in Transpose" in line for line in violations(onnx.load(small_model)))
    assert any("zero point" in line for line in violations(onnx.load(quantised)))
    for path, precision in ((small_model, "fp32"), (small_model, "fp16"), (quantised, "int8")):
        assert violations(prepared(path, precision)) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_shipped_student_is_accepted_and_stays_itself(precision: str) -> None:
    path = default_model_path()
    assert violations(onnx.load(path)) != []
    model = prepared(path, precision)
    assert violations(model) == [] and "CumSum" not in operators(model)
    assert difference(path, precision).within(TOLERANCE["f16" if precision == "fp16" else "f32"])


def test_float32_differs_by_rounding_only(small_model: Path) -> None:
    assert difference(small_model, "fp32").within(Deviation(1e-6, 1e-5))


def test_half_precision_is_used_and_is_close(small_model: Path) -> None:
    found = difference(small_model, "fp16")
    assert found.median > 0 and found.within(TOLERANCE["f16"])
    types = {tensor.name: tensor.data_type for tensor in prepared(small_model, "fp16").graph.initializer}
    assert types["encoder.first.weight_float16"] == TensorProto.FLOAT16
    assert types["bins.logits.weight"] == TensorProto.FLOAT
    assert not any(name == "encoder.first.weight" for name in types)


def test_int8_keeps_its_values_but_for_the_bit_that_symmetry_costs(quantised: Path) -> None:
    found = difference(quantised, "int8")
    assert found.median > 0 and found.within(TOLERANCE["int8"])
    model = prepared(quantised, "int8")
    tensors = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert TensorProto.UINT8 not in tensors.values() and TensorProto.INT32 not in tensors.values()
    assert operators(model).count("Relu") > operators(onnx.load(quantised)).count("Relu")


def quantising_graph(scale: float, zero: int) -> onnx.GraphProto:
    """x -> QuantizeLinear -> DequantizeLinear -> y, uint8, as an exporter leaves a layer with its ReLU folded in."""
    constants = [
        numpy_helper.from_array(np.array(scale, np.float32), "scale"),
        numpy_helper.from_array(np.array(zero, np.uint8), "zero"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "quantise"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], "dequantise"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in ("x", "y")]
    return helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)


def test_quantising_by_hand() -> None:
    """uint8 with zero point 0 and scale 0.1 ends at 25.5; int8 reaches as far in 127 steps of 25.5 / 127 = 0.2008."""
    graph = quantising_graph(0.1, 0)
    network._quantise_symmetrically(graph)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    x = np.array([-3, 0, 0.29, 12.8, 25.5, 40], np.float32)
    step = 25.5 / 127
    np.testing.assert_allclose(run(model, {"x": x})[0], [0, 0, step, round(12.8 / step) * step, 25.5, 25.5], rtol=1e-6)


def test_quantising_around_a_zero_point_by_hand() -> None:
    """Zero point 55 and scale 0.5 span -27.5 to 100; around zero the longer side rules, -100 to 100, without a ReLU."""
    graph = quantising_graph(0.5, 55)
    network._quantise_symmetrically(graph)
    assert [node.op_type for node in graph.node] == ["QuantizeLinear", "DequantizeLinear"]
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    found = run(model, {"x": np.array([-50, 100, 120, -200], np.float32)})[0]
    np.testing.assert_allclose(found, [-64 * 100 / 127, 100, 100, -128 * 100 / 127], rtol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "axis", "replaced"),
    [({}, 1, True), ({}, -1, True), ({}, 0, False), ({"reverse": 1}, 1, False), ({"exclusive": 1}, 1, False)],
)
def test_running_sums_are_replaced_where_a_triangle_says_the_same(
    attributes: dict[str, int], axis: int, replaced: bool
) -> None:
    model = small_network()
    for node in model.graph.node:
        if node.op_type == "CumSum":
            node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
            node.input[1] = "axis"
    model.graph.initializer.append(numpy_helper.from_array(np.array(axis), "axis"))
    images = np.random.default_rng(3).integers(0, 256, (2, 64, 112, 3), dtype=np.uint8)
    feeds = {"images": images, "focal": np.array([100, 150], np.float32)}
    expected = run(model, feeds)
    network._sum_by_product(model)
    assert ("CumSum" not in operators(model)) == replaced
    for ours, theirs in zip(run(model, feeds), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_a_model_that_casts_first_is_left_alone(tiny_model: Path) -> None:
    assert operators(prepared(tiny_model, "fp32")) == operators(onnx.load(tiny_model))


def test_precisions_of_a_file(small_model: Path, quantised: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.onnx"
    half.write_bytes(prepare_graph(read_model_info(small_model), "fp16"))
    files = {"fp32": small_model, "fp16": half, "int8": quantised}
    assert {name: buildable_precisions(read_model_info(path)) for name, path in files.items()} == {
        "fp32": ("fp16", "fp32"),
        "fp16": ("fp16",),
        "int8": ("int8",),
    }
    for name, asked in (("fp32", "int8"), ("fp16", "fp32"), ("int8", "fp16"), ("fp32", "fp8")):
        with pytest.raises(FsmdeError, match=f"precision {asked} cannot be built from .*, which is {name}: it gives"):
            prepare_graph(read_model_info(files[name]), asked)
