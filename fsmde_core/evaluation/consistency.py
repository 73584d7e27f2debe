"""Cross-view consistency: do two neighbouring cameras put the same point of the world at the same place?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.predictors import Predictor
from fsmde_core.evaluation.protocol import DEFAULT_CAP_M
from fsmde_core.frames import Frame
from fsmde_core.geometry import Matrix, transform
from fsmde_core.lidar import Projection, lidar_to_camera, project
from fsmde_core.sources.base import Source

GRID = 240
"""Columns of the grid on which hidden points are found."""
HIDDEN = 1.5
"""A point is hidden where something within a cell is nearer by this factor: the lidar sees over what cameras do not."""


@dataclass(frozen=True)
class Consistency:
    """Mean relative difference per ring edge ("front/front_right") and the unweighted mean of the edges.

    0: both views agree everywhere. n: lidar points seen by two neighbours, over all frames and edges.
    """

    edges: dict[str, float]
    mean: float
    n: int


def pair_difference(
    frame: Frame, depth: Mapping[str, NDArray[np.float32]], first: str, second: str, cap_m: float = DEFAULT_CAP_M
) -> NDArray[np.float64]:
    """(M,) relative differences of the two views' predictions at the M lidar points that both see. Our choice.

    Each view moves a lidar point along its own ray to the depth predicted there, both in the world frame, so that the
    vehicle's motion between the exposures is taken out. The difference is the distance of the two moved points over
    their mean distance from the middle between the cameras: no common scale of both predictions can lower it much.
    Points count that nothing nearer hides, whose true depth in both views is below cap_m metres and where both views
    have a finite depth. depth: (h, w) float32 metres by camera, of any size.
    """
    views = [_move(frame, depth[name], name, cap_m) for name in (first, second)]
    _, here, there = np.intersect1d(views[0].point, views[1].point, return_indices=True)
    moved = views[0].moved[here], views[1].moved[there]
    middle = (views[0].centre + views[1].centre) / 2
    distance = sum(np.linalg.norm(points - middle, axis=1) for points in moved) / 2
    difference: NDArray[np.float64] = np.linalg.norm(moved[0] - moved[1], axis=1) / distance
    return difference


@dataclass(frozen=True, eq=False)
class _View:
    """point: (M,) rows of the sweep. moved: (M, 3) metres in the world frame. centre: (3,) the camera's place."""

    point: NDArray[np.int64]
    moved: NDArray[np.float64]
    centre: NDArray[np.float64]


def _move(frame: Frame, depth: NDArray[np.float32], name: str, cap_m: float) -> _View:
    """The points that camera `name` sees, at the (h, w) predicted instead of their true depth."""
    assert frame.lidar is not None  # lidar_to_camera has the message
    height, width = depth.shape
    T_camera_points = lidar_to_camera(frame, name)
    points = frame.lidar.points.astype(np.float64)
    seen = project(points, T_camera_points, frame.rig[name].rectified(width, height))
    predicted = depth[seen.row, seen.column]
    keep = np.isfinite(predicted) & (seen.z < cap_m) & ~_hidden(frame, name, T_camera_points)[seen.point]
    ratio = (predicted[keep] / seen.z[keep]).astype(np.float64)
    T_world_camera: Matrix = frame.T_world_base[name] @ frame.rig[name].T_base_camera
    at_camera = transform(T_camera_points, points[seen.point[keep]]) * ratio[:, None]
    moved = at_camera @ T_world_camera[:3, :3].T + T_world_camera[:3, 3]
    return _View(seen.point[keep], moved, T_world_camera[:3, 3])


def _hidden(frame: Frame, name: str, T_camera_points: Matrix) -> NDArray[np.bool_]:
    """(N,) bool for every point of the sweep, whatever the size of the predictions."""
    assert frame.lidar is not None
    camera = frame.rig[name]
    rows = max(1, round(GRID * camera.height / camera.width))
    seen: Projection = project(frame.lidar.points, T_camera_points, camera.rectified(GRID, rows))
    nearest = np.full((rows, GRID), np.inf, np.float32)
    np.minimum.at(nearest, (seen.row, seen.column), seen.z)
    nearest = cv2.erode(nearest, np.ones((3, 3), np.uint8))  # type: ignore[assignment]
    hidden = np.zeros(len(frame.lidar.points), np.bool_)
    hidden[seen.point] = seen.z > HIDDEN * nearest[seen.row, seen.column]
    return hidden


def cross_view_consistency(
    source: Source, predictor: Predictor, span: tuple[int, int | None] = (0, None), cap_m: float = DEFAULT_CAP_M
) -> Consistency:
    """Consistency of `predictor` over the frames of `span` that carry lidar.

    Averaged over the points of an edge, frames together, then over edges. FsmdeError when no point is seen by two
    neighbours.
    """
    found: dict[str, list[NDArray[np.float64]]] = {"/".join(edge): [] for edge in source.rig.edges}
    for frame in source.frames(*span):
        if frame.lidar is None:
            continue
        depth = predictor.predict(frame)
        for first, second in frame.rig.edges:
            if first in depth and second in depth:
                found[f"{first}/{second}"].append(pair_difference(frame, depth, first, second, cap_m))
    joined = {edge: np.concatenate(parts) for edge, parts in found.items() if any(map(len, parts))}
    if not joined:
        raise FsmdeError(f"no lidar point of {source.name} is seen by two neighbouring cameras; views must overlap")
    edges = {edge: float(values.mean()) for edge, values in joined.items()}
    return Consistency(edges, float(np.mean(list(edges.values()))), sum(map(len, joined.values())))
