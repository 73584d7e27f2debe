"""Describes evaluation protocols: what counts as truth, which pixels are measured, how they are scaled and pooled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.metrics import DEFAULT_CAP_M
from fsmde_core.evaluation.measures.pixels import Pixels, SparseDepth
from fsmde_core.evaluation.predictors.predictors import Prediction
from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import ImagePoints

SCALINGS = ("none", "median")


@dataclass(frozen=True)
class EvaluationProtocol(ABC):
    """Holds the rules under which numbers may be compared; name, cap and scaling are printed beside every number.

    Measured: min_m < truth < cap_m, where the rectified view shows the image and not the own vehicle by the rig's mask
    (`pixels.lidar_points`, `within_image`), and where `masks` (by camera, (H, W) bool of the rectified view at native
    size) is true. scaling: `none`, or `median`: predictions times
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
        """Whether the measures need the pixels of several images at once, not only their sums."""
        return self.batch > 1 and self.scaling == "median"

    @abstractmethod
    def truth(self, frame: Frame, camera_name: str, points: ImagePoints | None = None) -> SparseDepth:
        """Find the pixels that are measured.

        Args:
            frame: With a lidar sweep.
            camera_name: One of its rig.
            points: The camera's `pixels.lidar_points` where they are known already.

        Returns:
            True depth at the size that the protocol measures at.

        Raises:
            FsmdeError: The frame has no truth.
        """

    @abstractmethod
    def pixels(self, truth: SparseDepth, prediction: Prediction) -> Pixels | None:
        """Put prediction beside truth, not scaled yet.

        Args:
            truth: As `truth` returns it.
            prediction: Of the same camera.

        Returns:
            The pixels; None without one to measure.

        Raises:
            FsmdeError: A pixel has no predicted depth.
        """

    def ratio(self, pixels: Pixels) -> float:
        """Return what the predictions of one image, or of one batch, are multiplied with."""
        return self.median_ratio(pixels) if self.scaling == "median" else 1.0

    @abstractmethod
    def median_ratio(self, pixels: Pixels) -> float:
        """Return median truth over median prediction."""

    def scaled(self, pixels: Pixels, ratio: float) -> Pixels:
        """Scale predicted depth and sigma, and clip the depth to [min_m, cap_m], as it is measured.

        Args:
            pixels: As `pixels` returns them.
            ratio: What they are multiplied with.

        Returns:
            The pixels; their truth is left as it is.
        """
        depth = np.clip(pixels.depth * np.float32(ratio), np.float32(self.min_m), np.float32(self.cap_m))
        sigma = None if pixels.sigma is None else pixels.sigma * np.float32(ratio)
        return replace(pixels, depth=depth, sigma=sigma)
