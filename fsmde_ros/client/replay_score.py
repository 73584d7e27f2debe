"""Scores what a node published against the recording's lidar, exactly as `fsmde evaluate` scores the model itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.steadiness import DepthViews, depth_views
from fsmde_core.evaluation.predictors.predictors import MODEL, Prediction, Predictor
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.results.drops import DropCounter
from fsmde_core.evaluation.results.record import FrameRecord
from fsmde_core.evaluation.score import score_frame
from fsmde_core.rig.rig import Camera
from fsmde_ros.client.depth_listener import PublishedDepth
from fsmde_ros.client.replay_tracker import TIMING, ReplayedFrame

FOCAL_TOLERANCE = 1e-4


def published_records(
    frames: Iterable[ReplayedFrame], baselines: Sequence[Predictor], protocol: EvaluationProtocol, drops: DropCounter
) -> Iterator[FrameRecord]:
    """Measure the depth that came back, and the baselines on the same images.

    Args:
        frames: What came back, in order.
        baselines: Predictors to measure beside the node.
        protocol: How depth is measured.
        drops: Counts the images without depth.

    Yields:
        One record per frame; its `latency_ms` is the time through the node.

    Raises:
        FsmdeError: No frame with lidar has any depth.
    """
    previous: DepthViews | None = None
    lost = 0
    for replayed in frames:
        frame, depth, unlike = replayed.frame, *_depth(replayed)
        sampled = frame.lidar is not None
        drops.add(replayed.sent_ns, depth, sampled, unlike)
        if not sampled or not depth:
            lost += sampled
            yield FrameRecord(frame.index, {name: image.stamp_ns for name, image in frame.images.items()}, False)
            continue
        predictions = {MODEL: depth}
        for baseline in baselines:
            predicted = baseline.predict(frame)
            predictions[baseline.name] = {name: predicted[name] for name in depth}
        record = score_frame(frame, predictions, protocol, previous)
        yield replace(record, latency_ms=replayed.answers.get(TIMING))
        previous = depth_views(frame, depth)
    if lost and previous is None:
        raise FsmdeError(f"none of the {lost} frames with lidar has depth from the node that fits the recording")


def _depth(replayed: ReplayedFrame) -> tuple[dict[str, Prediction], int]:
    """Return the depth of each camera in the order of the images, and the number of those that show another view."""
    frame = replayed.frame
    found = {name: replayed.answers[name] for name in frame.images if name in replayed.answers}
    fitting = {name: Prediction(one.depth) for name, one in found.items() if _fits(one, frame.rig[name])}
    return fitting, len(found) - len(fitting)


def _fits(published: PublishedDepth, camera: Camera) -> bool:
    """Return whether the depth is of the view that `camera` has once it is rectified."""
    height, width = published.depth.shape
    return np.allclose(published.K, camera.rectified(width, height).K, rtol=FOCAL_TOLERANCE)
