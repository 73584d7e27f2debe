"""What TensorRT's ONNX parser refuses of an ONNX graph, as its documentation of operators says."""

from __future__ import annotations

import onnx
from onnx import TensorProto, numpy_helper, shape_inference


def violations(model: onnx.ModelProto) -> list[str]:
    """One line for each node that the parser would refuse."""
    inferred = shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {v.name: v.type.tensor_type.elem_type for v in [*inferred.value_info, *inferred.input, *inferred.output]}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    types |= {name: tensor.data_type for name, tensor in constants.items()}
    found = []
    for node in model.graph.node:
        kinds = [types.get(name, 0) for name in node.input]
        made = [types.get(name, 0) for name in node.output]
        if TensorProto.UINT8 in kinds + made and node.op_type != "Cast":
            found.append(f"{node.name}: uint8 in {node.op_type}")
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            if kinds[2] != TensorProto.INT8 or numpy_helper.to_array(constants[node.input[2]]).any():
                found.append(f"{node.name}: zero point is not an int8 zero")
        elif len({kind for kind in kinds if kind in (TensorProto.FLOAT, TensorProto.FLOAT16)}) > 1:
            found += [] if node.op_type == "Resize" else [f"{node.name}: float32 and float16 meet"]
    return found
