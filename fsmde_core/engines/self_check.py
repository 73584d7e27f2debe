"""Checks engines: one serves only after it has followed the ONNX reference on one fixed input.

Graph compilers have shipped wrong results without an error; a wrong depth map looks like a depth map.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from fsmde_core.engines.base import DepthBatch, Engine
from fsmde_core.engines.model import ModelInfo
from fsmde_core.engines.precision import ENGINE_PRECISIONS, precision_of
from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage


@dataclass(frozen=True)
class Deviation:
    """Holds the median and 99th percentile of the errors of depth and sigma over all pixels.

    Errors are relative to the reference's depth + sigma: the model itself claims to know depth only to its sigma.
    """

    median: float
    p99: float

    def within(self, limit: Deviation) -> bool:
        """Tell whether neither error exceeds that of `limit`."""
        return self.median <= limit.median and self.p99 <= limit.p99  # False for NaN

    def __str__(self) -> str:
        return f"median {self.median:.1e}, 99 % {self.p99:.1e}"


TOLERANCE = {
    "f32": Deviation(median=1e-4, p99=1e-3),
    "f16": Deviation(median=5e-3, p99=3e-2),
    "bf16": Deviation(median=2e-2, p99=1.5e-1),
    "int8": Deviation(median=2e-2, p99=2e-1),
}
"""Allowed deviation by precision of the arithmetic, or of the file where that is coarser.

bfloat16 rounds every layer's output by up to 0.4 %; over the layers of a student that made 0.8 % here, 7 % at edges,
without a trend: its AbsRel on lidar changed by 0.0005 at most. int8 is for engines that change the steps of a quantised
file: uint8 turned into int8 around zero made 0.7 % here, 10 % at edges, and changed AbsRel by 0.0001. Engines in
float32 do so too, as they round in another order: 0.4 %, 5 % at edges.
"""

STREET = Path(__file__).with_name("street.jpg")


def fixed_input(info: ModelInfo, cameras: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    # Views of a synthetic street and their mirror images, in turn. Roads are what a model is sure of; on noise or
    # drawings small precisions look worse than they are.
    views = np.split(CameraImage(0, STREET.read_bytes()).rgb(), 2, axis=1)
    views += [view[:, ::-1] for view in views]
    images = [cv2.resize(views[i % len(views)], (info.width, info.height)) for i in range(cameras)]
    focal = info.focal_canonical * np.linspace(0.9, 1.2, cameras, dtype=np.float32)
    return np.stack(images), focal


def reference(info: ModelInfo, cameras: int) -> DepthBatch:
    """Compute the reference: ONNX Runtime without graph optimisations, in float32, on the fixed input.

    Args:
        info: The model.
        cameras: Number of images N.

    Returns:
        Its depth and sigma.

    Raises:
        FsmdeError: They have another shape, are negative or not finite.
    """
    from fsmde_core.engines.onnxruntime import OnnxRuntimeEngine

    engine = OnnxRuntimeEngine(info, optimise=False)
    result = engine.infer(*fixed_input(info, cameras))
    engine.close()
    shape = (cameras, info.height, info.width)
    for name, values in (("depth", result.depth), ("sigma", result.sigma)):
        if values.shape != shape or not np.all(np.isfinite(values)) or values.min() < 0:
            raise FsmdeError(f"model file {info.path}: {name} must be {shape}, finite and not negative; train it anew")
    return result


def tolerance(engine: Engine) -> Deviation:
    """Return how far an engine may be from the reference, by its precision and its file's."""
    file = TOLERANCE[ENGINE_PRECISIONS[precision_of(onnx.load(engine.info.path))]]
    arithmetic = TOLERANCE[engine.precision]
    return Deviation(max(file.median, arithmetic.median), max(file.p99, arithmetic.p99))


def deviation(engine: Engine, expected: DepthBatch) -> Deviation:
    """Measure how far an engine is from the reference on the fixed input.

    Args:
        engine: The engine.
        expected: Depth and sigma by `reference`.

    Returns:
        The largest over batches of all its images and of fewer, down to one: engines have a network for each number.
    """
    images, focal = fixed_input(engine.info, len(expected.depth))
    found = [
        _deviation(engine.infer(images[:count], focal[:count]), expected.depth[:count], expected.sigma[:count])
        for count in range(len(images), 0, -1)
    ]
    return Deviation(*(float(np.max(errors)) for errors in zip(*found, strict=True)))  # NaN stays NaN


def _deviation(found: DepthBatch, depth: NDArray[np.float32], sigma: NDArray[np.float32]) -> tuple[float, float]:
    if found.depth.shape != depth.shape or found.sigma.shape != sigma.shape:
        return float("nan"), float("nan")
    errors = np.stack([np.abs(found.depth - depth), np.abs(found.sigma - sigma)]) / np.maximum(depth + sigma, 1e-3)
    return float(np.median(errors)), float(np.quantile(errors, 0.99))
