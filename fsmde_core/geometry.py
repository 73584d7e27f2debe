"""Rigid transforms. `T_a_b` maps points from frame b to frame a; all matrices are (4, 4) float64, metres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def rigid(rotation: NDArray[np.floating], translation: Sequence[float] | NDArray[np.floating]) -> Matrix:
    """(4, 4) transform from a (3, 3) rotation and a (3,) translation in metres."""
    T = np.eye(4)
    T[:3, :3] = rotation
    T[:3, 3] = translation
    return T


def rotation_from_quaternion(w: float, x: float, y: float, z: float) -> Matrix:
    """(3, 3) rotation of a quaternion of any non-zero length (scalar first)."""
    q = np.array([w, x, y, z], dtype=np.float64)
    norm = np.linalg.norm(q)
    if not np.isfinite(norm) or norm < 1e-9:
        raise ValueError(f"a rotation quaternion must have a finite, non-zero length, not {q.tolist()}")
    w, x, y, z = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_rotation(rotation: NDArray[np.floating]) -> tuple[float, float, float, float]:
    """Unit quaternion (w, x, y, z), w >= 0, of a (3, 3) rotation: the eigenvector form, stable at every angle."""
    m = np.asarray(rotation, dtype=np.float64)
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], 0, 0, 0],
            [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], 0, 0],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], 0],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m.trace()],
        ]
    )
    x, y, z, w = np.linalg.eigh(k)[1][:, -1]  # eigh reads the lower triangle
    sign = 1.0 if w >= 0 else -1.0
    return sign * float(w), sign * float(x), sign * float(y), sign * float(z)


def invert(T: Matrix) -> Matrix:
    """Inverse of a rigid transform."""
    rotation = T[:3, :3].T
    return rigid(rotation, -rotation @ T[:3, 3])


def transform(T: Matrix, points: NDArray[np.floating]) -> NDArray[np.floating]:
    """`points` (N, 3) in metres moved by T, in the dtype of `points`."""
    return points @ T[:3, :3].T.astype(points.dtype) + T[:3, 3].astype(points.dtype)
