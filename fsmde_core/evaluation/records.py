"""Makes the records of a recording's frames: loading, inference and scoring run side by side, frame by frame."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from fsmde_core.evaluation.measures.steadiness import DepthViews, depth_views
from fsmde_core.evaluation.predictors.predictors import MODEL, Prediction, Predictor
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.results.record import FrameRecord
from fsmde_core.evaluation.score import score_frame
from fsmde_core.frames import Frame
from fsmde_core.sources.registry import FrameRange
from fsmde_core.sources.source import Source

T = TypeVar("T")
U = TypeVar("U")


def frame_records(
    source: Source,
    predictors: Sequence[Predictor],
    protocol: EvaluationProtocol,
    frames: FrameRange = (0, None),
    after: int | None = None,
    threads: int = 0,
) -> Iterator[FrameRecord]:
    """Make one record per frame; only frames with lidar are decoded and predicted.

    Files are read, images decoded and scores taken on other threads while the predictors run on the caller's; only a
    few frames are in memory.

    Args:
        source: The recording.
        predictors: All are measured at the same pixels.
        protocol: How they are scored.
        frames: Which frames are read.
        after: Frames up to this index are predicted, so that steadiness has its frame before, but yield no record.
        threads: Number that decode and score; 0 for one more than the CPU cores that this process may use: one of them
            as a rule waits for the pipeline's own, which decode.

    Yields:
        The records, in the order of the frames.
    """
    workers = threads or len(os.sched_getaffinity(0)) + 1
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(workers) as pool:
        loaded = _read_ahead(reader, source.frames(*frames))
        prepared = _map_ahead(pool, lambda frame: _prepare(frame, predictors), loaded, workers)
        yield from _map_ahead(pool, lambda call: call(), _predict(prepared, predictors, protocol, after), workers)


_Prepared = tuple[Frame, dict[str, Callable[[], Mapping[str, Prediction]]]]


def _prepare(frame: Frame, predictors: Sequence[Predictor]) -> _Prepared:
    if frame.lidar is None:
        return frame, {}
    return frame, {predictor.name: predictor.prepare(frame) for predictor in predictors}


def _predict(
    prepared: Iterable[_Prepared], predictors: Sequence[Predictor], protocol: EvaluationProtocol, after: int | None
) -> Iterator[Callable[[], FrameRecord]]:
    """Predict one frame after the other, and leave the scoring to the calls that return the records."""
    previous: DepthViews | None = None
    for frame, calls in prepared:
        predictions = {name: call() for name, call in calls.items()}
        latency_ms = next((p.latency_ms for p in predictors if p.name == MODEL), None) if calls else None
        if after is None or frame.index > after:
            yield partial(score_frame, frame, predictions, protocol, previous, latency_ms)
        if MODEL in predictions:
            previous = depth_views(frame, predictions[MODEL])


def _read_ahead(pool: ThreadPoolExecutor, items: Iterator[T]) -> Iterator[T]:
    """Yield the items while the next one is being read."""
    end = object()
    pending = pool.submit(next, items, end)
    while (item := pending.result()) is not end:
        pending = pool.submit(next, items, end)
        yield item  # type: ignore[misc]


def _map_ahead(pool: ThreadPoolExecutor, function: Callable[[T], U], items: Iterator[T], depth: int) -> Iterator[U]:
    """Yield `function` of each item, `depth` of them computed ahead; an error comes in its order, too."""
    pending: deque[Future[U]] = deque()
    failure: Exception | None = None
    while failure is None:
        try:
            pending.append(pool.submit(function, next(items)))
        except StopIteration:
            break
        except Exception as error:
            failure = error
        if len(pending) > depth:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
    if failure is not None:
        raise failure
