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


@dataclass(frozen=True)
class Deviation:
    """Errors of depth and sigma over all pixels, relative to the reference's depth + sigma: the model itself claims to
    know depth only to its sigma. The median, and the 99th percentile.
    """

    median: float
    p99: float

    def within(self, limit: Deviation) -> bool:
        return self.median <= limit.median and self.p99 <= limit.p99  # False for NaN

    def __str__(self) -> str:
        return f"median {self.median:.1e}, 99 % {self.p99:.1e}"


TOLERANCE = {
    "f32": Deviation(median=1e-4, p99=1e-3),
    "f16": Deviation(median=5e-3, p99=3e-2),
    "bf16": Deviation(median=4e-2, p99=2e-1),
}
"""By precision of the arithmetic. bfloat16 rounds every layer's output by up to 0.4 %; over the layers of a student
that made 2 % here, without a trend: its AbsRel on lidar changed by 0.0005 at most.
"""


def check_input(info: ModelInfo, cameras: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The fixed input: seeded pictures with a sky, a ground, boxes on it and texture, and a focal length for each.

    On plain noise a network is as unsure as it can be, and small precisions look worse than they are on a road.
    """
    generator = np.random.default_rng(20250615)
    images = np.empty((cameras, info.height, info.width, 3), np.float32)
    for image in images:
        _draw_street(image, generator)
    focal = info.focal_canonical * np.linspace(0.9, 1.2, cameras, dtype=np.float32)
    return np.clip(images, 0, 255).astype(np.uint8), focal


def _draw_street(image: NDArray[np.float32], generator: np.random.Generator) -> None:
    """Draw into (H, W, 3): boxes from far to near, their feet where flat ground would be."""
    height, width = image.shape[:2]
    horizon = int(0.45 * height)
    image[:horizon] = np.linspace([120, 160, 210], [200, 210, 220], horizon)[:, None]
    image[horizon:] = np.linspace([130, 130, 130], [80, 80, 85], height - horizon)[:, None]
    for depth in np.sort(generator.uniform(5, 60, 16))[::-1]:
        metre = width / depth  # in pixels
        foot = horizon + 1.2 * metre
        left, top = generator.uniform(-0.1, 1) * width, foot - generator.uniform(1, 4) * metre
        right = left + generator.uniform(1, 5) * metre
        x0, x1, y0, y1 = (max(int(edge), 0) for edge in (left, right, top, foot))
        image[y0:y1, x0:x1] = generator.uniform(20, 220, 3)
    for cells in (8, 32, 128):
        grid = generator.normal(0, 8, (cells, 2 * cells, 3)).astype(np.float32)
        image += cv2.resize(grid, (width, height))


def reference(info: ModelInfo, cameras: int) -> DepthBatch:
    """What the model file itself says of the fixed input: ONNX Runtime without graph optimisations, in float32."""
    from fsmde_core.engines.onnxruntime import OnnxRuntimeEngine

    engine = OnnxRuntimeEngine(info, optimise=False)
    result = engine.infer(*check_input(info, cameras))
    engine.close()
    shape = (cameras, info.height, info.width)
    for name, values in (("depth", result.depth), ("sigma", result.sigma)):
        if values.shape != shape or not np.all(np.isfinite(values)) or values.min() < 0:
            raise FsmdeError(f"model file {info.path}: {name} must be {shape}, finite and not negative; train it anew")
    return result


def deviation(engine: Engine, expected: DepthBatch) -> Deviation:
    """How far `engine` is from the reference on the fixed input."""
    found = engine.infer(*check_input(engine.info, len(expected.depth)))
    if found.depth.shape != expected.depth.shape or found.sigma.shape != expected.sigma.shape:
        return Deviation(float("nan"), float("nan"))
    scale = np.maximum(expected.depth + expected.sigma, 1e-3)
    errors = np.stack([np.abs(found.depth - expected.depth), np.abs(found.sigma - expected.sigma)]) / scale
    return Deviation(float(np.median(errors)), float(np.quantile(errors, 0.99)))
