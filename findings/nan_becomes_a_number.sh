#!/usr/bin/env bash
# OpenVINO 2026.4.1 and ONNX Runtime 1.31.1, CPU, float32: operators that turn NaN into a number, where ONNX (onnx 1.23.2, whose reference
# evaluator runs beside them) and IEEE 754 arithmetic would keep it.
#
# Who guesses wrong: whoever marks an invalid pixel or an unknown intrinsic by NaN and expects the depth there to be NaN. Inputs are
# [1, NaN, 3, -2].
#   OpenVINO:     Relu, Clip (NaN -> the lower bound), Max, Min (NaN -> the other operand), Exp (NaN -> inf), HardSigmoid (NaN -> 1);
#                 Softmax spoils one element instead of all, ReduceMax and ReduceMin pass over the NaN.
#   ONNX Runtime: keeps NaN in all of these, but ReduceMax gives 3 and ReduceMin gives 1: neither NaN nor the smallest number, which is -2.
#
# So a network's output cannot tell which inputs were invalid: mask before the engine, and set outputs to NaN after it.
#
# Output seen (x86-64):
#   Relu         reference [  1  nan   3   0]   onnxruntime [  1  nan   3   0]   openvino [  1   0   3   0]
#   Exp          reference [2.7 nan 20.1 0.1]   onnxruntime [2.7 nan 20.1 0.1]   openvino [2.7 inf 20.1 0.1]
#   ReduceMin    reference [nan]                onnxruntime [  1]                openvino [ -2]
#   ...          all as expected below: "12 operators as described"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 openvino==2026.4.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

nan, inf = np.nan, np.inf
X = np.array([1, nan, 3, -2], np.float32)
# operator: onnxruntime's result, OpenVINO's; None stands for the reference's
EXPECTED = {
    "Relu": (None, [1, 0, 3, 0]),
    "Clip": (None, [1, 0, 3, 0]),
    "Max": (None, [1, 1, 3, 1]),
    "Min": (None, [1, 1, 1, -2]),
    "Exp": (None, [2.7182817, inf, 20.085537, 0.13533528]),
    "HardSigmoid": (None, [0.7, 1, 1, 0.1]),
    "Softmax": (None, [0, nan, 0, 0]),
    "ReduceMax": ([3], [3]),
    "ReduceMin": ([1], [-2]),
    "LeakyRelu": (None, None),
    "Sigmoid": (None, None),
    "ReduceSum": (None, None),
}


def model(operator):
    constants = []
    if operator == "Clip":
        constants = [helper.make_tensor("low", TensorProto.FLOAT, [], [0]), helper.make_tensor("high", TensorProto.FLOAT, [], [10])]
    if operator in ("Max", "Min"):
        constants = [helper.make_tensor("other", TensorProto.FLOAT, [1], [1])]
    node = helper.make_node(operator, ["x", *(constant.name for constant in constants)], ["y"])
    size = [1] if operator.startswith("Reduce") else [4]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", [4]), ("y", size))]
    graph = helper.make_graph([node], operator, ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "openvino", openvino.__version__.split("-")[0])
core, wrong = openvino.Core(), []
for operator, expected in EXPECTED.items():
    proto = model(operator)
    raw = proto.SerializeToString()
    with np.errstate(invalid="ignore"):
        reference = ReferenceEvaluator(proto).run(None, {"x": X})[0]
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    compiled = core.compile_model(core.read_model(raw), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = {"onnxruntime": session.run(None, {"x": X})[0], "openvino": compiled(X)[0]}
    print(f"{operator:12} reference {reference}   onnxruntime {found['onnxruntime']}   openvino {found['openvino']}")
    for (engine, result), values in zip(found.items(), expected, strict=True):
        if not np.allclose(result, reference if values is None else values, rtol=1e-4, atol=1e-6, equal_nan=True):
            wrong.append(f"{operator} in {engine}")
if wrong:
    sys.exit(f"no longer as described: {', '.join(wrong)}")
print(len(EXPECTED), "operators as described")
PYTHON
