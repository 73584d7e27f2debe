"""Samples depth at the pixels where the truth is known: it is sparse, and only these pixels cost anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.loops import mark_last, sample_bilinear
from fsmde_core.evaluation.predictors.predictors import Prediction
from fsmde_core.frames import Frame
from fsmde_core.images.rectify import rectify_maps
from fsmde_core.lidar.projection import ImagePoints, lidar_to_camera, project
from fsmde_core.rig.rig import Camera


@dataclass(frozen=True, eq=False)
class SparseDepth:
    """Holds the known depth of M pixels of a view of height x width. row, column: (M,). z: (M,) float32 metres."""

    height: int
    width: int
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    z: NDArray[np.float32]

    @classmethod
    def from_map(cls, depth: NDArray[np.float32]) -> SparseDepth:
        """Take the known pixels of (H, W) metres, NaN where unknown."""
        row, column = np.nonzero(~np.isnan(depth))
        return cls(depth.shape[0], depth.shape[1], row, column, depth[row, column])

    def to_map(self) -> NDArray[np.float32]:
        """Return (height, width) float32 metres, NaN where unknown."""
        depth = np.full((self.height, self.width), np.nan, np.float32)
        depth[self.row, self.column] = self.z
        return depth

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> SparseDepth:
        """Select the pixels for which (M,) `chosen` is true, or those with these numbers."""
        return SparseDepth(self.height, self.width, self.row[chosen], self.column[chosen], self.z[chosen])


@dataclass(frozen=True, eq=False)
class Pixels:
    """Holds the M measured pixels of an image.

    truth, depth (predicted), sigma: (M,) float32 metres, sigma None where the predictor has none. third: (M,) uint8, 0
    in the top third of the image, 1 in the middle, 2 in the bottom third.
    """

    truth: NDArray[np.float32]
    depth: NDArray[np.float32]
    sigma: NDArray[np.float32] | None
    third: NDArray[np.uint8]

    @classmethod
    def of(cls, truth: SparseDepth, prediction: Prediction, far_m: np.float32) -> Pixels | None:
        # with the predicted depth up to far_m; None without truth, FsmdeError where depth or sigma is not a number
        if not truth.z.size:
            return None
        depth, *sigmas = sample([m for m in (prediction.depth, prediction.sigma) if m is not None], truth)
        if count := np.count_nonzero(np.isnan(depth)):
            raise FsmdeError(
                f"{count} of {depth.size} measured pixels have no predicted depth (NaN); a prediction that leaves out "
                "parts of the image cannot be compared with others"
            )
        for sigma in sigmas:
            if count := np.count_nonzero(~np.isfinite(sigma)):
                raise FsmdeError(f"sigma is NaN or infinite at {count} of {sigma.size} measured pixels")
        third = (truth.row * 3 // truth.height).astype(np.uint8)
        return cls(truth.z, np.minimum(depth, far_m), sigmas[0] if sigmas else None, third)


def within_image(truth: SparseDepth, camera: Camera, predictions: Iterable[Prediction]) -> SparseDepth:
    # Leaves out the pixels where a prediction is NaN since its view looks past the edge of the camera's image, as
    # corners may that a lens with distortion leaves, or at the own vehicle under the camera's mask; they are truth for
    # no predictor, whether it fills them or not.
    may_miss = camera.is_distorted or camera.mask is not None
    for depth in [prediction.depth for prediction in predictions] if may_miss else ():
        missing = np.isnan(depth)
        outside = rectify_maps(camera, rectified_view(camera, *depth.shape[::-1])).outside if missing.any() else None
        if outside is not None:
            (corners,) = sample([np.where(missing & outside, np.float32("nan"), np.float32(0))], truth)
            truth = truth.where(~np.isnan(corners))
    return truth


def concatenate(parts: Sequence[Pixels]) -> Pixels:
    """Concatenate the pixels of one or more images of one predictor."""
    sigmas = [part.sigma for part in parts if part.sigma is not None]
    return Pixels(
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.depth for part in parts]),
        np.concatenate(sigmas) if sigmas else None,
        np.concatenate([part.third for part in parts]),
    )


@lru_cache(maxsize=64)
def rectified_view(camera: Camera, width: int, height: int) -> Camera:
    return camera.rectified(width, height)  # made once: most recordings have one rig


def lidar_points(frame: Frame, camera_name: str) -> ImagePoints:
    # at native size, without those on the own vehicle where the camera has a mask; FsmdeError without a sweep
    camera = frame.rig[camera_name]
    view = rectified_view(camera, camera.width, camera.height)
    T_camera_points = lidar_to_camera(frame, camera_name)
    assert frame.lidar is not None  # lidar_to_camera has checked it
    points = project(frame.lidar.points, T_camera_points, view)
    outside = None if camera.mask is None else rectify_maps(camera, view).outside
    return points if outside is None else points.where(~outside[points.row, points.column])


def lidar_depth(frame: Frame, camera_name: str, points: ImagePoints | None = None) -> SparseDepth:
    # What the lidar's `depth_map` has at native size, without the map: of several points in a pixel the sweep's last.
    camera = frame.rig[camera_name]
    points = points or lidar_points(frame, camera_name)
    row, column = np.rint(points.v).astype(np.int64), np.rint(points.u).astype(np.int64)
    last = last_of_each(row * camera.width + column, camera.width * camera.height)
    return SparseDepth(camera.height, camera.width, row[last], column[last], points.z[last])


def last_of_each(cell: NDArray[np.int64], cells: int) -> NDArray[np.bool_]:
    # (M,) bool, of (M,) numbers below `cells`
    last = np.empty(len(cell), np.bool_)
    mark_last(cell, np.zeros(cells // 8 + 1, np.uint8), last)
    return last


def sample(maps: Sequence[NDArray[np.float32]], at: SparseDepth) -> list[NDArray[np.float32]]:
    # (M,) float32 each, of (h, w) maps of one size, resized bilinearly to that of `at`, at its pixels only.
    # Equal to cv2.resize (INTER_LINEAR, pixel centres at half) to the rounding of float32.
    height, width = maps[0].shape
    if (height, width) == (at.height, at.width):
        return [values[at.row, at.column] for values in maps]
    if height == width == 1:
        return [np.full(at.z.shape, values[0, 0]) for values in maps]
    row, column = np.ascontiguousarray(at.row), np.ascontiguousarray(at.column)
    samples = [np.empty(at.z.shape, np.float32) for _ in maps]
    for values, sampled in zip(maps, samples, strict=True):
        sample_bilinear(np.ascontiguousarray(values), row, column, at.height, at.width, sampled)
    return samples
