"""Computes rigid transforms. `T_a_b` maps points from frame b to frame a; matrices are (4, 4) float64, in metres.

Rotations are (3, 3), translations (3,) metres, points (N, 3) metres, quaternions (w, x, y, z) of any non-zero length.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError

Matrix = NDArray[np.float64]


def rigid(rotation: NDArray[np.floating], translation: Sequence[float] | NDArray[np.floating]) -> Matrix:
    """Compose a rigid transform.

    Args:
        rotation, translation: (3, 3), and (3,) metres.

    Returns:
        (4, 4) float64.
    """
    T = np.eye(4)
    T[:3, :3] = rotation
    T[:3, 3] = translation
    return T


def is_rigid(T: Matrix) -> bool:
    """Tell whether a (4, 4) matrix is finite, a proper rotation (to 1e-3) and a translation."""
    if not np.all(np.isfinite(T)) or not np.array_equal(T[3], [0, 0, 0, 1]):
        return False
    R = T[:3, :3]
    return bool(np.allclose(R @ R.T, np.eye(3), atol=1e-3) and np.linalg.det(R) > 0)


def rotation_from_quaternion(w: float, x: float, y: float, z: float) -> Matrix:
    """Compute the rotation of a quaternion of any length but zero.

    Args:
        w, x, y, z: The quaternion, scalar first.

    Returns:
        (3, 3) rotation.

    Raises:
        FsmdeError: The length is zero or not finite.
    """
    q = np.array([w, x, y, z], dtype=np.float64)
    norm = np.linalg.norm(q)
    if not np.isfinite(norm) or norm < 1e-9:
        raise FsmdeError(f"a rotation quaternion must have a finite, non-zero length, not {q.tolist()}")
    w, x, y, z = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_rotation(rotation: NDArray[np.floating]) -> tuple[float, float, float, float]:
    """Compute the unit quaternion (w, x, y, z), w >= 0, of a (3, 3) rotation as an eigenvector: stable at any angle."""
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
    """Invert a rigid transform."""
    rotation = T[:3, :3].T
    return rigid(rotation, -rotation @ T[:3, 3])


def transform(T: Matrix, points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Move points by a rigid transform.

    Args:
        T: (4, 4), from the frame of the points to that of the result.
        points: (..., 3) metres.

    Returns:
        (..., 3) metres in the dtype of `points`.
    """
    return points @ T[:3, :3].T.astype(points.dtype) + T[:3, 3].astype(points.dtype)


def interpolate(T0: Matrix, T1: Matrix, fraction: float) -> Matrix:
    """Interpolate between two poses: linearly in translation, by slerp (shortest arc) in rotation.

    Args:
        T0, T1, fraction: (4, 4) poses, and where between them: 0 is T0, 1 is T1.

    Returns:
        (4, 4) pose.
    """
    q0, q1 = (np.array(quaternion_from_rotation(T[:3, :3])) for T in (T0, T1))
    if q0 @ q1 < 0:
        q1 = -q1
    angle = np.arctan2(np.linalg.norm(q1 - (q0 @ q1) * q0), q0 @ q1)  # exact for small angles, unlike arccos

    def weight(f: float) -> np.floating:
        return f * np.sinc(f * angle / np.pi)  # proportional to sin(f * angle), and defined at angle 0

    q = weight(1 - fraction) * q0 + weight(fraction) * q1  # of any length, as rotation_from_quaternion allows
    return rigid(rotation_from_quaternion(*q), (1 - fraction) * T0[:3, 3] + fraction * T1[:3, 3])


def mean_pose(poses: NDArray[np.floating]) -> Matrix:
    """Average (N, 4, 4) poses of one rigid mount robustly: median translation, chordal mean rotation (SVD)."""
    u, _, vt = np.linalg.svd(np.mean(poses[:, :3, :3], axis=0))
    flip = np.diag([1.0, 1.0, np.linalg.det(u @ vt)])
    return rigid(u @ flip @ vt, np.median(poses[:, :3, 3], axis=0))
