"""Measures, without lidar, whether the clouds of neighbouring cameras agree where they overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.consistency import HIDDEN
from fsmde_core.evaluation.measures.loops import reproject
from fsmde_core.evaluation.measures.metrics import DEFAULT_CAP_M
from fsmde_core.rig.geometry import Matrix, invert
from fsmde_core.rig.rig import Camera


def overlap_differences(
    cameras: Sequence[Camera],
    depth: NDArray[np.float32],
    edges: Sequence[tuple[str, str]],
    T_world_base: Mapping[str, Matrix] | None = None,
    cap_m: float = DEFAULT_CAP_M,
    stride: int = 2,
) -> dict[str, NDArray[np.float32]]:
    """Compare the clouds of neighbouring cameras where they overlap. The measure is our choice.

    Every point of one view that falls into the other is compared with the depth predicted there: |z - d| over the mean
    of both, from 0 to below 2, one number per point, both ways together. Where the other view sees something nearer
    by the factor HIDDEN, the point counts as hidden and not as wrong; a view that is too far by more than that is
    caught the other way round, by the other view's points in front of it.

    Args:
        cameras: N rectified ones.
        depth: (N, H, W) float32 metres; NaN counts nowhere.
        edges: `Rig.edges`; those that lack a camera are left out.
        T_world_base: (4, 4) vehicle pose at each camera's exposure, by name; None for a vehicle that stands.
        cap_m: Depths from there on count nowhere, metres.
        stride: Every n-th pixel of every n-th row is compared.

    Returns:
        (M,) relative differences by edge ("front/front_right"), empty without overlap.

    Raises:
        FsmdeError: Shapes do not fit, or a camera is distorted.
    """
    sizes = [(camera.height, camera.width) for camera in cameras]
    if depth.ndim != 3 or sizes != [depth.shape[1:]] * len(depth):
        raise FsmdeError(f"depth is of shape {depth.shape}, expected one map of each camera's size, which are {sizes}")
    distorted = [camera.name for camera in cameras if camera.is_distorted]
    if distorted:
        raise FsmdeError(f"cameras {distorted} are distorted; the overlap is that of camera.rectified(width, height)")
    views = {camera.name: _View(camera, np.ascontiguousarray(one)) for camera, one in zip(cameras, depth, strict=True)}
    poses = dict.fromkeys(views, np.eye(4)) if T_world_base is None else T_world_base
    differences = {}
    for first, second in edges:
        if first in views and second in views:
            pair = views[first], views[second]
            both = [_differences(a, b, poses, cap_m, stride) for a, b in (pair, pair[::-1])]
            differences[f"{first}/{second}"] = np.concatenate(both)
    return differences


class _View(NamedTuple):
    camera: Camera
    depth: NDArray[np.float32]  # (H, W) metres


def _differences(
    a: _View, b: _View, T_world_base: Mapping[str, Matrix], cap_m: float, stride: int
) -> NDArray[np.float32]:
    """Return (M,) relative differences at the points of a that b sees too, each at its own exposure."""
    T_world_a, T_world_b = T_world_base[a.camera.name], T_world_base[b.camera.name]
    T_b_a = invert(T_world_b @ b.camera.T_base_camera) @ T_world_a @ a.camera.T_base_camera
    z, d = reprojected_depths(a.depth, b.depth, pixel_transform(a.camera, b.camera, T_b_a), cap_m, stride, 0, HIDDEN)
    return (2 * np.abs(z - d) / (z + d)).astype(np.float32)


def pixel_transform(a: Camera, b: Camera, T_b_a: Matrix) -> Matrix:
    # (3, 4) from (depth * (u, v, 1), 1) of a to depth * (u, v, 1) of b: points are never written down
    return np.column_stack([b.K @ T_b_a[:3, :3] @ np.linalg.inv(a.K), b.K @ T_b_a[:3, 3]])


def reprojected_depths(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    to_b: Matrix,
    cap_m: float,
    stride: int,
    first: int,
    hidden: float = np.inf,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # (M,) depths of every `stride`-th pixel of a from `first` on, seen from b, and (M,) what b has at these pixels.
    # Depths from cap_m on count in neither view, nor what is farther than `hidden` times the depth in b.
    moved, predicted = np.empty((2, -(-a.shape[0] // stride) * -(-a.shape[1] // stride)))
    count = reproject(a, b, to_b, first, stride, cap_m, hidden, moved, predicted)
    return moved[:count], predicted[:count]
