"""Finds a model's precision and the part of its graph that may run in float16, and converts that part."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ENGINE_PRECISIONS = {"fp32": "f32", "fp16": "f16", "int8": "int8"}
"""Precision of a file -> its name as the precision of an engine's arithmetic."""

BINNING_PREFIX = "bins."
"""Prefix of the names of the binning module's weights in the student."""


def precision_of(model: onnx.ModelProto) -> str:
    """Return `int8` where tensors pass QuantizeLinear nodes, `fp16` where weights are float16, else `fp32`."""
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return "int8"
    if any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer):
        return "fp16"
    return "fp32"


def network_nodes(model: onnx.ModelProto) -> set[str]:
    """Return the names of the encoder's and decoder's nodes.

    They lead to a convolution, and follow no weight of the binning module. The others, from there to depth and sigma,
    compute with metres and stay float32 in every precision.
    """
    producer = {name: node for node in model.graph.node for name in node.output}
    binning = (name for node in model.graph.node for name in node.input if name.startswith(BINNING_PREFIX))
    head = _tensors_after(model.graph, binning)
    found: set[str] = set()
    pending = [node for node in model.graph.node if node.op_type == "Conv"]
    while pending:
        node = pending.pop()
        if node.name not in found:
            found.add(node.name)
            pending += [producer[name] for name in node.input if name in producer]
    return found - {node.name for node in model.graph.node if any(name in head for name in node.input)}


def _tensors_after(graph: onnx.GraphProto, first: Iterable[str], stop: str = "") -> set[str]:
    """Return the names `first` and those of all tensors computed from them, but for the results of operators `stop`."""
    names = set(first)
    for node in graph.node:  # in topological order, as ONNX wants it
        if node.op_type != stop and any(name in names for name in node.input):
            names.update(node.output)
    return names


def to_half(model: onnx.ModelProto) -> None:
    """Let the network's nodes of a float32 model compute in float16, in place; inputs and outputs stay as they are.

    From the cast of the images on weights and activations are float16, and a Cast leads to each tensor that others
    read. The binning module and all that follows stays float32: squared distances of bins reach 250^2, near float16's
    largest number 65504, and probability / depth its subnormals.
    """
    graph, network = model.graph, network_nodes(model)
    weights = {i.name: i for i in graph.initializer if i.data_type == TensorProto.FLOAT}
    short = {name for node in graph.node if node.name in network for name in node.output}
    # The tensors before the images' cast are still uint8.
    uint8_inputs = (value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8)
    integer = _tensors_after(graph, uint8_inputs, stop="Cast")
    nodes: list[onnx.NodeProto] = []
    half: dict[str, onnx.TensorProto] = {}
    casts: set[str] = set()
    for node in graph.node:
        if node.name not in network:
            for index, name in enumerate(node.input):
                if name in short - integer:
                    node.input[index] = f"{name}_float32"
                    if name not in casts:
                        nodes.append(helper.make_node("Cast", [name], [f"{name}_float32"], to=TensorProto.FLOAT))
                        casts.add(name)
        else:
            _halve_node(node, weights, half)
        nodes.append(node)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(half.values())
    drop_unused(graph)


def _halve_node(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto], half: dict[str, onnx.TensorProto]) -> None:
    """Give the node float16 weights (added to `half`), and let a cast to float32 end in float16."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
    inputs = node.input[:1] if node.op_type == "Resize" else node.input  # its scales are float32 by definition
    for index, name in enumerate(inputs):
        if name in weights:
            values = numpy_helper.to_array(weights[name]).astype(np.float16)
            half[name] = numpy_helper.from_array(values, f"{name}_float16")
            node.input[index] = f"{name}_float16"


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove the initializers that no node reads, in place."""
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
