"""Evaluation protocols: what counts as truth, which pixels are measured, and how numbers are averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.metrics import Metrics, average, depth_metrics
from fsmde_core.frames import Frame
from fsmde_core.lidar import depth_map

DEFAULT_CAP_M = 80.0
CAPS_M = {"ddad": 200.0}


class EvaluationProtocol(Protocol):
    """The rules under which numbers may be compared. name, cap_m and scaling are printed beside every number."""

    @property
    def name(self) -> str: ...
    @property
    def cap_m(self) -> float: ...
    @property
    def scaling(self) -> str: ...

    def truth(self, frame: Frame, camera_name: str) -> NDArray[np.float32]:
        """(H, W) float32 metres, NaN where unknown; FsmdeError when the frame has no truth."""
        ...

    def measure(self, truth: NDArray[np.float32], prediction: NDArray[np.float32]) -> Metrics | None:
        """One image; None when it has no pixel to measure."""
        ...

    def summarise(self, images: Mapping[str, Sequence[Metrics]]) -> tuple[dict[str, Metrics], Metrics]:
        """Metrics of the images of each camera -> metrics per camera, and of the rig."""
        ...


@dataclass(frozen=True)
class SurroundDepthProtocol:
    """Protocol A, the evaluation of SurroundDepth (Wei et al. 2022) without median scaling.

    Truth: one lidar sweep, moved by the vehicle's motion to the camera's exposure, nearest pixel at native size, last
    point wins. Prediction: resized bilinearly to that size, clipped to [min_m, cap_m]. Measured: min_m < truth < cap_m.
    Averaged per image, images per camera, cameras of the rig, all unweighted.
    """

    cap_m: float = DEFAULT_CAP_M
    min_m: float = 0.1
    name: str = "surrounddepth"
    scaling: str = "none"

    def __post_init__(self) -> None:
        if not self.min_m < self.cap_m < float("inf"):
            raise FsmdeError(f"cap is {self.cap_m} m, it must be finite and more than {self.min_m} m")

    def truth(self, frame: Frame, camera_name: str) -> NDArray[np.float32]:
        """(H, W) float32 metres at the camera's native size, NaN where no point falls."""
        return depth_map(frame, camera_name)

    def measure(self, truth: NDArray[np.float32], prediction: NDArray[np.float32]) -> Metrics | None:
        """truth (H, W), prediction (h, w) of the same view, metres; FsmdeError where no measured pixel has a depth."""
        height, width = truth.shape
        if prediction.shape != truth.shape:
            prediction = cv2.resize(prediction, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        valid = (truth > self.min_m) & (truth < self.cap_m)
        if not valid.any():
            return None
        # A lens with distortion may leave corners of the rectified view without an image, and so without a prediction.
        predicted = valid & ~np.isnan(prediction)
        if not predicted.any():
            raise FsmdeError(f"none of {np.count_nonzero(valid)} measured pixels has a predicted depth, all are NaN")
        return depth_metrics(truth[predicted], np.clip(prediction[predicted], self.min_m, self.cap_m))

    def summarise(self, images: Mapping[str, Sequence[Metrics]]) -> tuple[dict[str, Metrics], Metrics]:
        """Unweighted means: images of a camera, then cameras."""
        cameras = {name: average(metrics) for name, metrics in images.items() if metrics}
        return cameras, average(cameras.values())


PROTOCOLS = {"surrounddepth": SurroundDepthProtocol}


def make_protocol(name: str, source: str, cap_m: float | None = None) -> EvaluationProtocol:
    """Protocol `name` for the recording called `source`; FsmdeError when the name is unknown or the cap senseless.

    The cap is 80 m unless given, on DDAD 200 m, as published figures have it.
    """
    if name not in PROTOCOLS:
        raise FsmdeError(f"protocol '{name}' is unknown; use one of {list(PROTOCOLS)}")
    return PROTOCOLS[name](cap_m=CAPS_M.get(source, DEFAULT_CAP_M) if cap_m is None else cap_m)
