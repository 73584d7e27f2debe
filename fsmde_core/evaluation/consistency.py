"""Cross-view consistency: do two neighbouring cameras put the same point of the world at the same place?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.means import Means, parts_of
from fsmde_core.evaluation.predictors import Predictor
from fsmde_core.evaluation.rules import DEFAULT_CAP_M
from fsmde_core.frames import Frame
from fsmde_core.geometry import Matrix, transform
from fsmde_core.lidar import ImagePoints, image_points, lidar_to_camera
from fsmde_core.rig import Camera
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


def lidar_differences(
    frame: Frame, depth: Mapping[str, NDArray[np.float32]], cap_m: float = DEFAULT_CAP_M
) -> dict[str, NDArray[np.float64]]:
    """Per ring edge between views that are there: (K,) relative differences at the lidar points that both see.

    Each view moves a lidar point along its own ray to the depth predicted there, both in the world frame, so that the
    vehicle's motion between the exposures is taken out. The difference is the distance of the two moved points over
    their mean distance from the middle between the cameras: no common scale of both predictions can lower it much. Our
    choice. Points count that nothing nearer hides, whose true depth in both views is below cap_m metres and where both
    views have a finite depth. depth: (h, w) float32 metres by camera, of any size.
    """
    views = {name: _look(frame, name, depth[name], cap_m) for name in depth}
    there = [(first, second) for first, second in frame.rig.edges if first in views and second in views]
    return {f"{first}/{second}": _differences(frame, views[first], views[second]) for first, second in there}


@dataclass(frozen=True, eq=False)
class _View:
    """What one camera sees of the sweep. point: (M,) rows of it. ratio: (M,) float64 predicted over true depth."""

    T_camera_points: Matrix
    T_world_camera: Matrix
    point: NDArray[np.int64]
    ratio: NDArray[np.float64]

    def moved(self, points: NDArray[np.float32], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """(K, 3) metres in the world frame: (K,) chosen ones of its points, at their predicted depth."""
        at_camera = transform(self.T_camera_points, points[self.point[chosen]].astype(np.float64))
        return transform(self.T_world_camera, at_camera * self.ratio[chosen, None])  # type: ignore[return-value]


def _look(frame: Frame, name: str, depth: NDArray[np.float32], cap_m: float) -> _View:
    T_camera_points = lidar_to_camera(frame, name)
    assert frame.lidar is not None  # lidar_to_camera has the message
    camera = frame.rig[name].rectified(frame.rig[name].width, frame.rig[name].height)
    seen = image_points(frame.lidar.points, T_camera_points, camera)
    predicted = depth[_pixels(seen, camera, *depth.shape)]
    keep = np.isfinite(predicted) & (seen.z < cap_m) & ~_hidden(seen, camera)
    ratio = (predicted[keep] / seen.z[keep]).astype(np.float64)
    return _View(T_camera_points, frame.T_world_base[name] @ camera.T_base_camera, seen.point[keep], ratio)


def _pixels(seen: ImagePoints, camera: Camera, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(M,) rows and columns of the points in the same view of another size."""
    places = ((seen.v, height / camera.height, height), (seen.u, width / camera.width, width))
    row, column = (np.clip(np.rint((at + 0.5) * scale - 0.5), 0, size - 1) for at, scale, size in places)
    return row.astype(np.int64), column.astype(np.int64)


def _hidden(seen: ImagePoints, camera: Camera) -> NDArray[np.bool_]:
    """(M,) bool, whatever the size of the predictions."""
    rows = max(1, round(GRID * camera.height / camera.width))
    cell = _pixels(seen, camera, rows, GRID)
    nearest = np.full((rows, GRID), np.inf, np.float32)
    np.minimum.at(nearest, cell, seen.z)
    nearest = cv2.erode(nearest, np.ones((3, 3), np.uint8))  # type: ignore[assignment]
    return seen.z > HIDDEN * nearest[cell]  # type: ignore[no-any-return]


def _differences(frame: Frame, first: _View, second: _View) -> NDArray[np.float64]:
    """(K,) relative differences at the K points that both see."""
    assert frame.lidar is not None
    place = np.full(len(frame.lidar.points), -1)
    place[second.point] = np.arange(len(second.point))
    here = np.flatnonzero(place[first.point] >= 0)
    there = place[first.point[here]]
    moved = first.moved(frame.lidar.points, here), second.moved(frame.lidar.points, there)
    middle = (first.T_world_camera[:3, 3] + second.T_world_camera[:3, 3]) / 2
    distance = sum(np.linalg.norm(points - middle, axis=1) for points in moved) / 2
    difference: NDArray[np.float64] = np.linalg.norm(moved[0] - moved[1], axis=1) / distance
    return difference


def cross_view_consistency(
    source: Source, predictor: Predictor, span: tuple[int, int | None] = (0, None), cap_m: float = DEFAULT_CAP_M
) -> Consistency:
    """Consistency of `predictor` over the frames of `span` that carry lidar.

    Averaged over the points of an edge, frames together, then over edges. FsmdeError when no point is seen by two
    neighbours.
    """
    means = Means("/".join(edge) for edge in source.rig.edges)
    for frame in source.frames(*span):
        if frame.lidar is not None:
            depth = {name: prediction.depth for name, prediction in predictor.predict(frame).items()}
            means.add(parts_of(lidar_differences(frame, depth, cap_m)))
    if not means.n:
        raise FsmdeError(f"no lidar point of {source.name} is seen by two neighbouring cameras; views must overlap")
    return Consistency(means.each, means.mean, means.n)
