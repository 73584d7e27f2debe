"""How fast an evaluation is beside the engine that it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.predictors.predictors import ModelPredictor, Predictor
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.run import frame_records
from fsmde_core.sources.selection import FrameRange
from fsmde_core.sources.source import Source

FRAMES, ROUNDS = 20, 5
"""Of the span at most, and how often; the median counts."""


def measure_throughput(
    source: Source, predictors: Sequence[Predictor], protocol: EvaluationProtocol, span: FrameRange
) -> dict[str, float]:
    """`throughput` of the result document: evaluation and bare inference of the same frames, in turns.

    frames_per_s: of the recording, all that is done with them included. samples_per_s: of those that have lidar, and so
    are decoded and predicted. engine_frames_per_s: inference alone, images rectified and in memory. ratio: the first to
    the last. FsmdeError where no frame has lidar.
    """
    model = next(predictor for predictor in predictors if isinstance(predictor, ModelPredictor))
    first = range(*slice(*span).indices(len(source)))[:FRAMES]
    start, stop = first.start, first.stop
    frames = list(source.frames(start, stop))
    sampled = [frame for frame in frames if frame.lidar is not None]
    if not sampled:
        raise FsmdeError(
            f"none of the frames {start}:{stop} of {source.name} has lidar; choose others for the throughput"
        )
    images = [model.rectify(frame)[0] for frame in sampled]
    evaluation = partial(_exhaust, source, predictors, protocol, (start, stop))
    taken = [
        (_seconds(evaluation), _seconds(lambda: [model.pipeline.infer(one) for one in images])) for _ in range(ROUNDS)
    ]
    whole, engine = (float(np.median(seconds)) for seconds in zip(*taken, strict=True))
    rates = {"frames_per_s": len(frames) / whole, "samples_per_s": len(sampled) / whole}
    engine_rate = len(sampled) / engine
    return {**rates, "engine_frames_per_s": engine_rate, "ratio": rates["frames_per_s"] / engine_rate}


def _exhaust(source: Source, predictors: Sequence[Predictor], protocol: EvaluationProtocol, span: FrameRange) -> None:
    for _ in frame_records(source, predictors, protocol, span):
        pass


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
