"""Quantises to static int8: weights and activations lie between QuantizeLinear and DequantizeLinear nodes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from fsmde_core.engines.model import read_model_info
from fsmde_core.engines.onnxruntime import open_session
from fsmde_core.engines.precision import network_nodes
from fsmde_core.errors import FsmdeError
from fsmde_training.export.equalise import equalise
from fsmde_training.export.onnx import set_metadata

QUANTISED = ("Conv", "Add", "Clip", "Relu")
FLOAT_WEIGHTS: tuple[str, ...] = ("encoder.features.0.", "encoder.features.1.")
"""Convolutions whose weights' names begin so stay float32. By measurement: half of the error in log depth that
int8 adds comes from them.
"""


def quantize(path: Path, out: Path, images: NDArray[np.uint8]) -> Path:
    """Write a file with int8 weights per output channel and uint8 activations per tensor.

    The tensors' channels are equalised first. The binning module and the depth arithmetic stay float32.

    Args:
        path, out: The float32 file, and the new one.
        images: (M, H, W, 3) uint8 at the model's size; the extremes of each tensor over them become its range.

    Returns:
        `out`. Raises FsmdeError without images, for another size, or without onnxruntime.quantization.
    """
    info = read_model_info(path)
    if images.ndim != 4 or not len(images) or images.shape[1:] != (info.height, info.width, 3):
        raise FsmdeError(
            f"calibration images are {images.shape}, expected (1 or more, {info.height}, {info.width}, 3); give others"
        )
    quantization = _quantization()
    model = onnx.load(path)
    with tempfile.TemporaryDirectory() as folder:
        equal = Path(folder) / "equalised.onnx"
        onnx.save(equalise(model, channel_peaks(model, images)), equal)
        quantization.quantize_static(
            equal,
            out,
            _Reader(images),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=float_nodes(model),
        )
    result = onnx.load(out)
    del result.metadata_props[:]  # the quantiser adds entries of its own
    set_metadata(result, {entry.key: entry.value for entry in model.metadata_props} | {"precision": "int8"})
    onnx.save(result, out)
    return out


def float_nodes(model: onnx.ModelProto) -> list[str]:
    """Name the nodes that are not quantised: the head, the depth arithmetic, and FLOAT_WEIGHTS' convolutions."""
    network = network_nodes(model)
    kept = {
        node.output[0]
        for node in model.graph.node
        if node.op_type == "Conv" and FLOAT_WEIGHTS and node.input[1].startswith(FLOAT_WEIGHTS)
    }
    # An activation belongs to its convolution: it would else be folded into a range that nothing quantises.
    return [
        node.name
        for node in model.graph.node
        if node.name not in network
        or node.output[0] in kept
        or (node.op_type in ("Clip", "Relu") and node.input[0] in kept)
    ]


def channel_peaks(model: onnx.ModelProto, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    # Largest absolute value per channel (C,) over the images of what every QUANTISED node of the network makes.
    network = network_nodes(model)
    names = [n.output[0] for n in model.graph.node if n.name in network and n.op_type in QUANTISED]
    with tempfile.TemporaryDirectory() as folder:
        probe = onnx.ModelProto()
        probe.CopyFrom(model)
        probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        onnx.save(probe, Path(folder) / "probe.onnx")
        session = open_session(Path(folder) / "probe.onnx", 0, optimise=False)
        peaks: dict[str, Any] = dict.fromkeys(names, np.float32(0))
        for feeds in _feeds(images):
            for name, found in zip(names, session.run(names, feeds), strict=True):
                values = np.abs(np.asarray(found))
                peaks[name] = np.maximum(peaks[name], values.max((0, *range(2, values.ndim))))
    return peaks


class _Reader:
    """Gives the calibration images one by one, as onnxruntime.quantization asks for them."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._feeds = _feeds(images)

    def get_next(self) -> dict[str, NDArray] | None:
        return next(self._feeds, None)


def _feeds(images: NDArray[np.uint8]) -> Iterator[dict[str, NDArray]]:
    # The focal length matters to the depth only, which is not quantised.
    return ({"images": image[None], "focal": np.ones(1, np.float32)} for image in images)


def _quantization() -> Any:
    try:
        import onnxruntime.quantization as quantization
    except ImportError as error:
        raise FsmdeError(f"int8 needs onnxruntime.quantization ({error}); install onnxruntime 1.17 or newer") from error
    return quantization
