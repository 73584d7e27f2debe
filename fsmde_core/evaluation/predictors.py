"""What is evaluated: the model behind an engine, and two baselines that know nothing of the images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fsmde_core.encodings import RawImage
from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.pipeline import Pipeline
from fsmde_core.rig import Camera

# The depth with the least AbsRel (protocol A, 80 m) on the lidar of PandaSet frames 00-39, the training frames; their
# median, 17.3 m, is a weaker baseline.
CONSTANT_DEPTH_M = 8.28


class Predictor(Protocol):
    """Depth for the cameras of a frame."""

    name: str

    def predict(self, frame: Frame) -> Mapping[str, NDArray[np.float32]]:
        """Per camera with an image: (h, w) float32 metres, any size, of the view of `camera.rectified(w, h)`."""
        ...


class ModelPredictor:
    """The model as the node runs it. `took_ms`: preprocessing and inference per frame, after a first untimed run."""

    name = "model"

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.took_ms: list[float] = []

    def predict(self, frame: Frame) -> dict[str, NDArray[np.float32]]:
        images = {name: RawImage.from_rgb(image.rgb()) for name, image in frame.images.items()}
        if not self.took_ms:
            self.pipeline.run(images, frame.rig)  # builds maps and buffers
        result = self.pipeline.run(images, frame.rig)
        self.took_ms.append(sum(result.stage_ms.values()))
        return dict(zip(result.names, result.depth, strict=True))


class ConstantDepth:
    """The same depth everywhere."""

    name = "constant"

    def __init__(self, depth_m: float = CONSTANT_DEPTH_M) -> None:
        self._depth = np.full((1, 1), depth_m, np.float32)

    def predict(self, frame: Frame) -> dict[str, NDArray[np.float32]]:
        return dict.fromkeys(frame.images, self._depth)


class GroundPlane:
    """The plane z = 0 of the base frame through the calibration; from the horizon upwards infinite."""

    name = "ground_plane"

    def predict(self, frame: Frame) -> dict[str, NDArray[np.float32]]:
        return {name: ground_depth(frame.rig[name]) for name in frame.images}


def ground_depth(camera: Camera) -> NDArray[np.float32]:
    """(height, width) float32 metres along the optical axis to the plane z = 0 of the base frame.

    Of the rectified camera at native size; inf from the horizon upwards. Raises FsmdeError when the camera is not
    above the plane.
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
    return np.where(descent > 0, above_ground / np.where(descent > 0, descent, 1.0), np.inf).astype(np.float32)
