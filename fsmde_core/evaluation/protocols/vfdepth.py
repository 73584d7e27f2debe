"""Implements protocol B, the evaluation of VFDepth (Kim et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.pixels import Pixels, SparseDepth, last_of_each, lidar_depth
from fsmde_core.evaluation.predictors.predictors import Prediction
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import ImagePoints

SIZES = {"nuscenes": (640, 352), "ddad": (640, 384)}
"""(width, height) of VFDepth's network. At another size figures could not be compared with its own."""


@dataclass(frozen=True)
class VfDepthProtocol(EvaluationProtocol):
    """Measures at `size`, (width, height), over batches of samples.

    Truth: as in protocol A at native size, then scattered to `size`: a pixel takes the last, row by row from the top,
    of those that fall into it. Prediction: resized bilinearly and clipped to [0, cap_m], before scaling and after it.
    Pixels of a camera are pooled over `batch` consecutive samples, measures averaged over batches and cameras. As
    VFDepth's loader does, an incomplete last batch is left out, unless it is the only one.
    """

    min_m: float = 0.0
    name: str = "vfdepth"
    batch: int = 4
    size: tuple[int, int] = SIZES["nuscenes"]

    def truth(self, frame: Frame, camera_name: str, points: ImagePoints | None = None) -> SparseDepth:
        native = lidar_depth(frame, camera_name, points)
        native = native.where(np.argsort(native.row * native.width + native.column))
        width, height = self.size
        row = (native.row * (height / native.height)).astype(np.int64)
        column = (native.column * (width / native.width)).astype(np.int64)
        known = SparseDepth(height, width, row, column, native.z)
        known = known.where(last_of_each(row * width + column, width * height))
        return known.where((known.z > self.min_m) & (known.z < self.cap_m) & self._unmasked(known, camera_name))

    def _unmasked(self, known: SparseDepth, camera_name: str) -> NDArray[np.bool_] | np.bool_:
        if camera_name not in self.masks:
            return np.True_
        grey = cv2.resize(255 * self.masks[camera_name].astype(np.uint8), self.size, interpolation=cv2.INTER_AREA)
        return grey[known.row, known.column] > 0

    def pixels(self, truth: SparseDepth, prediction: Prediction) -> Pixels | None:
        return Pixels.of(truth, prediction, np.float32(self.cap_m))

    def median_ratio(self, pixels: Pixels) -> float:
        # The median of an even number is the lower of the two in the middle, as PyTorch has it.
        middle = (len(pixels.truth) - 1) // 2
        return float(np.partition(pixels.truth, middle)[middle] / np.partition(pixels.depth, middle)[middle])
