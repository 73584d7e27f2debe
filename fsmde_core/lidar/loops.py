"""The projection of a sweep, compiled; see `lidar`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsmde_core.compiled import F32, F64, INT, compile_loop, read_array, written_array

_FOUND = (written_array(INT, 1), written_array(F64, 1), written_array(F64, 1), written_array(F32, 1))


@compile_loop(INT, read_array(F32, 2), read_array(F64, 2), INT, INT, *_FOUND)
def project_points(
    points: NDArray[np.float32],
    P: NDArray[np.float64],
    width: int,
    height: int,
    point: NDArray[np.int64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    z: NDArray[np.float32],
) -> int:
    """Fill (N,) point, u, v, z with those of the (N, 3) points that fall into the image; how many those are.

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
