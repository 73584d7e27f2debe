"""Implements protocol A, the evaluation of SurroundDepth (Wei et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.metrics import Metrics, depth_metrics
from fsmde_core.evaluation.measures.pixels import Pixels, SparseDepth, lidar_depth
from fsmde_core.evaluation.predictors.predictors import Prediction
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import ImagePoints


@dataclass(frozen=True)
class SurroundDepthProtocol(EvaluationProtocol):
    """Measures at the camera's native size, without median scaling by default.

    Truth: one lidar sweep, moved by the vehicle's motion to the camera's exposure, nearest pixel, last point wins.
    Prediction: resized bilinearly. Averaged per image, images per camera, cameras of the rig, all unweighted.
    """

    name: str = "surrounddepth"

    def truth(self, frame: Frame, camera_name: str, points: ImagePoints | None = None) -> SparseDepth:
        return self.measured(lidar_depth(frame, camera_name, points), self.masks.get(camera_name))

    def measured(self, known: SparseDepth, mask: NDArray[np.bool_] | None = None) -> SparseDepth:
        # mask: (H, W) at native size
        valid = (known.z > self.min_m) & (known.z < self.cap_m)
        return known.where(valid if mask is None else valid & mask[known.row, known.column])

    def pixels(self, truth: SparseDepth, prediction: Prediction) -> Pixels | None:
        return Pixels.of(truth, prediction, np.float32(np.inf))

    def median_ratio(self, pixels: Pixels) -> float:
        # The median of an even number is the mean of the two in the middle.
        return float(np.median(pixels.truth) / np.median(pixels.depth))

    def measure(self, truth: NDArray[np.float32], prediction: NDArray[np.float32]) -> Metrics | None:
        # one image by itself: truth (H, W), NaN where unknown, prediction (h, w), metres; None without a pixel
        pixels = self.pixels(self.measured(SparseDepth.from_map(truth)), Prediction(prediction))
        if pixels is None:
            return None
        measured = self.scaled(pixels, self.ratio(pixels))
        return depth_metrics(measured.truth, measured.depth)
