"""Equalises layers: channels of one tensor come to use the same range, so one uint8 scale fits them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

CLIP_MAX = 6.0
LARGEST_FACTOR = 8.0
"""Of a channel's amplification; beyond it, rarely used channels would only amplify what calibration has not seen."""
MIGRATION = 0.5
"""Share of the spread between channels that moves from activations to the next weights (SmoothQuant's alpha)."""

HOMOGENEOUS = ("Relu", "Resize")

Range = NDArray[np.float32]


def equalise(model: onnx.ModelProto, peaks: Mapping[str, Range]) -> onnx.ModelProto:
    """Scale W1 and its bias by s per output channel, and divide the next W2 by s: the function stays the same.

    Data-free quantization (Nagel et al. 2019), with the migration exponent of SmoothQuant (Xiao et al. 2023) in place
    of its weight ranges; both across residual sums too. Exact but for ReLU6: a channel whose activations stay below 6
    is amplified up to 6, and is from then on clipped at the peaks of calibration.

    Args:
        model: A float32 network of the model contract.
        peaks: Output of each convolution, sum and activation -> (C,) largest absolute values.

    Returns:
        The new model.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    weights = {i.name: numpy_helper.to_array(i).copy() for i in result.graph.initializer}
    scales = _scales(result, weights, peaks)
    for node in _convolutions(result):
        weight = weights[node.input[1]]
        before, after = scales.get(node.input[0]), scales.get(node.output[0])
        if before is not None:
            weight /= before[:, None, None, None] if is_depthwise(node) else before[None, :, None, None]
        if after is not None:
            weight *= after[:, None, None, None]
            if len(node.input) > 2:
                weights[node.input[2]] *= after
    for tensor in result.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    return result


def is_depthwise(node: onnx.NodeProto) -> bool:
    """Tell whether a convolution has more than one group: here always one per channel."""
    return any(a.name == "group" and a.i > 1 for a in node.attribute)


def _convolutions(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    return (node for node in model.graph.node if node.op_type == "Conv")


def _scales(
    model: onnx.ModelProto, weights: Mapping[str, NDArray], peaks: Mapping[str, Range]
) -> dict[str, NDArray[np.float32]]:
    """Compute a factor per channel for the tensors that a convolution makes and only known operations read."""
    convolved = {node.output[0] for node in _convolutions(model)}
    to_depthwise = {node.input[0] for node in _convolutions(model) if is_depthwise(node)}
    clipped = {node.output[0] for node in model.graph.node if node.op_type == "Clip"}
    scales: dict[str, NDArray[np.float32]] = {}
    for group in _groups(model, weights):
        measured = [peaks[name] for name in group if name in peaks]
        if not convolved & group or not measured:
            continue
        if clipped & group:
            peak = np.minimum.reduce([np.minimum(peaks[name], CLIP_MAX) for name in clipped & group])
            largest = np.float32(CLIP_MAX)
        else:
            peak = np.maximum.reduce(measured)
            largest = peak.max()
        # A depthwise kernel has its own weight scale per channel: there equalisation costs nothing.
        exponent = 1.0 if clipped & group & to_depthwise else MIGRATION
        factor = (largest / np.maximum(peak, 1e-3)) ** exponent
        scales |= dict.fromkeys(group, np.clip(factor, 1, LARGEST_FACTOR).astype(np.float32))
    return scales


def _groups(model: onnx.ModelProto, weights: Mapping[str, NDArray]) -> list[set[str]]:
    """Group the tensors that must share one scale, without those at an operation that does not keep scales."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    fixed = set(weights) | {output.name for output in model.graph.output}
    for node in model.graph.node:
        if node.op_type == "Conv":
            continue
        if node.op_type in HOMOGENEOUS or (node.op_type == "Clip" and _is_relu6(node, weights)):
            parent[root(node.input[0])] = root(node.output[0])
        elif node.op_type == "Add":
            for name in node.input:
                parent[root(name)] = root(node.output[0])
        else:
            fixed |= {*node.input, *node.output}
    unmovable = {root(name) for name in fixed}
    groups: dict[str, set[str]] = {}
    for node in model.graph.node:
        for name in (*node.input[:1], *node.output):
            groups.setdefault(root(name), set()).add(name)
    return [names for key, names in groups.items() if key not in unmovable]


def _is_relu6(node: onnx.NodeProto, weights: Mapping[str, NDArray]) -> bool:
    bounds = [weights.get(name) for name in node.input[1:3]]
    return all(b is not None for b in bounds) and [float(b) for b in bounds if b is not None] == [0.0, CLIP_MAX]
