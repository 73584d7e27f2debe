"""Projects lidar into the images as SurroundDepth evaluates it: ground truth for training and evaluation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmde_core.compiled import F32, F64, INT, compile_loop, read_array, written_array
from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.rig.geometry import Matrix, invert
from fsmde_core.rig.rig import Camera

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


class ImagePoints(NamedTuple):
    """Holds the M points that fall into an image, in the order of the sweep.

    point: (M,) int64 rows of the sweep. u, v: (M,) float64 pixels. z: (M,) float32 metres along the optical axis.
    column, row: (M,) of the nearest pixel.
    """

    point: Ints
    u: Doubles
    v: Doubles
    z: Floats

    @property
    def column(self) -> Ints:
        return np.rint(self.u).astype(np.int64)

    @property
    def row(self) -> Ints:
        return np.rint(self.v).astype(np.int64)

    def where(self, chosen: NDArray[np.bool_]) -> ImagePoints:
        """Select the points for which (M,) `chosen` is true."""
        return ImagePoints(self.point[chosen], self.u[chosen], self.v[chosen], self.z[chosen])


def lidar_to_camera(frame: Frame, camera_name: str) -> Matrix:
    """Compose the transform of a sweep to a camera: base(t_lidar) -> world -> base(t_camera) -> camera.

    Args:
        frame, camera_name: A frame with a sweep, and one camera of its rig.

    Returns:
        (4, 4) from the sweep to the camera at its exposure.

    Raises:
        FsmdeError: The frame has no sweep or no such camera.
    """
    if frame.lidar is None:
        raise FsmdeError(f"frame {frame.index} has no lidar sweep; choose frames that have one")
    camera = frame.rig[camera_name]
    if camera_name not in frame.T_world_base:
        raise FsmdeError(f"frame {frame.index} has no vehicle pose for camera '{camera_name}', which it lacks")
    return invert(frame.T_world_base[camera_name] @ camera.T_base_camera) @ frame.lidar.T_world_base


def project(points: NDArray[np.floating], T_camera_points: Matrix, camera: Camera) -> ImagePoints:
    """Project points into an image: those with z > 0 whose nearest pixel centre is in it. Nothing hides anything.

    Args:
        points: (N, 3) metres, used as float32.
        T_camera_points: (4, 4) from their frame to the camera's optical frame.
        camera: Free of distortion (`Camera.rectified`).

    Returns:
        The points, without a z-buffer.

    Raises:
        FsmdeError: The camera is distorted.
    """
    if camera.is_distorted:
        raise FsmdeError(f"camera '{camera.name}' is distorted; project onto camera.rectified(width, height)")
    P = camera.K @ T_camera_points[:3]
    count = len(points)
    point, z = np.empty(count, np.int64), np.empty(count, np.float32)
    u, v = np.empty((2, count))
    seen = _project(np.ascontiguousarray(points, np.float32), P, camera.width, camera.height, point, u, v, z)
    return ImagePoints(point[:seen], u[:seen], v[:seen], z[:seen])


_RESULTS = (written_array(INT, 1), written_array(F64, 1), written_array(F64, 1), written_array(F32, 1))


@compile_loop(INT, read_array(F32, 2), read_array(F64, 2), INT, INT, *_RESULTS)
def _project(
    points: Floats, P: Doubles, width: int, height: int, point: Ints, u: Doubles, v: Doubles, z: Floats
) -> int:
    """Fill (N,) point, u, v, z with those of the (N, 3) points that fall into the image, and count them.

    P: (3, 4) from points to pixels times depth.
    """
    found = 0
    for index in range(points.shape[0]):
        x, y, w = np.float64(points[index, 0]), np.float64(points[index, 1]), np.float64(points[index, 2])
        depth = P[2, 0] * x + P[2, 1] * y + P[2, 2] * w + P[2, 3]
        if not depth > 0:
            continue
        column = (P[0, 0] * x + P[0, 1] * y + P[0, 2] * w + P[0, 3]) / depth
        if not 0 <= np.rint(column) < width:
            continue
        row = (P[1, 0] * x + P[1, 1] * y + P[1, 2] * w + P[1, 3]) / depth
        if 0 <= np.rint(row) < height:
            point[found], u[found], v[found], z[found] = index, column, row, depth
            found += 1
    return found


def depth_map(frame: Frame, camera_name: str, width: int | None = None, height: int | None = None) -> Floats:
    """Draw the sparse depth of a frame's sweep in a rectified camera.

    Where several points meet in a pixel the last of the sweep stays, as protocol A (SurroundDepth's) has it.

    Args:
        frame, camera_name: A frame with a sweep, and one camera of its rig.
        width, height: Pixels of the map, those of the camera by default.

    Returns:
        (height, width) float32 metres, NaN where no point falls.

    Raises:
        FsmdeError: The frame has no sweep or no such camera.
    """
    camera = frame.rig[camera_name]
    camera = camera.rectified(width or camera.width, height or camera.height)
    T_camera_points = lidar_to_camera(frame, camera_name)
    assert frame.lidar is not None  # lidar_to_camera has checked it
    seen = project(frame.lidar.points, T_camera_points, camera)
    depth = np.full((camera.height, camera.width), np.nan, dtype=np.float32)
    depth[seen.row, seen.column] = seen.z
    return depth
