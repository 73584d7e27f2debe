"""Defines what is evaluated: the model behind an engine, and two baselines that know nothing of the images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.images.rectify import RectifiedImage
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_core.rig.rig import Camera

# The depth with the least AbsRel (protocol A, 80 m) on the lidar of PandaSet frames 00-39, the training frames; their
# median, 17.3 m, is a weaker baseline.
CONSTANT_DEPTH_M = 8.28
FAR_M = 1e4
"""Depth of the sky, as good as infinite, but fit to be resized and scaled."""
MODEL = "model"
"""Name of the predictor that is evaluated; all others are baselines."""
FLIP_EDGE, FLIP_RAMP = 0.05, 0.05
"""Fractions of the width: the strip at either border that one of two predictions has alone, and the ramp beside it."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Holds the depth of the view of `camera.rectified(w, h)`, at any size.

    depth: (h, w) float32 metres, NaN where there is none. sigma: (h, w) float32 metres, None where it is not predicted.
    """

    depth: NDArray[np.float32]
    sigma: NDArray[np.float32] | None = None


class Predictor(ABC):
    """Predicts depth for the cameras of a frame. latency_ms: of the last prediction, None where it is not measured."""

    name: str
    latency_ms: float | None = None

    @abstractmethod
    def predict(self, frame: Frame) -> Mapping[str, Prediction]:
        """Predict for each camera with an image; the arrays stay valid after the next call."""

    def prepare(self, frame: Frame) -> Callable[[], Mapping[str, Prediction]]:
        """Do what any thread may do ahead of time; the call that is returned does the rest, one at a time."""
        return partial(self.predict, frame)


class ModelPredictor(Predictor):
    """Runs the model as the node does. latency_ms: from images, JPEGs or pixels, to depth, after a first untimed run.

    flip: average with the prediction for the mirrored images.
    """

    name = MODEL

    def __init__(self, pipeline: CpuPipeline, flip: bool = False) -> None:
        self.pipeline, self.flip = pipeline, flip

    def predict(self, frame: Frame) -> dict[str, Prediction]:
        return self.prepare(frame)()

    def prepare(self, frame: Frame) -> Callable[[], dict[str, Prediction]]:
        """Decode and rectify the images."""
        return partial(self._infer, *self.rectify(frame))

    def rectify(self, frame: Frame) -> tuple[list[RectifiedImage], float]:
        """Return the network's input for the frame's cameras, in ring order, and the milliseconds spent on it."""
        try:
            return self.pipeline.rectify_all({name: image.image() for name, image in frame.images.items()}, frame.rig)
        except FsmdeError as error:
            raise FsmdeError(f"frame {frame.index}: {error}") from error

    def _infer(self, images: list[RectifiedImage], rectified_ms: float) -> dict[str, Prediction]:
        if self.latency_ms is None:
            self.pipeline.infer(images)  # builds buffers
        result = self.pipeline.infer(images)
        depth, sigma = result.depth.copy(), result.sigma.copy()
        self.latency_ms = rectified_ms + result.stage_ms["infer"]
        if self.flip:
            mirrored = self.pipeline.infer([_mirrored(image) for image in images])
            depth, sigma = average_flipped(depth, sigma, mirrored.depth, mirrored.sigma)
            self.latency_ms += mirrored.stage_ms["infer"]
        return {name: Prediction(d, s) for name, d, s in zip(result.names, depth, sigma, strict=True)}


def _mirrored(image: RectifiedImage) -> RectifiedImage:
    outside = None if image.outside is None else image.outside[:, ::-1]
    return replace(image, rgb=image.rgb[:, ::-1], outside=outside)


def average_flipped(
    depth: NDArray[np.float32],
    sigma: NDArray[np.float32],
    mirrored_depth: NDArray[np.float32],
    mirrored_sigma: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Combine the predictions for images and for their mirror images.

    Takes means of inverse depth, as SurroundDepth (Wei et al. 2022) does at test time, after Godard et al. 2017: at the
    left border only the mirrored prediction counts and at the right one only the plain one. sigma over depth is
    averaged with the same weights.

    Args:
        depth, sigma: (N, H, W) metres.
        mirrored_depth, mirrored_sigma: The same of the mirror images, as predicted: mirrored.

    Returns:
        (N, H, W) float32 depth and sigma, metres.
    """
    weight = _mirrored_weight(depth.shape[-1])
    other, other_sigma = mirrored_depth[..., ::-1], mirrored_sigma[..., ::-1]
    combined = np.reciprocal((1 - weight) / depth + weight / other)
    return combined, combined * ((1 - weight) * sigma / depth + weight * other_sigma / other)


def _mirrored_weight(width: int) -> NDArray[np.float32]:
    """Return (W,) weights of the mirrored prediction: 1 at the left border, 1/2 inside, 0 at the right border."""
    position = np.linspace(0, 1, width, dtype=np.float32)
    left, right = (1 - np.clip((x - FLIP_EDGE) / FLIP_RAMP, 0, 1) for x in (position, position[::-1]))
    return ((1 + left - right) / 2).astype(np.float32)


class ConstantDepth(Predictor):
    """Predicts the same depth everywhere."""

    name = "constant"

    def __init__(self, depth_m: float = CONSTANT_DEPTH_M) -> None:
        self._prediction = Prediction(np.full((1, 1), depth_m, np.float32))

    def predict(self, frame: Frame) -> dict[str, Prediction]:
        return dict.fromkeys(frame.images, self._prediction)


class GroundPlane(Predictor):
    """Predicts the plane z = 0 of the base frame through the calibration; from the horizon upwards FAR_M."""

    name = "ground_plane"

    def predict(self, frame: Frame) -> dict[str, Prediction]:
        return {name: Prediction(ground_depth(frame.rig[name])) for name in frame.images}


def model_and_baselines(pipeline: CpuPipeline, flip: bool = False, baselines: bool = True) -> list[Predictor]:
    return [ModelPredictor(pipeline, flip), *(make_baselines() if baselines else [])]


def make_baselines() -> list[Predictor]:
    """Make the predictors that know nothing of the images."""
    return [ConstantDepth(), GroundPlane()]


@lru_cache(maxsize=12)
def ground_depth(camera: Camera) -> NDArray[np.float32]:
    """Return (height, width) float32 metres along the optical axis to the plane z = 0 of the base frame, read-only.

    The camera is taken as rectified at native size; from the horizon upwards it is FAR_M. FsmdeError when the camera is
    not above the plane.
    """
    camera = camera.rectified(camera.width, camera.height)
    above_ground = camera.T_base_camera[2, 3]
    if above_ground <= 0:
        raise FsmdeError(
            f"camera '{camera.name}' is {above_ground:.2f} m above the base frame's plane z = 0; the ground-plane "
            "baseline needs a base frame on the road, leave it out with --no-baselines"
        )
    # Height lost per metre of depth, over the image: the base frame's z of the ray (x/z, y/z, 1), affine in the pixel.
    row = -camera.T_base_camera[2, :3] @ np.linalg.inv(camera.K)
    u, v = np.arange(camera.width), np.arange(camera.height)
    descent = row[0] * u[None, :] + row[1] * v[:, None] + row[2]
    return (above_ground / np.maximum(descent, above_ground / FAR_M)).astype(np.float32)
