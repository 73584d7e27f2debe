"""What an evaluation protocol is: what counts as truth, which pixels are measured, how they are scaled and pooled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.pixels import Pixels, SparseDepth
from fsmde_core.evaluation.predictors.predictors import Prediction
from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import ImagePoints

DEFAULT_CAP_M = 80.0
SCALINGS = ("none", "median")


@dataclass(frozen=True)
class EvaluationProtocol(ABC):
    """The rules under which numbers may be compared; name, cap and scaling are printed beside every number.

    Measured: min_m < truth < cap_m, where the camera's mask (if `masks` has one: (H, W) bool at native size) is true
    and the rectified view shows the image, see `pixels.in_the_image`. scaling: `none`, or `median`: predictions times
    median truth over median prediction. batch: images of a camera whose pixels are pooled before the measures are
    taken; their median is then one, too.
    """

    cap_m: float = DEFAULT_CAP_M
    scaling: str = "none"
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    min_m: float = 0.1
    name: str = ""
    batch: int = 1

    def __post_init__(self) -> None:
        if not self.min_m < self.cap_m < float("inf"):
            raise FsmdeError(f"cap is {self.cap_m} m, it must be finite and more than {self.min_m} m")
        if self.scaling not in SCALINGS:
            raise FsmdeError(f"scaling '{self.scaling}' is unknown; use one of {list(SCALINGS)}")

    @property
    def pools_pixels(self) -> bool:
        """Whether measures need the pixels of several images at once, not only their sums."""
        return self.batch > 1 and self.scaling == "median"

    @abstractmethod
    def truth(self, frame: Frame, camera_name: str, seen: ImagePoints | None = None) -> SparseDepth:
        """The pixels that are measured; FsmdeError when the frame has no truth.

        seen: `pixels.lidar_points` of the camera where it is known already.
        """

    @abstractmethod
    def pixels(self, truth: SparseDepth, prediction: Prediction) -> Pixels | None:
        """Prediction beside truth, not scaled yet; None without a pixel to measure, FsmdeError if one has no depth."""

    def ratio(self, pixels: Pixels) -> float:
        """What the predictions of one image, or of one batch, are multiplied with."""
        return self.median_ratio(pixels) if self.scaling == "median" else 1.0

    @abstractmethod
    def median_ratio(self, pixels: Pixels) -> float:
        """Median truth over median prediction."""

    def scaled(self, pixels: Pixels, ratio: float) -> Pixels:
        """`pixels` as they are measured: predictions times `ratio`, clipped to [min_m, cap_m]."""
        depth = np.clip(pixels.depth * np.float32(ratio), np.float32(self.min_m), np.float32(self.cap_m))
        sigma = None if pixels.sigma is None else pixels.sigma * np.float32(ratio)
        return replace(pixels, depth=depth, sigma=sigma)
