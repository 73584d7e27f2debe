"""Draws one camera's cloud against lidar, seen from above."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsmde_core.clouds.packer import CloudPacker, CloudSettings, ray_table
from fsmde_core.rig.rig import Camera
from fsmde_core.views.matplotlib import INK, PAPER, draw_rings

PREDICTED, MEASURED = "#ff9f1c", "#6ec6ff"
# Above the base frame's z = 0: what stands on the road, neither the road nor what hangs over it.
STANDING_M = (0.3, 4.0)
RANGE_M = (20.0, 80.0)
SIZE_PIXELS = (560, 780)


def birds_eye_view(
    camera: Camera, depth: NDArray[np.float32], sigma: NDArray[np.float32], lidar: NDArray[np.floating]
) -> NDArray[np.uint8]:
    """Draw what stands on the road with the optical axis up, as predicted and as measured.

    Args:
        camera: Rectified, at the size of depth and sigma.
        depth, sigma: (h, w) float32 metres; points are those that pass the default gates of the node's cloud.
        lidar: (M, 3) metres, optical frame.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    rays, origin = ray_table(camera, np.eye(4))
    keep = CloudPacker(CloudSettings()).keep(depth, sigma).ravel()
    predicted = (rays * depth.ravel() + origin[:, None]).T[keep]
    return _draw(_standing(camera, predicted), _standing(camera, lidar))


def _standing(camera: Camera, points: NDArray[np.floating]) -> NDArray[np.floating]:
    height = points @ camera.T_base_camera[2, :3] + camera.T_base_camera[2, 3]
    return points[(height > STANDING_M[0]) & (height < STANDING_M[1])]


def _draw(predicted: NDArray[np.floating], measured: NDArray[np.floating]) -> NDArray[np.uint8]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = SIZE_PIXELS
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1), facecolor=PAPER)
    farthest = float(np.clip(np.percentile(measured[:, 2], 95) if len(measured) else 0, *RANGE_M))
    for points, color, size, label in ((predicted, PREDICTED, 3, "predicted"), (measured, MEASURED, 4, "lidar")):
        axes.scatter(points[:, 0], points[:, 2], s=size, c=color, linewidths=0, label=label)
    step = 5 if farthest <= 30 else 10 if farthest <= 60 else 20
    draw_rings(axes, range(step, int(1.1 * farthest) + 1, step), va="center", fontsize=12)
    half = farthest * 1.15 * width / height / 2
    axes.set_xlim(-half, half)
    axes.set_ylim(-0.05 * farthest, 1.1 * farthest)
    axes.set_axis_off()
    axes.plot(0, 0, marker="^", color=INK, markersize=12)
    axes.legend(loc="lower left", labelcolor=INK, facecolor=PAPER, edgecolor="none", fontsize=13, markerscale=4)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
