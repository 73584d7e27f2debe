"""The only place where a frame becomes numbers: for the run over a recording and beside a running node alike."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.breakdown import sums_by_part, sums_of_all
from fsmde_core.evaluation.measures.consistency import lidar_differences
from fsmde_core.evaluation.measures.means import parts_of
from fsmde_core.evaluation.measures.overlap import overlap_differences
from fsmde_core.evaluation.measures.pixels import Pixels, SparseDepth, in_the_image, lidar_points, rectified_view
from fsmde_core.evaluation.measures.steadiness import Moment, moment, steadiness
from fsmde_core.evaluation.measures.uncertainty import sigma_sums
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
    frame: Frame, predictions: Predictions, protocol: EvaluationProtocol, previous: Moment | None = None
) -> FrameRecord:
    """One frame's numbers. previous: `steadiness.moment` of the frame with lidar before it, None where there is none.

    A frame without lidar is only counted. Bands, thirds, sigma, consistency and steadiness are measured of the
    predictor called `model`. Raises FsmdeError when a pixel has no predicted depth where it is measured.
    """
    stamps = {name: image.stamp_ns for name, image in frame.images.items()}
    if frame.lidar is None:
        return FrameRecord(frame.index, stamps, sampled=False)
    seen = {name: lidar_points(frame, name) for name in frame.images}
    truth = {name: _truth(frame, name, predictions, protocol, seen[name]) for name in frame.images}
    images = {name: _images(frame, name, given, truth, protocol) for name, given in predictions.items()}
    model = predictions.get(MODEL)
    if model is None:
        return FrameRecord(frame.index, stamps, True, images)
    depth = {name: prediction.depth for name, prediction in model.items()}
    changes, interval_s = steadiness(previous or {}, moment(frame, model), protocol.cap_m)
    return FrameRecord(
        frame.index,
        stamps,
        True,
        images,
        consistency=parts_of(lidar_differences(frame, depth, protocol.cap_m, seen)),
        overlap=parts_of(_overlap(frame, depth, protocol.cap_m)),
        steadiness=changes,
        interval_s=interval_s,
    )


def _truth(
    frame: Frame, name: str, predictions: Predictions, protocol: EvaluationProtocol, seen: ImagePoints
) -> SparseDepth:
    of_camera = [given[name] for given in predictions.values() if name in given]
    return in_the_image(protocol.truth(frame, name, seen), frame.rig[name], of_camera)


def _overlap(frame: Frame, depth: Mapping[str, NDArray[np.float32]], cap_m: float) -> dict[str, NDArray[np.float32]]:
    cameras = [rectified_view(frame.rig[name], *one.shape[::-1]) for name, one in depth.items()]
    return overlap_differences(
        cameras, np.stack(list(depth.values())), frame.rig.edges, frame.T_world_base, cap_m, OVERLAP_STRIDE
    )


def score_pixels(pixels: Pixels, predictor: str, protocol: EvaluationProtocol) -> ImageRecord:
    """Of the scaled pixels of one image; in parts if the predictor is the model."""
    if predictor == MODEL:
        return ImageRecord(sums_by_part(pixels, protocol.cap_m), sigma_sums(pixels))
    return ImageRecord(sums_of_all(pixels))


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
            images[name] = score_pixels(protocol.scaled(pixels, protocol.ratio(pixels)), predictor, protocol)
    return images
