"""Measures whether the depth of one frame, moved by the vehicle's motion, agrees with that of the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.means import Parts, parts_of
from fsmde_core.evaluation.measures.overlap import pixel_transform, reprojected_depths
from fsmde_core.evaluation.measures.pixels import rectified_view
from fsmde_core.evaluation.predictors.predictors import Prediction
from fsmde_core.frames import Frame
from fsmde_core.rig.geometry import Matrix, invert
from fsmde_core.rig.rig import Camera

LONGEST_GAP_S = 0.6
"""Frames farther apart are not compared; keyframes of nuScenes, at 2 Hz, are."""
STRIDE = 4


@dataclass(frozen=True, eq=False)
class DepthView:
    """Holds one camera's depth at one time. camera: rectified, at the size of depth, (h, w) float32 metres."""

    stamp_ns: int
    camera: Camera
    T_world_camera: Matrix
    depth: NDArray[np.float32]


DepthViews = Mapping[str, DepthView]
"""By camera: what steadiness needs of the frame before."""


def depth_views(frame: Frame, predictions: Mapping[str, Prediction]) -> DepthViews:
    # Poses are taken as unknown where the vehicle is at the very origin of the world at all exposures: recordings
    # without odometry have it so.
    if all(np.array_equal(pose, np.eye(4)) for pose in frame.T_world_base.values()):
        return {}
    views = {}
    for name, prediction in predictions.items():
        height, width = prediction.depth.shape
        camera = rectified_view(frame.rig[name], width, height)
        T_world_camera = frame.T_world_base[name] @ camera.T_base_camera
        views[name] = DepthView(frame.images[name].stamp_ns, camera, T_world_camera, prediction.depth)
    return views


def relative_changes(before: DepthView, after: DepthView, cap_m: float) -> NDArray[np.float64]:
    """Compare the depths of one view with those that a later one has at the same points.

    Our choice, and one that needs no lidar: every STRIDE-th pixel of `before` is placed in the world at its predicted
    depth and looked for in `after`, at the nearest pixel. The world is taken to stand still: traffic, what comes into
    view behind an edge, and a rescaled prediction all count as change. 0: perfectly steady. It grows with the time
    between the frames.

    Args:
        before, after: Of one camera.
        cap_m: Depths from there on are left out, so that sky does not hide the rest; NaN too. Metres.

    Returns:
        (M,) |z - d| / mean of z and d: z is the depth in `after` of a point of `before`, d what is predicted there.
    """
    to_after = pixel_transform(before.camera, after.camera, invert(after.T_world_camera) @ before.T_world_camera)
    z, predicted = reprojected_depths(before.depth, after.depth, to_after, cap_m, STRIDE, STRIDE // 2)
    return np.abs(z - predicted) / ((z + predicted) / 2)  # type: ignore[no-any-return]


def steadiness(before: DepthViews, after: DepthViews, cap_m: float) -> tuple[Parts, float | None]:
    """Sum up the `relative_changes` of each camera from one frame to another.

    Args:
        before, after: By camera.
        cap_m: Depths from there on are left out, metres.

    Returns:
        Sum and number per camera, and the seconds between the frames; nothing and None where no two views lie within
        LONGEST_GAP_S: another drive began, or frames are missing.
    """
    gaps = {name: 1e-9 * (after[name].stamp_ns - before[name].stamp_ns) for name in after if name in before}
    near = [name for name, gap in gaps.items() if 0 < gap <= LONGEST_GAP_S]
    if not near:
        return {}, None
    changes = {name: relative_changes(before[name], after[name], cap_m) for name in near}
    return parts_of(changes), float(np.mean([gaps[name] for name in near]))
