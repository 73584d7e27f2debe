"""Frames of recordings as training samples: rectified images with depth from lidar, or exact depth where there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.frames import Frame, LidarSweep
from fsmde_core.images.rectify import rectify_rgb
from fsmde_core.lidar.projection import depth_map
from fsmde_training.sets.cache import Sample
from fsmde_training.sets.sky import sky_mask

NEIGHBOUR_NS = 150_000_000
"""A frame without a sweep borrows those of its neighbours up to this age: one frame at 10 Hz. Our choice."""
OCCLUSION_WINDOW = 11
OCCLUSION_RATIO = 1.5


class SweptFrame(NamedTuple):
    """A frame and the sweeps that label it."""

    frame: Frame
    sweeps: tuple[LidarSweep, ...]


def with_sweeps(frames: Iterable[Frame]) -> Iterator[SweptFrame]:
    """Every frame with its own sweep, else with the sweeps next to it within NEIGHBOUR_NS, if there are any.

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
    """All images of a frame, in the ring's order, rectified to (height, width) with their depth.

    Depth is the frame's exact one where it has that, else the sweeps'; an image without a return has no label at all.
    sky: label what looks like sky as infinitely far, see `sky_mask`.
    """
    frame = swept.frame
    samples = []
    for camera in frame.rig.cameras:
        if camera.name not in frame.images:
            continue
        rgb = rectify_rgb(frame.images[camera.name].rgb(), camera, width, height)
        if camera.name in frame.depth:
            exact = cv2.resize(frame.depth[camera.name], (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
            depth = np.where(np.isnan(exact), np.float32(np.inf), exact)
        else:
            depth = lidar_depth(swept, camera.name, width, height)
            if sky and np.isfinite(depth).any():
                depth[sky_mask(rgb, depth)] = np.inf
        samples.append((rgb, depth.astype(np.float16), camera.rectified(width, height).fx))
    return samples


def lidar_depth(swept: SweptFrame, name: str, width: int, height: int) -> NDArray[np.float32]:
    """(height, width) depth of what camera `name` sees of the sweeps, metres, NaN elsewhere."""
    depth = np.full((height, width), np.nan, np.float32)
    for sweep in swept.sweeps:
        depth = np.fmin(depth, depth_map(replace(swept.frame, lidar=sweep), name, width, height))
    return visible(depth)


def visible(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) sparse lidar depth without the points that a nearer neighbour hides from the camera.

    The lidar sits above the cameras and sees over things; such points land inside what stands before them. Dropped is
    what lies beyond 1.5 times the nearest depth within 5 pixels.
    """
    filled = np.where(np.isnan(depth), np.float32(np.inf), depth)
    nearest = cv2.erode(filled, np.ones((OCCLUSION_WINDOW, OCCLUSION_WINDOW), np.uint8))
    return np.where(depth / OCCLUSION_RATIO > nearest, np.float32(np.nan), depth)
