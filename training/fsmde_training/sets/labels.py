"""Makes training samples of frames: rectified images with depth from lidar, or exact depth where there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.frames import Frame, LidarSweep
from fsmde_core.images.rectify import rectify_maps, rectify_rgb
from fsmde_core.lidar.projection import depth_map
from fsmde_training.sets.cache import HIDDEN, Sample

NEIGHBOUR_NS = 150_000_000
"""A frame without a sweep borrows those of its neighbours up to this age: one frame at 10 Hz. Our choice."""
OCCLUSION_WINDOW, OCCLUSION_RATIO = 11, 1.5
SKY_BRIGHTNESS = 0.7
"""Sky has at least so much of the blue of the image's brightest percent. Our choice: on the sample recordings sky has
from 0.75 on, facades that were taken for it have up to 0.65.
"""


class SweptFrame(NamedTuple):
    """Pairs a frame with the sweeps that label it."""

    frame: Frame
    sweeps: tuple[LidarSweep, ...]


def with_sweeps(frames: Iterable[Frame]) -> Iterator[SweptFrame]:
    """Pair every frame with its own sweep, else with the sweeps next to it within NEIGHBOUR_NS, if there are any.

    Three frames are in memory at a time.
    """
    before: Frame | None = None
    frame: Frame | None = None
    for after in chain(frames, [None]):
        if frame is not None:
            yield SweptFrame(frame, _sweeps(before, frame, after))
        before, frame = frame, after


def _sweeps(before: Frame | None, frame: Frame, after: Frame | None) -> tuple[LidarSweep, ...]:
    if frame.lidar is not None:
        return (frame.lidar,)
    beside = [other.lidar for other in (before, after) if other is not None and other.lidar is not None]
    return tuple(sweep for sweep in beside if abs(sweep.stamp_ns - frame.stamp_ns) <= NEIGHBOUR_NS)


def label_ring(swept: SweptFrame, width: int, height: int, sky: bool = True) -> list[Sample]:
    """Rectify and label all images of a frame.

    Depth is the frame's exact one where it has that, else the sweeps'; an image without a return has no label at all.
    Nor has a pixel that looks past the edge of the image, or at the own vehicle by the camera's mask: it is HIDDEN.

    Args:
        swept: The frame and its sweeps.
        width, height: Of the rectified images, pixels.
        sky: Whether to label what looks like sky as infinitely far, see `sky_mask`.

    Returns:
        The samples, in the ring's order.
    """
    frame = swept.frame
    samples = []
    for camera in frame.rig.cameras:
        if camera.name not in frame.images:
            continue
        view = camera.rectified(width, height)
        rgb = rectify_rgb(frame.images[camera.name].rgb(), camera, width, height)
        if camera.name in frame.depth:
            exact = cv2.resize(frame.depth[camera.name], (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
            depth = np.where(np.isnan(exact), np.float32(np.inf), exact)
        else:
            depth = _lidar_depth(swept, camera.name, width, height)
            if sky and np.isfinite(depth).any():
                depth[sky_mask(rgb, depth)] = np.inf
        if (outside := rectify_maps(camera, view).outside) is not None:
            depth[outside] = HIDDEN
        samples.append((rgb, depth.astype(np.float16), view.fx))
    return samples


def _lidar_depth(swept: SweptFrame, name: str, width: int, height: int) -> NDArray[np.float32]:
    """Project what camera `name` sees of the sweeps: (height, width) metres, NaN elsewhere."""
    depth = np.full((height, width), np.nan, np.float32)
    for sweep in swept.sweeps:
        depth = np.fmin(depth, depth_map(replace(swept.frame, lidar=sweep), name, width, height))
    return visible(depth)


def visible(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Remove from (H, W) sparse lidar depth the points that a nearer neighbour hides from the camera.

    The lidar sits above the cameras and sees over things; such points land inside what stands before them. Removed is
    what lies beyond 1.5 times the nearest depth within 5 pixels.
    """
    filled = np.where(np.isnan(depth), np.float32(np.inf), depth)
    nearest = cv2.erode(filled, np.ones((OCCLUSION_WINDOW, OCCLUSION_WINDOW), np.uint8))
    return np.where(depth / OCCLUSION_RATIO > nearest, np.float32(np.nan), depth)


def sky_mask(rgb: NDArray[np.uint8], depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find obvious sky, where lidar has no label, so that sky is never learnt as something near.

    Sky is what hangs together with the top of the image, is smooth, bluish, bright for its image, and lies above every
    lidar return of its columns. Misses are fine: the rest stays unlabelled. A bright bluish facade above the lidar's
    field of view passes for sky.

    Args:
        rgb: (H, W, 3) uint8.
        depth: (H, W) lidar metres, NaN where no point is.

    Returns:
        (H, W) bool.
    """
    height, width = depth.shape
    r, g, b = (cv2.GaussianBlur(rgb, (5, 5), 0)[..., i].astype(np.float32) for i in range(3))
    texture = cv2.dilate(cv2.morphologyEx(rgb.max(2), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)), np.ones((3, 3)))
    bright = b > max(70.0, SKY_BRIGHTNESS * float(np.percentile(b, 99)))
    candidate = (b > 1.03 * r) & (b > 0.98 * g) & bright & (texture < 14)
    hit = cv2.dilate(np.isfinite(depth).astype(np.uint8), np.ones((5, 15), np.uint8)) > 0
    candidate &= ~np.maximum.accumulate(hit, axis=0)
    count, labels = cv2.connectedComponents(candidate.astype(np.uint8), connectivity=4)
    large = np.bincount(labels.ravel(), minlength=count) > 0.005 * height * width
    at_top = np.isin(np.arange(count), labels[:3]) & large
    at_top[0] = False
    return at_top[labels]
