"""Cross-view consistency: do two neighbouring cameras put the same point of the world at the same place?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.means import Means, parts_of
from fsmde_core.evaluation.pixels import lidar_points
from fsmde_core.evaluation.predictors import Predictor
from fsmde_core.evaluation.rules import DEFAULT_CAP_M
from fsmde_core.frames import Frame
from fsmde_core.geometry import transform
from fsmde_core.lidar import ImagePoints
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
    frame: Frame,
    depth: Mapping[str, NDArray[np.float32]],
    cap_m: float = DEFAULT_CAP_M,
    seen: Mapping[str, ImagePoints] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Per ring edge between views that are there: (K,) relative differences at the lidar points that both see.

    Each view moves a lidar point along its own ray to the depth predicted there, both in the world frame, so that the
    vehicle's motion between the exposures is taken out. The difference is the distance of the two moved points over
    their mean distance from the middle between the cameras: no common scale of both predictions can lower it much. Our
    choice. Points count that nothing nearer hides, whose true depth in both views is below cap_m metres and where both
    views have a finite depth. depth: (h, w) float32 metres by camera, of any size. seen: `pixels.lidar_points` by
    camera where they are known already. Raises FsmdeError without a sweep.
    """
    seen = seen or {name: lidar_points(frame, name) for name in depth}
    views = {name: _view(frame, name, depth[name], seen[name], cap_m) for name in depth}
    there = [(first, second) for first, second in frame.rig.edges if first in views and second in views]
    return {f"{first}/{second}": _differences(views[first], views[second]) for first, second in there}


@dataclass(frozen=True, eq=False)
class _View:
    """row: (N,) number among the M points that a camera sees, -1 for others. moved: (3, M) metres, world frame, at the
    predicted depth. centre: (3,) the camera's place.
    """

    point: NDArray[np.int64]
    row: NDArray[np.int64]
    moved: NDArray[np.float64]
    centre: NDArray[np.float64]


def _view(frame: Frame, name: str, depth: NDArray[np.float32], seen: ImagePoints, cap_m: float) -> _View:
    assert frame.lidar is not None  # `seen` is of it
    camera = frame.rig[name]
    predicted = depth[_pixels(seen, camera, *depth.shape)]
    keep = np.isfinite(predicted) & (seen.z < cap_m) & ~_hidden(seen, camera)
    point, ratio = seen.point[keep], (predicted[keep] / seen.z[keep]).astype(np.float64)
    row = np.full(len(frame.lidar.points), -1)
    row[point] = np.arange(len(point))
    centre = (frame.T_world_base[name] @ camera.T_base_camera)[:3, 3]
    # From the camera along the ray: as the true point, only `ratio` times as far.
    at_point = transform(frame.lidar.T_world_base, frame.lidar.points[point].astype(np.float64)).T
    return _View(point, row, centre[:, None] + ratio * (at_point - centre[:, None]), centre)


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


def _differences(first: _View, second: _View) -> NDArray[np.float64]:
    """(K,) relative differences at the K points that both see."""
    there = second.row[first.point]
    shared = there >= 0
    one, other = first.moved[:, shared], second.moved[:, there[shared]]
    middle = ((first.centre + second.centre) / 2)[:, None]
    difference: NDArray[np.float64] = 2 * _length(one - other) / (_length(one - middle) + _length(other - middle))
    return difference


def _length(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) of (3, K)."""
    return np.sqrt(np.einsum("ik,ik->k", vectors, vectors))  # type: ignore[no-any-return]


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
