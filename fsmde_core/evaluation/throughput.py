"""Measures how fast an evaluation is beside the engine that it waits for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.predictors.predictors import ModelPredictor, Predictor
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.records import frame_records
from fsmde_core.sources.registry import FrameRange
from fsmde_core.sources.source import Source

FRAMES, ROUNDS = 20, 5
"""At most so many of the frames are timed, so often; the median counts."""


def measure_throughput(
    source: Source, predictors: Sequence[Predictor], protocol: EvaluationProtocol, frames: FrameRange
) -> dict[str, float]:
    """Time evaluation and bare inference of the same frames, in turns.

    Args:
        source, predictors, protocol: As for `frame_records`, with the model among the predictors.
        frames: The first FRAMES of these are timed.

    Returns:
        `throughput` of the result document. frames_per_s: of the recording, all that is done with them included.
        samples_per_s: of those that have lidar, and so are decoded and predicted. engine_frames_per_s: inference
        alone, images rectified and in memory. ratio: the first to the last.

    Raises:
        FsmdeError: No frame has lidar.
    """
    model = next(predictor for predictor in predictors if isinstance(predictor, ModelPredictor))
    timed = range(*slice(*frames).indices(len(source)))[:FRAMES]
    start, stop = timed.start, timed.stop
    loaded = list(source.frames(start, stop))
    sampled = [frame for frame in loaded if frame.lidar is not None]
    if not sampled:
        raise FsmdeError(
            f"none of the frames {start}:{stop} of {source.name} has lidar; choose others for the throughput"
        )
    images = [model.rectify(frame)[0] for frame in sampled]
    timings = []
    for _ in range(ROUNDS):
        records = frame_records(source, predictors, protocol, (start, stop))
        timings.append((_seconds(records), _seconds(map(model.pipeline.infer, images))))
    whole, engine = (float(np.median(seconds)) for seconds in zip(*timings, strict=True))
    rates = {"frames_per_s": len(loaded) / whole, "samples_per_s": len(sampled) / whole}
    engine_rate = len(sampled) / engine
    return {**rates, "engine_frames_per_s": engine_rate, "ratio": rates["frames_per_s"] / engine_rate}


def _seconds(work: Iterator[object]) -> float:
    start = time.perf_counter()
    deque(work, maxlen=0)
    return time.perf_counter() - start
