"""Protocol A, the evaluation of SurroundDepth, and protocols by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.metrics import Metrics, depth_metrics
from fsmde_core.evaluation.measures.pixels import Pixels, SparseDepth, lidar_depth
from fsmde_core.evaluation.predictors.predictors import Prediction
from fsmde_core.evaluation.protocols.protocol import DEFAULT_CAP_M, EvaluationProtocol
from fsmde_core.evaluation.protocols.vfdepth import SIZES, VfDepthProtocol
from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import ImagePoints

CAPS_M = {"ddad": 200.0}
PROTOCOLS = ("surrounddepth", "vfdepth")


@dataclass(frozen=True)
class SurroundDepthProtocol(EvaluationProtocol):
    """Protocol A, the evaluation of SurroundDepth (Wei et al. 2022); without median scaling unless asked for.

    Truth: one lidar sweep, moved by the vehicle's motion to the camera's exposure, nearest pixel at native size, last
    point wins. Prediction: resized bilinearly to that size. Averaged per image, images per camera, cameras of the rig,
    all unweighted.
    """

    name: str = "surrounddepth"

    def truth(self, frame: Frame, camera_name: str, seen: ImagePoints | None = None) -> SparseDepth:
        """At the camera's native size."""
        return self.measured(lidar_depth(frame, camera_name, seen), self.masks.get(camera_name))

    def measured(self, known: SparseDepth, mask: NDArray[np.bool_] | None = None) -> SparseDepth:
        """The part within the range, and where the (H, W) mask is true."""
        valid = (known.z > self.min_m) & (known.z < self.cap_m)
        return known.where(valid if mask is None else valid & mask[known.row, known.column])

    def pixels(self, truth: SparseDepth, prediction: Prediction) -> Pixels | None:
        """See `EvaluationProtocol.pixels`."""
        return Pixels.of(truth, prediction, np.float32(np.inf))

    def median_ratio(self, pixels: Pixels) -> float:
        """See `EvaluationProtocol.median_ratio`; the median of an even number is the mean of the two in the middle."""
        return float(np.median(pixels.truth) / np.median(pixels.depth))

    def measure(self, truth: NDArray[np.float32], prediction: NDArray[np.float32]) -> Metrics | None:
        """One image by itself: truth (H, W), NaN where unknown, prediction (h, w), metres; None without a pixel."""
        pixels = self.pixels(self.measured(SparseDepth.from_map(truth)), Prediction(prediction))
        if pixels is None:
            return None
        measured = self.scaled(pixels, self.ratio(pixels))
        return depth_metrics(measured.truth, measured.depth)


def make_protocol(
    name: str,
    source: str,
    cap_m: float | None = None,
    scaling: str = "none",
    masks: Mapping[str, NDArray[np.bool_]] | None = None,
) -> EvaluationProtocol:
    """Protocol `name` for the recording called `source`; FsmdeError on an unknown name or scaling, or a senseless cap.

    The cap is 80 m unless given, on DDAD 200 m, as published figures have it. masks: see `masks.load_masks`.
    """
    if name not in PROTOCOLS:
        raise FsmdeError(f"protocol '{name}' is unknown; use one of {list(PROTOCOLS)}")
    cap_m = CAPS_M.get(source, DEFAULT_CAP_M) if cap_m is None else cap_m
    if name == "vfdepth":
        return VfDepthProtocol(cap_m, scaling, masks or {}, size=SIZES.get(source, SIZES["nuscenes"]))
    return SurroundDepthProtocol(cap_m, scaling, masks or {})
