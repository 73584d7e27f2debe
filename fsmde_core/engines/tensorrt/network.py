"""Rewrites the model's graph as TensorRT's parser takes it, with onnx alone, so that any machine can check it."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from fsmde_core.engines.model import ModelInfo
from fsmde_core.engines.precision import drop_unused, precision_of, to_half
from fsmde_core.errors import FsmdeError

PRECISIONS = {"fp32": ("fp16", "fp32"), "fp16": ("fp16",), "int8": ("int8",)}
"""Precision of a model file -> those of the engines that can be built of it, the fastest first."""

INT8_MAX = 127


def buildable_precisions(info: ModelInfo) -> tuple[str, ...]:
    """Return the precisions that engines of the model file can be built in, the fastest first."""
    return PRECISIONS[precision_of(onnx.load(info.path))]


def prepare_graph(info: ModelInfo, precision: str) -> bytes:
    # Serialised ONNX for a strongly typed network.
    model = onnx.load(info.path)
    found = precision_of(model)
    if precision not in PRECISIONS[found]:
        raise FsmdeError(
            f"precision {precision} cannot be built from {info.path}, which is {found}: it gives "
            f"{' or '.join(PRECISIONS[found])}; export another file with 'fsmde export --precision'"
        )
    if precision != found:
        to_half(model)
    _cast_images_first(model.graph)
    _sum_by_product(model)
    if precision == "int8":
        _quantise_symmetrically(model.graph)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _cast_images_first(graph: onnx.GraphProto) -> None:
    """Cast the images before anything else is done to them: TensorRT moves no uint8 data, not even in a Transpose.

    On the CPU the order is the other way round, since four times fewer bytes are transposed. The cast that is there
    becomes one from a type to itself.
    """
    readers = [node for node in graph.node if "images" in node.input]
    if all(node.op_type == "Cast" for node in readers):
        return
    to = next(a.i for node in graph.node if node.op_type == "Cast" for a in node.attribute if a.name == "to")
    for node in readers:
        node.input[list(node.input).index("images")] = "images_cast"
    nodes = [helper.make_node("Cast", ["images"], ["images_cast"], "cast_images_first", to=to), *graph.node]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)


def _sum_by_product(model: onnx.ModelProto) -> None:
    """Turn running sums along a last axis of known length into products with a triangular matrix of ones.

    Parsers before TensorRT 10.8 make a loop of CumSum, which is slow and not made for CUDA graphs.
    """
    shapes = _shapes(model)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "CumSum" or any(a.i for a in node.attribute) or node.input[1] not in constants:
            continue
        shape, axis = shapes.get(node.input[0], ()), int(numpy_helper.to_array(constants[node.input[1]]))
        if shape and axis % len(shape) == len(shape) - 1 and shape[-1] > 0:
            matrix = np.triu(np.ones((shape[-1], shape[-1]), np.float32))
            name = f"{node.output[0]}_triangle"
            model.graph.initializer.append(numpy_helper.from_array(matrix, name))
            product = helper.make_node("MatMul", [node.input[0], name], list(node.output), node.name)
            node.CopyFrom(product)
    drop_unused(model.graph)


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes of float32 tensors by name, with 0 for a size that is not known."""
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in shape_inference.infer_shapes(model).graph.value_info
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }


def _quantise_symmetrically(graph: onnx.GraphProto) -> None:
    """Turn uint8 activations with a zero point into int8 around zero, int32 biases into float32, as TensorRT wants.

    A range from zero up, which a ReLU was folded into, loses one of eight bits and gets its ReLU back.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    unsigned = {
        (node.input[1], node.input[2])
        for node in graph.node
        if node.op_type == "QuantizeLinear" and constants[node.input[2]].data_type == TensorProto.UINT8
    }
    biases = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.INT32}
    rectified = {zero for _, zero in unsigned if not numpy_helper.to_array(constants[zero])}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in biases:
            graph.initializer.append(_dequantised(node, constants))
            continue
        if node.op_type == "QuantizeLinear" and node.input[2] in rectified:
            name = f"{node.output[0]}_rectified"
            nodes.append(helper.make_node("Relu", [node.input[0]], [name], name))
            node.input[0] = name
        nodes.append(node)
    for scale, zero in unsigned:
        _centre(constants[scale], constants[zero])
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    drop_unused(graph)


def _dequantised(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> onnx.TensorProto:
    """Return the bias in float32; the zero point of int32 is always 0, the scale a number or, as the bias, (C,)."""
    values, scale = (numpy_helper.to_array(constants[name]) for name in node.input[:2])
    return numpy_helper.from_array((values * scale).astype(np.float32), node.output[0])


def _centre(scale: onnx.TensorProto, zero: onnx.TensorProto) -> None:
    """Replace a uint8 scale and zero point by a symmetric int8 scale that covers the same range."""
    point = int(numpy_helper.to_array(zero))
    reach = float(numpy_helper.to_array(scale)) * max(point, 255 - point)
    scale.CopyFrom(numpy_helper.from_array(np.array(reach / INT8_MAX, np.float32), scale.name))
    zero.CopyFrom(numpy_helper.from_array(np.array(0, np.int8), zero.name))
