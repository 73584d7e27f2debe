"""Measures whether two neighbouring cameras put the same point of the world at the same place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.loops import compare_moved, find_nearest, find_ratios
from fsmde_core.evaluation.measures.means import Means, parts_of
from fsmde_core.evaluation.measures.metrics import DEFAULT_CAP_M
from fsmde_core.evaluation.measures.pixels import lidar_points
from fsmde_core.evaluation.predictors.predictors import Predictor
from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import ImagePoints
from fsmde_core.rig.rig import Camera
from fsmde_core.sources.registry import FrameRange
from fsmde_core.sources.source import Source

GRID = 240
"""Columns of the grid on which hidden points are found."""
HIDDEN = 1.5
"""A point is hidden where something within a cell is nearer by this factor: the lidar sees over what cameras do not."""
LEAST_POINTS = 30
"""Of an edge, over all frames; views that share fewer, at the tips of their images, say nothing of the rest."""


@dataclass(frozen=True)
class Consistency:
    """Holds the mean relative difference per ring edge ("front/front_right") and the unweighted mean of the edges.

    It is 0 where both views agree everywhere. n: lidar points seen by two neighbours, over all frames and edges.
    """

    edges: dict[str, float]
    mean: float
    n: int


def lidar_differences(
    frame: Frame,
    depth: Mapping[str, NDArray[np.float32]],
    cap_m: float = DEFAULT_CAP_M,
    points: Mapping[str, ImagePoints] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Compare the depths that two neighbouring views have at the lidar points that both see.

    Each view moves a lidar point along its own ray to the depth predicted there, both in the world frame, so that the
    vehicle's motion between the exposures is taken out. The difference is the distance of the two moved points over
    their mean distance from the middle between the cameras: no common scale of both predictions can lower it much. Our
    choice. Points count that nothing nearer hides, whose true depth in both views is below cap_m metres and where both
    views have a finite depth.

    Args:
        frame: With a lidar sweep.
        depth: (h, w) float32 metres by camera, of any size.
        cap_m: True depths from there on do not count, metres.
        points: `pixels.lidar_points` by camera where they are known already.

    Returns:
        (K,) relative differences per ring edge between views that are there.

    Raises:
        FsmdeError: The frame has no sweep.
    """
    points = points or {name: lidar_points(frame, name) for name in depth}
    assert frame.lidar is not None  # lidar_points has the message
    ratios = {name: _ratios(frame, name, depth[name], points[name], cap_m) for name in depth}
    centres = {name: (frame.T_world_base[name] @ frame.rig[name].T_base_camera)[:3, 3] for name in depth}
    sweep, T_world_sweep = np.ascontiguousarray(frame.lidar.points, np.float32), frame.lidar.T_world_base
    differences = {}
    for first, second in frame.rig.edges:
        if first in depth and second in depth:
            both, found = np.stack([centres[first], centres[second]]), np.empty(len(sweep))
            count = compare_moved(sweep, T_world_sweep, ratios[first], ratios[second], both, found)
            differences[f"{first}/{second}"] = found[:count]
    return differences


def _ratios(
    frame: Frame, name: str, depth: NDArray[np.float32], points: ImagePoints, cap_m: float
) -> NDArray[np.float64]:
    """Return (N,) predicted over true depth of each point of the sweep, NaN where the camera has none."""
    assert frame.lidar is not None  # the points are its own
    camera = frame.rig[name]
    ratios = np.full(len(frame.lidar.points), np.nan)
    nearest = _nearest(points, camera)
    columns = (points.point, points.u, points.v, points.z)
    find_ratios(*columns, np.ascontiguousarray(depth), nearest, camera.width, camera.height, cap_m, HIDDEN, ratios)
    return ratios


def _nearest(points: ImagePoints, camera: Camera) -> NDArray[np.float32]:
    """Return the least depth in each cell of a grid of GRID columns and those around it, infinite without points."""
    rows = max(1, round(GRID * camera.height / camera.width))
    nearest = np.full((rows, GRID), np.inf, np.float32)
    find_nearest(points.u, points.v, points.z, GRID / camera.width, rows / camera.height, nearest)
    return cv2.erode(nearest, np.ones((3, 3), np.uint8))  # type: ignore[return-value]


def cross_view_consistency(
    source: Source, predictor: Predictor, frames: FrameRange = (0, None), cap_m: float = DEFAULT_CAP_M
) -> Consistency:
    """Average `lidar_differences` over the points of an edge, frames together, then over edges.

    Args:
        source, frames: The recording, and which of its frames are read; those without lidar are skipped.
        predictor: What is measured.
        cap_m: True depths from there on do not count, metres.

    Returns:
        The means over edges with LEAST_POINTS and more.

    Raises:
        FsmdeError: There is no such edge.
    """
    means = Means(("/".join(edge) for edge in source.rig.edges), LEAST_POINTS)
    for frame in source.frames(*frames):
        if frame.lidar is not None:
            depth = {name: prediction.depth for name, prediction in predictor.predict(frame).items()}
            means.add(parts_of(lidar_differences(frame, depth, cap_m)))
    if not means.n:
        raise FsmdeError(
            f"no lidar point of {source.name} is seen by two neighbouring cameras, or too few are; views must overlap"
        )
    return Consistency(means.each, means.mean, means.n)
