"""Cross-view consistency: do two neighbouring cameras put the same point of the world at the same place?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.loops import compare_moved, find_nearest, find_ratios
from fsmde_core.evaluation.measures.means import Means, parts_of
from fsmde_core.evaluation.measures.pixels import lidar_points
from fsmde_core.evaluation.predictors.predictors import Predictor
from fsmde_core.evaluation.protocols.protocol import DEFAULT_CAP_M
from fsmde_core.frames import Frame, LidarSweep
from fsmde_core.lidar.projection import ImagePoints
from fsmde_core.rig.rig import Camera
from fsmde_core.sources.source import Source

GRID = 240
"""Columns of the grid on which hidden points are found."""
HIDDEN = 1.5
"""A point is hidden where something within a cell is nearer by this factor: the lidar sees over what cameras do not."""
LEAST_POINTS = 30
"""Of an edge, over all frames: views that share fewer, at the tips of their images, say nothing of the rest."""


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
    assert frame.lidar is not None  # lidar_points has the message
    ratios = {name: _ratios(frame, name, depth[name], seen[name], cap_m) for name in depth}
    centres = {name: (frame.T_world_base[name] @ frame.rig[name].T_base_camera)[:3, 3] for name in depth}
    found = {}
    for first, second in frame.rig.edges:
        if first in depth and second in depth:
            pair = (ratios[first], ratios[second]), (centres[first], centres[second])
            found[f"{first}/{second}"] = _differences(frame.lidar, *pair)
    return found


def _ratios(
    frame: Frame, name: str, depth: NDArray[np.float32], seen: ImagePoints, cap_m: float
) -> NDArray[np.float64]:
    """(N,) predicted over true depth of each point of the sweep, NaN where the camera has none."""
    assert frame.lidar is not None  # `seen` is of it
    camera = frame.rig[name]
    ratios = np.full(len(frame.lidar.points), np.nan)
    nearest = _nearest(seen, camera)
    points = (seen.point, seen.u, seen.v, seen.z)
    find_ratios(*points, np.ascontiguousarray(depth), nearest, camera.width, camera.height, cap_m, HIDDEN, ratios)
    return ratios


def _nearest(seen: ImagePoints, camera: Camera) -> NDArray[np.float32]:
    """Depth on a grid of GRID columns of what is nearest in a cell and those around it, infinite where nothing is."""
    rows = max(1, round(GRID * camera.height / camera.width))
    nearest = np.full((rows, GRID), np.inf, np.float32)
    find_nearest(seen.u, seen.v, seen.z, GRID / camera.width, rows / camera.height, nearest)
    return cv2.erode(nearest, np.ones((3, 3), np.uint8))  # type: ignore[return-value]


def _differences(
    lidar: LidarSweep,
    ratios: tuple[NDArray[np.float64], NDArray[np.float64]],
    centres: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """(K,) relative differences at the K of the sweep's points that both cameras see."""
    differences = np.empty(len(lidar.points))
    points = np.ascontiguousarray(lidar.points, np.float32)
    found = compare_moved(points, lidar.T_world_base, *ratios, np.stack(centres), differences)
    return differences[:found]


def cross_view_consistency(
    source: Source, predictor: Predictor, span: tuple[int, int | None] = (0, None), cap_m: float = DEFAULT_CAP_M
) -> Consistency:
    """Consistency of `predictor` over the frames of `span` that carry lidar.

    Averaged over the points of an edge, frames together, then over edges of LEAST_POINTS and more. FsmdeError without
    any.
    """
    means = Means(("/".join(edge) for edge in source.rig.edges), LEAST_POINTS)
    for frame in source.frames(*span):
        if frame.lidar is not None:
            depth = {name: prediction.depth for name, prediction in predictor.predict(frame).items()}
            means.add(parts_of(lidar_differences(frame, depth, cap_m)))
    if not means.n:
        raise FsmdeError(
            f"no lidar point of {source.name} is seen by two neighbouring cameras, or too few are; views must overlap"
        )
    return Consistency(means.each, means.mean, means.n)
