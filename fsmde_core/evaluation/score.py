"""Scores a frame: the only place where it becomes numbers, for `fsmde evaluate` and `fsmde replay` alike."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.consistency import lidar_differences
from fsmde_core.evaluation.measures.means import parts_of
from fsmde_core.evaluation.measures.overlap import overlap_differences
from fsmde_core.evaluation.measures.pixels import Pixels, SparseDepth, lidar_points, rectified_view, within_image
from fsmde_core.evaluation.measures.steadiness import DepthViews, depth_views, steadiness
from fsmde_core.evaluation.predictors.predictors import MODEL, Prediction
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.results.record import FrameRecord, ImageRecord
from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import ImagePoints

OVERLAP_STRIDE = 4
"""Every n-th pixel of every n-th row is looked for in the neighbouring view."""
Predictions = Mapping[str, Mapping[str, Prediction]]
"""By predictor and camera."""


def score_frame(
    frame: Frame,
    predictions: Predictions,
    protocol: EvaluationProtocol,
    previous: DepthViews | None = None,
    latency_ms: float | None = None,
) -> FrameRecord:
    """Score the predictions for one frame; a frame without lidar is only counted.

    Bands, thirds, sigma, consistency and steadiness are measured of the predictor called `model` only.

    Args:
        frame: The images, and the lidar sweep that is the truth.
        predictions: Of all predictors.
        protocol: How they are scored.
        previous: `depth_views` of the frame with lidar before it, None where there is none.
        latency_ms: Of the model.

    Returns:
        The frame's record.

    Raises:
        FsmdeError: A pixel has no predicted depth where it is measured.
    """
    stamps = {name: image.stamp_ns for name, image in frame.images.items()}
    if frame.lidar is None:
        return FrameRecord(frame.index, stamps, sampled=False, latency_ms=latency_ms)
    points = {name: lidar_points(frame, name) for name in frame.images}
    truth = {name: _truth(frame, name, predictions, protocol, points[name]) for name in frame.images}
    images = {name: _images(frame, name, cameras, truth, protocol) for name, cameras in predictions.items()}
    model = predictions.get(MODEL)
    if model is None:
        return FrameRecord(frame.index, stamps, True, images, latency_ms=latency_ms)
    depth = {name: prediction.depth for name, prediction in model.items()}
    changes, interval_s = steadiness(previous or {}, depth_views(frame, model), protocol.cap_m)
    consistency = parts_of(lidar_differences(frame, depth, protocol.cap_m, points))
    overlap = parts_of(_overlap(frame, depth, protocol.cap_m))
    return FrameRecord(frame.index, stamps, True, images, consistency, overlap, changes, interval_s, latency_ms)


def _truth(
    frame: Frame, name: str, predictions: Predictions, protocol: EvaluationProtocol, points: ImagePoints
) -> SparseDepth:
    of_camera = [cameras[name] for cameras in predictions.values() if name in cameras]
    return within_image(protocol.truth(frame, name, points), frame.rig[name], of_camera)


def _overlap(frame: Frame, depth: Mapping[str, NDArray[np.float32]], cap_m: float) -> dict[str, NDArray[np.float32]]:
    cameras = [rectified_view(frame.rig[name], *values.shape[::-1]) for name, values in depth.items()]
    return overlap_differences(
        cameras, np.stack(list(depth.values())), frame.rig.edges, frame.T_world_base, cap_m, OVERLAP_STRIDE
    )


def _images(
    frame: Frame,
    predictor: str,
    predictions: Mapping[str, Prediction],
    truth: Mapping[str, SparseDepth],
    protocol: EvaluationProtocol,
) -> dict[str, ImageRecord | Pixels]:
    images: dict[str, ImageRecord | Pixels] = {}
    for name, prediction in predictions.items():
        try:
            pixels = protocol.pixels(truth[name], prediction)
        except FsmdeError as error:
            raise FsmdeError(f"{predictor}, camera '{name}' of frame {frame.index}: {error}") from error
        if pixels is not None and protocol.pools_pixels:
            images[name] = pixels
        elif pixels is not None:
            scaled = protocol.scaled(pixels, protocol.ratio(pixels))
            images[name] = ImageRecord.of(scaled, predictor, protocol.cap_m)
    return images
