"""A network of the model contract with a student's parts in small: convolutions, a binning module, a running sum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

from support.tiny_model import HEIGHT, METADATA, WIDTH

BINS, CHANNELS = 8, 4

GRAPH = f"""
<ir_version: 10, opset_import: ["": 20]>
small (uint8[N, {HEIGHT}, {WIDTH}, 3] images, float[N] focal)
    => (float[N, {HEIGHT}, {WIDTH}] depth, float[N, {HEIGHT}, {WIDTH}] sigma)
{{
    chw = Transpose <perm = [0, 3, 1, 2]> (images)
    pixels = Cast <to = 1> (chw)
    scaled = Mul (pixels, range)
    first = Conv <pads = [1, 1, 1, 1]> (scaled, encoder__first__weight, encoder__first__bias)
    active = Relu (first)
    second = Conv <pads = [1, 1, 1, 1]> (active, encoder__second__weight, encoder__second__bias)
    joined = Add (second, active)
    seen = Relu (joined)
    logits = Conv (seen, bins__logits__weight, bins__logits__bias)
    hwc = Transpose <perm = [0, 2, 3, 1]> (logits)
    share = Softmax <axis = -1> (hwc)
    mean = ReduceMean <keepdims = 0> (seen, pixel_axes)
    bin_logits = Gemm <transB = 1> (mean, bins__widths__weight, bins__widths__bias)
    widths = Softmax <axis = 1> (bin_logits)
    edges = CumSum (widths, bin_axis)
    spread = Mul (edges, log_range)
    centres = Exp (spread)
    nhw_centres = Unsqueeze (centres, bin_axes)
    parts = Mul (share, nhw_centres)
    canonical = ReduceSum <keepdims = 0> (parts, last_axis)
    nhw_focal = Unsqueeze (focal, bin_axes)
    ratio = Div (nhw_focal, focal_canonical)
    depth = Mul (canonical, ratio)
    sigma = Mul (depth, tenth)
}}
"""


def small_network() -> onnx.ModelProto:
    """The model in float32; weights are random but fixed."""
    rng = np.random.default_rng(7)

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    tensors: dict[str, np.ndarray] = {
        "encoder.first.weight": weights(CHANNELS, 3, 3, 3),
        "encoder.first.bias": weights(CHANNELS),
        "encoder.second.weight": weights(CHANNELS, CHANNELS, 3, 3),
        "encoder.second.bias": weights(CHANNELS),
        "bins.logits.weight": 4 * weights(BINS, CHANNELS, 1, 1),
        "bins.logits.bias": weights(BINS),
        "bins.widths.weight": weights(BINS, CHANNELS),
        "bins.widths.bias": weights(BINS),
        "range": np.array(1 / 64, np.float32),
        "log_range": np.array(4, np.float32),
        "focal_canonical": np.array(100, np.float32),
        "tenth": np.array(0.1, np.float32),
        "pixel_axes": np.array([2, 3]),
        "bin_axis": np.array(1),
        "bin_axes": np.array([1, 2]),
        "last_axis": np.array([-1]),
    }
    model = parser.parse_model(GRAPH)
    model.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in tensors.items())
    for index, node in enumerate(model.graph.node):
        node.name = f"node_{index}_{node.op_type}"
        names = [name.replace("__", ".") for name in node.input]  # the text form knows no dots in names
        del node.input[:]
        node.input.extend(names)
    helper.set_model_props(model, METADATA)
    onnx.checker.check_model(model, full_check=True)
    return model


def write_small_network(path: Path) -> Path:
    """`small_network` as a file."""
    onnx.save(small_network(), path)
    return path


def write_quantised(path: Path) -> Path:
    """The small network with int8 weights and uint8 activations, as `fsmde export --precision int8` asks for them."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            images = np.random.default_rng(1).integers(0, 256, (1, HEIGHT, WIDTH, 3), dtype=np.uint8)
            self.feeds = iter([{"images": images, "focal": np.ones(1, np.float32)}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

    quantize_static(
        small_network(),
        path,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "Add", "Relu"],
        nodes_to_exclude=["node_8_Conv"],
    )
    result = onnx.load(path)
    helper.set_model_props(result, METADATA)
    onnx.save(result, path)
    return path
