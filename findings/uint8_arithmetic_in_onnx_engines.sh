#!/usr/bin/env bash
# OpenVINO 2026.4.1 (CPU) saturates integer Add, Sub and Mul where ONNX Runtime 1.31.1 and ONNX's reference evaluator (onnx 1.23.2) wrap around.
#
# Who guesses wrong: whoever lets a graph take camera images as uint8 and does the first arithmetic before the Cast to float: a difference of
# two frames, a mean pixel subtracted, a mirrored average. The same file gives other depths in the two engines, without a word.
# 200 + 100 is 44 in ONNX Runtime and 255 in OpenVINO; 10 - 20 is 246 and 0; int8 100 + 100 is -56 and 127. So cast first. (Casts of
# float32 out of range agree: 300 becomes 44 in both.)
#
# Output seen (x86-64):
#   uint8 Add  reference [ 44  30 253]  onnxruntime [ 44  30 253]  openvino [255  30 253]
#   uint8 Sub  reference [100 246 247]  onnxruntime [100 246 247]  openvino [100   0 247]
#   uint8 Mul  reference [ 32 200 238]  onnxruntime [ 32 200 238]  openvino [255 200 255]
#   int8 Add   reference [ -56   56 -127]  onnxruntime [ -56   56 -127]  openvino [ 127 -128  127]
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
from onnx import helper
from onnx.reference import ReferenceEvaluator

UNSIGNED = np.array([200, 10, 250], np.uint8), np.array([100, 20, 3], np.uint8)
SIGNED = np.array([100, -100, 127], np.int8), np.array([100, -100, 2], np.int8)
# (operator, operands): what wraps around, what saturates
EXPECTED = [
    ("Add", UNSIGNED, [44, 30, 253], [255, 30, 253]),
    ("Sub", UNSIGNED, [100, 246, 247], [100, 0, 247]),
    ("Mul", UNSIGNED, [32, 200, 238], [255, 200, 255]),
    ("Add", SIGNED, [-56, 56, -127], [127, -128, 127]),
    ("Mul", SIGNED, [16, 16, -2], [127, 127, 127]),
]
print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "openvino", openvino.__version__.split("-")[0])
core, wrong = openvino.Core(), []
for operator, (a, b), wrapped, saturated in EXPECTED:
    kind = helper.np_dtype_to_tensor_dtype(a.dtype)
    inputs = [helper.make_tensor_value_info(name, kind, [3]) for name in ("a", "b")]
    node = helper.make_node(operator, ["a", "b"], ["y"])
    graph = helper.make_graph([node], operator, inputs, [helper.make_tensor_value_info("y", kind, [3])])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    raw = proto.SerializeToString()
    with np.errstate(over="ignore"):
        reference = ReferenceEvaluator(proto).run(None, {"a": a, "b": b})[0]
    first = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"]).run(None, {"a": a, "b": b})[0]
    second = core.compile_model(core.read_model(raw), "CPU")([a, b])[0]
    print(f"{a.dtype} {operator}  reference {reference}  onnxruntime {first}  openvino {second}")
    if reference.tolist() != wrapped or first.tolist() != wrapped or second.tolist() != saturated:
        wrong.append(f"{a.dtype} {operator}")
sys.exit(f"no longer as described: {', '.join(wrong)}" if wrong else 0)
PYTHON
