"""The check of the mounts against lidar: every camera by itself, whatever its neighbours see."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.consistency import HIDDEN
from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import image_points, lidar_to_camera
from fsmde_core.mounts.alignment import SweepAlignment, SweepView, align
from fsmde_core.mounts.misalignment import Misalignment
from fsmde_core.rig.rig import Camera

WINDOW = 12
"""Sweeps that a verdict rests on."""
MIN_SWEEPS = 6
POINTS = 1000
"""Per sweep and camera."""
CLOSEST_M, FARTHEST_M = 1.0, 60.0
MIN_DEGREES = 1.25
"""From this rotation on, less twice its doubt, a camera is named."""
MAX_ERROR = 0.06
"""Where predicted depth, turned as fits best, stays further from the lidar than this, it is no witness: its own errors
then look like a turn. See docs/calibration_check.md for what is met.
"""
AFAR = ((3.0, 0.0, 0.0), (-3.0, 0.0, 0.0), (0.0, 3.0, 0.0), (0.0, -3.0, 0.0))
"""Degrees from which the fit begins again where it finds nothing good from zero: it is lost beyond three or four."""
DECISIVE = 0.5
"""Such a fit counts when it leaves this share of the error at most."""
REACH_PX = 5
"""Pixels across, around a point, in which something nearer hides it."""


@dataclass(frozen=True)
class LidarMisalignment(Misalignment):
    """doubt: standard deviation of the angle, degrees. error: median relative error of depth where it fits best."""

    witness = "the lidar"
    doubt: float
    error: float

    @property
    def is_trusted(self) -> bool:
        return self.error <= MAX_ERROR

    @property
    def is_turned(self) -> bool:
        return self.is_trusted and self.degrees - 2 * self.doubt >= MIN_DEGREES


class LidarMountCheck:
    """Holds the depth of each camera against the sweeps of the last moments, by one calibration."""

    def __init__(self) -> None:
        self._views: dict[str, deque[SweepView]] = {}
        self._cameras: dict[str, Camera] = {}

    def add(self, frame: Frame, cameras: Sequence[Camera], depth: NDArray[np.float32]) -> None:
        """Take one frame that has a sweep. cameras: N rectified ones of its rig; depth: (N, H, W) float32 metres."""
        for camera, image in zip(cameras, depth, strict=True):
            view = sweep_view(frame, camera, image)
            if len(view.points):
                self._cameras[camera.name] = camera
                self._views.setdefault(camera.name, deque(maxlen=WINDOW)).append(view)

    def judge(self) -> list[LidarMisalignment]:
        """Every camera with enough sweeps and points, in the order in which they came."""
        found = (self._aligned(name) for name, views in self._views.items() if len(views) >= MIN_SWEEPS)
        return [aligned for aligned in found if aligned is not None]

    def _aligned(self, name: str) -> LidarMisalignment | None:
        found = _best(self._cameras[name], self._views[name])
        if found is None:
            return None
        along = found.turn / max(float(np.linalg.norm(found.turn)), 1e-9)
        doubt = float(np.sqrt(along @ found.covariance @ along))
        # The points are turned to where they are seen, so the camera is turned the other way.
        pitch, yaw, roll = map(float, -found.turn)
        return LidarMisalignment(name, pitch, yaw, roll, doubt, found.error)


def _best(camera: Camera, views: Sequence[SweepView]) -> SweepAlignment | None:
    """The fit from zero, or one from afar where that is much better."""
    near = align(camera, views)
    if near is None or near.error <= MAX_ERROR:
        return near
    far = [found for start in AFAR if (found := align(camera, views, start)) is not None]
    best = min(far, key=lambda found: found.error, default=near)
    return best if best.error <= DECISIVE * near.error else near


def sweep_view(frame: Frame, camera: Camera, depth: NDArray[np.float32]) -> SweepView:
    """What the fit needs of one rectified camera: points of the frame's sweep that it sees, as its rig has them."""
    T_camera_lidar = lidar_to_camera(frame, camera.name)
    assert frame.lidar is not None  # lidar_to_camera has the message
    seen = image_points(frame.lidar.points, T_camera_lidar, camera)
    row, column = np.rint(seen.v).astype(int), np.rint(seen.u).astype(int)
    nearest = np.full(depth.shape, np.inf, np.float32)
    np.minimum.at(nearest, (row, column), seen.z)
    nearest = cv2.erode(nearest, np.ones((REACH_PX, REACH_PX), np.uint8))  # type: ignore[assignment]
    counts = np.flatnonzero((seen.z > CLOSEST_M) & (seen.z < FARTHEST_M) & (seen.z <= HIDDEN * nearest[row, column]))
    chosen = counts[np.linspace(0, len(counts) - 1, min(POINTS, len(counts))).astype(int)]
    u, v, z = seen.u[chosen], seen.v[chosen], seen.z[chosen]
    rays = [(u - camera.K[0, 2]) / camera.fx, (v - camera.K[1, 2]) / camera.K[1, 1], np.ones(len(z))]
    return SweepView((np.stack(rays, axis=1) * z[:, None]).astype(np.float32), np.log(depth))
