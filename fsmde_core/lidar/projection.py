"""Lidar in the images: ground truth for training and evaluation, projected as SurroundDepth evaluates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.lidar.loops import project_points
from fsmde_core.rig.geometry import Matrix, invert
from fsmde_core.rig.rig import Camera


class Projection(NamedTuple):
    """The M points that fall into an image, in the order of the sweep.

    point: (M,) int64 rows of the sweep. column, row: (M,) int64 pixels. z: (M,) float32 metres along the optical axis.
    """

    point: NDArray[np.int64]
    column: NDArray[np.int64]
    row: NDArray[np.int64]
    z: NDArray[np.float32]


def lidar_to_camera(frame: Frame, camera_name: str) -> Matrix:
    """(4, 4) from the sweep to the camera at its exposure: base(t_lidar) -> world -> base(t_camera) -> camera.

    Raises FsmdeError when the frame has no sweep or no such camera.
    """
    if frame.lidar is None:
        raise FsmdeError(f"frame {frame.index} has no lidar sweep; choose frames that have one")
    camera = frame.rig[camera_name]
    if camera_name not in frame.T_world_base:
        raise FsmdeError(f"frame {frame.index} has no vehicle pose for camera '{camera_name}', which it lacks")
    return invert(frame.T_world_base[camera_name] @ camera.T_base_camera) @ frame.lidar.T_world_base


class ImagePoints(NamedTuple):
    """The M points that fall into an image, in the order of the sweep, between pixel centres.

    point: (M,) int64 rows of the sweep. u, v: (M,) float64 pixels. z: (M,) float32 metres along the optical axis.
    """

    point: NDArray[np.int64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]
    z: NDArray[np.float32]


def image_points(points: NDArray[np.floating], T_camera_points: Matrix, camera: Camera) -> ImagePoints:
    """Pinhole projection of `points` (N, 3) metres, taken as float32: z > 0, the nearest pixel centre in the image.

    `camera` must be free of distortion (`Camera.rectified`). Nothing is hidden behind anything: no z-buffer.
    """
    if camera.is_distorted:
        raise FsmdeError(f"camera '{camera.name}' is distorted; project onto camera.rectified(width, height)")
    P = camera.K @ T_camera_points[:3]
    count = len(points)
    point, z = np.empty(count, np.int64), np.empty(count, np.float32)
    u, v = np.empty((2, count))
    seen = project_points(np.ascontiguousarray(points, np.float32), P, camera.width, camera.height, point, u, v, z)
    return ImagePoints(point[:seen], u[:seen], v[:seen], z[:seen])


def project(points: NDArray[np.floating], T_camera_points: Matrix, camera: Camera) -> Projection:
    """`image_points` at the nearest pixel."""
    point, u, v, z = image_points(points, T_camera_points, camera)
    return Projection(point, np.rint(u).astype(np.int64), np.rint(v).astype(np.int64), z)


def depth_map(
    frame: Frame, camera_name: str, width: int | None = None, height: int | None = None
) -> NDArray[np.float32]:
    """Sparse (height, width) float32 depth in metres of the frame's sweep, NaN where no point falls.

    On the rectified camera at the given size, native by default. Where several points meet in a pixel the last of the
    sweep stays, as protocol A (SurroundDepth's) has it. Raises FsmdeError without a sweep.
    """
    camera = frame.rig[camera_name]
    camera = camera.rectified(width or camera.width, height or camera.height)
    T_camera_points = lidar_to_camera(frame, camera_name)
    assert frame.lidar is not None  # lidar_to_camera has checked it
    seen = project(frame.lidar.points, T_camera_points, camera)
    depth = np.full((camera.height, camera.width), np.nan, dtype=np.float32)
    depth[seen.row, seen.column] = seen.z
    return depth
