"""Checks the mounts against lidar: every camera by itself, whatever its neighbours see."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.consistency import HIDDEN
from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import lidar_to_camera, project
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
"""A camera is named from this rotation on, after twice its standard deviation is subtracted."""
MAX_ERROR = 0.06
"""Where predicted depth, rotated as fits best, differs more from the lidar than this, it proves nothing: its own errors
then look like a rotation. docs/calibration_check.md has measurements.
"""
RESTARTS_DEG = ((3.0, 0.0, 0.0), (-3.0, 0.0, 0.0), (0.0, 3.0, 0.0), (0.0, -3.0, 0.0))
"""Where the fit begins again if it finds nothing good from zero: it converges from three or four degrees at most."""
RESTART_ERROR = 0.5
"""Such a fit counts when it leaves at most this fraction of the error."""
OCCLUSION_PX = 5
"""Pixels across, around a point, in which something nearer hides it."""


@dataclass(frozen=True)
class LidarMisalignment(Misalignment):
    """Adds the standard deviation `std` of the angle, degrees, and the median relative error of the aligned depth."""

    evidence = "the lidar"
    std: float
    error: float

    @property
    def is_trusted(self) -> bool:
        return self.error <= MAX_ERROR

    @property
    def is_misaligned(self) -> bool:
        return self.is_trusted and self.degrees - 2 * self.std >= MIN_DEGREES


class LidarMountCheck:
    """Compares the depth of each camera with the last few sweeps, by one calibration.

    `add` takes a frame with a sweep, N rectified cameras of its rig, and their (N, H, W) float32 depth in metres.
    """

    def __init__(self) -> None:
        self._views: dict[str, deque[SweepView]] = {}
        self._cameras: dict[str, Camera] = {}

    def add(self, frame: Frame, cameras: Sequence[Camera], depth: NDArray[np.float32]) -> None:
        for camera, image in zip(cameras, depth, strict=True):
            view = sweep_view(frame, camera, image)
            if len(view.points):
                self._cameras[camera.name] = camera
                self._views.setdefault(camera.name, deque(maxlen=WINDOW)).append(view)

    def judge(self) -> list[LidarMisalignment]:
        """Align every camera with enough sweeps and points, in the order in which they were added."""
        found = (self._aligned(name) for name, views in self._views.items() if len(views) >= MIN_SWEEPS)
        return [aligned for aligned in found if aligned is not None]

    def _aligned(self, name: str) -> LidarMisalignment | None:
        found = _best(self._cameras[name], self._views[name])
        if found is None:
            return None
        axis = found.rotation_deg / max(float(np.linalg.norm(found.rotation_deg)), 1e-9)
        std = float(np.sqrt(axis @ found.covariance @ axis))
        # The fit rotates the points to where they are seen, so the camera is rotated the other way.
        pitch, yaw, roll = map(float, -found.rotation_deg)
        return LidarMisalignment(name, pitch, yaw, roll, std, found.error)


def _best(camera: Camera, views: Sequence[SweepView]) -> SweepAlignment | None:
    near = align(camera, views)
    if near is None or near.error <= MAX_ERROR:
        return near
    far = [found for start in RESTARTS_DEG if (found := align(camera, views, start)) is not None]
    best = min(far, key=lambda found: found.error, default=near)
    return best if best.error <= RESTART_ERROR * near.error else near


def sweep_view(frame: Frame, camera: Camera, depth: NDArray[np.float32]) -> SweepView:
    # At most POINTS points of the sweep that a rectified camera sees, in the optical frame as the rig has it.
    T_camera_lidar = lidar_to_camera(frame, camera.name)
    assert frame.lidar is not None  # lidar_to_camera has the message
    seen = project(frame.lidar.points, T_camera_lidar, camera)
    row, column = np.rint(seen.v).astype(int), np.rint(seen.u).astype(int)
    nearest = np.full(depth.shape, np.inf, np.float32)
    np.minimum.at(nearest, (row, column), seen.z)
    nearest = cv2.erode(nearest, np.ones((OCCLUSION_PX, OCCLUSION_PX), np.uint8))  # type: ignore[assignment]
    counts = np.flatnonzero((seen.z > CLOSEST_M) & (seen.z < FARTHEST_M) & (seen.z <= HIDDEN * nearest[row, column]))
    chosen = counts[np.linspace(0, len(counts) - 1, min(POINTS, len(counts))).astype(int)]
    u, v, z = seen.u[chosen], seen.v[chosen], seen.z[chosen]
    rays = [(u - camera.K[0, 2]) / camera.fx, (v - camera.K[1, 2]) / camera.K[1, 1], np.ones(len(z))]
    return SweepView((np.stack(rays, axis=1) * z[:, None]).astype(np.float32), np.log(depth))
