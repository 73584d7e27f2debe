"""What a node published, scored against the recording's lidar exactly as `fsmde evaluate` scores the model itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.steadiness import Moment, moment
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
    passages: Iterable[ReplayedFrame], baselines: Sequence[Predictor], protocol: EvaluationProtocol, drops: DropCounter
) -> Iterator[FrameRecord]:
    """One record per frame, of the images whose depth came back; `drops` counts the others. took_ms: through the node.

    Baselines are measured on the same images. Raises FsmdeError when there is lidar but never any depth beside it.
    """
    previous: Moment | None = None
    lost = 0
    for passage in passages:
        frame, depth, unlike = passage.frame, *_depth(passage)
        sampled = frame.lidar is not None
        drops.add(passage.sent, depth, sampled, unlike)
        if not sampled or not depth:
            lost += sampled
            yield FrameRecord(frame.index, {name: image.stamp_ns for name, image in frame.images.items()}, False)
            continue
        predictions = {MODEL: depth} | {one.name: _only(one.predict(frame), depth) for one in baselines}
        record = score_frame(frame, predictions, protocol, previous)
        yield replace(record, took_ms=passage.answers.get(TIMING))
        previous = moment(frame, depth)
    if lost and previous is None:
        raise FsmdeError(f"none of the {lost} frames with lidar has depth from the node that fits the recording")


def _only(predictions: Mapping[str, Prediction], cameras: Mapping[str, object]) -> dict[str, Prediction]:
    return {name: predictions[name] for name in cameras}


def _depth(passage: ReplayedFrame) -> tuple[dict[str, Prediction], int]:
    """The depth of each camera, in the order of the images; and how many are left out since they show another view."""
    frame = passage.frame
    there = {name: passage.answers[name] for name in frame.images if name in passage.answers}
    fitting = {name: Prediction(one.depth) for name, one in there.items() if _fits(one, frame.rig[name])}
    return fitting, len(there) - len(fitting)


def _fits(published: PublishedDepth, camera: Camera) -> bool:
    """Whether the depth is of the view that `camera` has once it is rectified."""
    height, width = published.depth.shape
    return np.allclose(published.K, camera.rectified(width, height).K, rtol=FOCAL_TOLERANCE)
