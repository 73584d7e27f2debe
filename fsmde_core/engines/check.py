"""The self-check: an engine serves only after it has followed the ONNX reference on one fixed input.

Graph compilers have shipped wrong results without an error; a wrong depth map looks like a depth map.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.engines.base import DepthBatch, Engine
from fsmde_core.errors import FsmdeError
from fsmde_core.model import ModelInfo

CAMERAS = 2


@dataclass(frozen=True)
class Deviation:
    """Of depth and sigma together, relative to the reference depth: the median and the 99th percentile of pixels."""

    median: float
    p99: float

    def within(self, limit: Deviation) -> bool:
        return self.median <= limit.median and self.p99 <= limit.p99  # False for NaN

    def __str__(self) -> str:
        return f"median {self.median:.1e}, 99 % {self.p99:.1e}"


TOLERANCE = {
    "f32": Deviation(median=1e-4, p99=1e-3),
    "f16": Deviation(median=5e-3, p99=5e-2),
    "bf16": Deviation(median=2e-2, p99=2e-1),
}
"""By precision of the arithmetic. bfloat16 carries 8 bits: each layer rounds by up to 0.4 %."""


def check_input(info: ModelInfo) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The fixed input: two seeded images with structure at every scale, as photographs have, and two focal lengths."""
    generator = np.random.default_rng(20250615)
    images = np.full((CAMERAS, info.height, info.width, 3), 128.0, np.float32)
    for cells in (2, 4, 8, 16, 32, 64):
        for image in images:
            grid = generator.normal(0, 60 / cells**0.5, (cells, 2 * cells, 3)).astype(np.float32)
            image += cv2.resize(grid, (info.width, info.height), interpolation=cv2.INTER_LINEAR)
    focal = info.focal_canonical * np.array([0.9, 1.2], np.float32)
    return np.clip(images, 0, 255).astype(np.uint8), focal


def reference(info: ModelInfo) -> DepthBatch:
    """What the model file itself says of the fixed input: ONNX Runtime without graph optimisations, in float32."""
    from fsmde_core.engines.onnxruntime import OnnxRuntimeEngine

    engine = OnnxRuntimeEngine(info, optimise=False)
    result = engine.infer(*check_input(info))
    engine.close()
    shape = (CAMERAS, info.height, info.width)
    for name, values in (("depth", result.depth), ("sigma", result.sigma)):
        if values.shape != shape or not np.all(np.isfinite(values)) or values.min() < 0:
            raise FsmdeError(f"model file {info.path}: {name} must be {shape}, finite and not negative; train it anew")
    return result


def deviation(engine: Engine, expected: DepthBatch) -> Deviation:
    """How far `engine` is from the reference on the fixed input."""
    found = engine.infer(*check_input(engine.info))
    if found.depth.shape != expected.depth.shape or found.sigma.shape != expected.sigma.shape:
        return Deviation(float("nan"), float("nan"))
    scale = np.maximum(expected.depth, 1e-3)
    errors = np.stack([np.abs(found.depth - expected.depth), np.abs(found.sigma - expected.sigma)]) / scale
    return Deviation(float(np.median(errors)), float(np.quantile(errors, 0.99)))
