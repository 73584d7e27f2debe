"""Cross-view consistency without lidar: do the clouds of neighbouring cameras agree where they overlap?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.consistency import HIDDEN
from fsmde_core.evaluation.rules import DEFAULT_CAP_M
from fsmde_core.geometry import Matrix, invert
from fsmde_core.rig import Camera


def overlap_differences(
    cameras: Sequence[Camera],
    depth: NDArray[np.float32],
    edges: Sequence[tuple[str, str]],
    T_world_base: Mapping[str, Matrix] | None = None,
    cap_m: float = DEFAULT_CAP_M,
    stride: int = 2,
) -> dict[str, NDArray[np.float32]]:
    """(M,) relative differences of the two clouds of each edge, key "front/front_right". Our choice.

    Every point of one view that falls into the other is compared with the depth predicted there: |z - d| over the mean
    of both, from 0 to below 2, one number per point, both ways together. Where the other view sees something nearer
    by the factor HIDDEN, the point counts as hidden and not as wrong; a view that is too far by more than that is
    caught the other way round, by the other view's points in front of it.

    cameras: N rectified ones, depth: (N, H, W) float32 metres beside them; NaN and depths from cap_m on count nowhere.
    edges: `Rig.edges`; those that lack a camera are left out, those without overlap are empty.
    T_world_base: (4, 4) vehicle pose at each camera's exposure, by name; without it the vehicle is taken as standing.
    stride: every n-th pixel of every n-th row. FsmdeError for other shapes and for distorted cameras.
    """
    sizes = [(camera.height, camera.width) for camera in cameras]
    if depth.ndim != 3 or sizes != [depth.shape[1:]] * len(depth):
        raise FsmdeError(f"depth is of shape {depth.shape}, expected one map of each camera's size, which are {sizes}")
    distorted = [camera.name for camera in cameras if camera.is_distorted]
    if distorted:
        raise FsmdeError(f"cameras {distorted} are distorted; the overlap is that of camera.rectified(width, height)")
    known = np.where(depth < cap_m, depth, np.float32("nan"))
    views = {camera.name: _View(camera, one) for camera, one in zip(cameras, known, strict=True)}
    found = {}
    for first, second in edges:
        if first in views and second in views:
            there = _differences(views[first], views[second], T_world_base, stride)
            back = _differences(views[second], views[first], T_world_base, stride)
            found[f"{first}/{second}"] = np.concatenate([there, back])
    return found


class _View(NamedTuple):
    """depth: (H, W) float32 metres of `camera`, NaN where it does not count."""

    camera: Camera
    depth: NDArray[np.float32]


def _differences(a: _View, b: _View, T_world_base: Mapping[str, Matrix] | None, stride: int) -> NDArray[np.float32]:
    """(M,) of the points of a that b sees too."""
    T_b_a = _between(a.camera, b.camera, T_world_base)
    depth = a.depth[::stride, ::stride]
    v, u = np.mgrid[: a.camera.height : stride, : a.camera.width : stride].astype(np.float32)
    # Pixels of a and their depth straight to pixels of b: the points are never written down.
    turn = (b.camera.K @ T_b_a[:3, :3] @ np.linalg.inv(a.camera.K)).astype(np.float32)
    shift = (b.camera.K @ T_b_a[:3, 3]).astype(np.float32)
    x, y, z = (depth * (m[0] * u + m[1] * v + m[2]) + offset for m, offset in zip(turn, shift, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        column, row = np.rint(x / z), np.rint(y / z)
        seen = (z > 0) & (column >= 0) & (column < b.camera.width) & (row >= 0) & (row < b.camera.height)
    z, d = z[seen], b.depth[row[seen].astype(np.intp), column[seen].astype(np.intp)]
    counts = z <= HIDDEN * d  # False where b has no depth
    z, d = z[counts], d[counts]
    difference: NDArray[np.float32] = 2 * np.abs(z - d) / (z + d)
    return difference


def _between(a: Camera, b: Camera, T_world_base: Mapping[str, Matrix] | None) -> Matrix:
    """(4, 4) from the optical frame of a to that of b, each at its own exposure."""
    if T_world_base is None:
        return invert(b.T_base_camera) @ a.T_base_camera
    return invert(T_world_base[b.name] @ b.T_base_camera) @ T_world_base[a.name] @ a.T_base_camera
