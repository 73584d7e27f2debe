"""Lidar in the images: ground truth for training and evaluation, projected as SurroundDepth evaluates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.geometry import Matrix, invert, transform_columns
from fsmde_core.rig import Camera


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
    """Pinhole projection of `points` (N, 3) metres: z > 0, the nearest pixel centre inside the image.

    `camera` must be free of distortion (`Camera.rectified`). Nothing is hidden behind anything: no z-buffer.
    """
    if camera.is_distorted:
        raise FsmdeError(f"camera '{camera.name}' is distorted; project onto camera.rectified(width, height)")
    P = camera.K @ T_camera_points[:3]
    near = _near_image(np.ascontiguousarray(points.T, np.float32), P, camera)
    x, y, z = transform_columns(P, points[near].T.astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = x / z, y / z
    column, row = np.rint(u), np.rint(v)
    inside = (z > 0) & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    return ImagePoints(near[inside], u[inside], v[inside], z[inside].astype(np.float32))


def _near_image(points: NDArray[np.float32], P: Matrix, camera: Camera) -> NDArray[np.int64]:
    """Columns of (3, N) `points` that may be in the image: float32 and no division, for most of a sweep is not."""
    x, y, z = transform_columns(P, points)
    margin = z + 1  # a pixel beyond the border, and a metre-pixel for the rounding of points at the lens
    return np.flatnonzero(
        (z > -1e-3) & (x > -margin) & (x < camera.width * z + 1) & (y > -margin) & (y < camera.height * z + 1)
    )


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
