"""Half precision inside, the float32 contract outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fsmde_core.engines.check import Deviation
from fsmde_core.errors import FsmdeError
from fsmde_training.export.compare import compare
from fsmde_training.export.graph import network_nodes
from fsmde_training.export.onnx import set_metadata

LIMIT = Deviation(median=5e-3, p99=5e-2)
"""Against the float32 file. A rounding is at most 2^-11 = 4.9e-4 relative; independent ones of some 67 convolutions
add up to sqrt(67) * 4.9e-4 = 4e-3 of the logits, and a logit's error is one of log depth. At edges a pixel lies between
two depths: the shipped student has 1.8e-3 and 2.6e-2, the limit leaves twice that.
"""


def convert_fp16(path: Path, out: Path) -> Deviation:
    """Write float32 `path` with weights and activations of the network in float16 as `out`; its distance to `path`.

    Inputs and outputs stay as the contract wants them. The binning module and all that follows stays float32: squared
    distances of bins reach 250^2, near float16's largest number 65504, and probability / depth its subnormals.
    Raises FsmdeError when `out` differs from `path` by more than LIMIT.
    """
    model = onnx.load(path)
    _to_half(model)
    set_metadata(model, {"precision": "fp16"})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)
    found = compare(path, out)
    if not found.within(LIMIT):
        out.unlink()
        raise FsmdeError(f"{out}: float16 differs from float32 by {found}, at most {LIMIT} expected; export fp32")
    return found


def _to_half(model: onnx.ModelProto) -> None:
    """Network nodes compute in float16 from the cast of the images on; a Cast leads to each tensor that others read."""
    graph, network = model.graph, network_nodes(model)
    weights = {i.name: i for i in graph.initializer if i.data_type == TensorProto.FLOAT}
    made = {name for node in graph.node if node.name in network for name in node.output}
    integer = _integer_outputs(graph)
    nodes: list[onnx.NodeProto] = []
    half: dict[str, onnx.TensorProto] = {}
    casts: set[str] = set()
    for node in graph.node:
        if node.name not in network:
            for index, name in enumerate(node.input):
                if name in made - integer:
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
    _drop_unused(graph)


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


def _integer_outputs(graph: onnx.GraphProto) -> set[str]:
    """Tensors before the images' cast: still uint8."""
    names = {value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8}
    for node in graph.node:
        if node.op_type != "Cast" and any(name in names for name in node.input):
            names.update(node.output)
    return names


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
