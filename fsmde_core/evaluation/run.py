"""Evaluation of several predictors over one recording: loading, inference and scoring side by side, frame by frame."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.steadiness import Moment, moment
from fsmde_core.evaluation.predictors.predictors import MODEL, Prediction, Predictor
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.results.record import FrameRecord
from fsmde_core.evaluation.results.summary import Scores, Summary
from fsmde_core.evaluation.score import score_frame
from fsmde_core.frames import Frame
from fsmde_core.sources.selection import FrameRange
from fsmde_core.sources.source import Source

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Evaluation:
    """scores: by predictor, in the order they were given. samples: frames with truth, all predictors saw the same."""

    source: str
    protocol: EvaluationProtocol
    samples: int
    scores: dict[str, Scores]


def evaluate(
    source: Source, predictors: Sequence[Predictor], protocol: EvaluationProtocol, span: FrameRange = (0, None)
) -> Evaluation:
    """Score `predictors` on the frames of `span` that carry lidar; for errors see `check_measured`."""
    summary = Summary(protocol, source.rig)
    for record in frame_records(source, predictors, protocol, span):
        summary.add(record)
    summary.finish()
    check_measured(summary, source, span)
    return Evaluation(source.name, protocol, summary.samples, summary.scores)


def check_measured(summary: Summary, source: Source, span: FrameRange) -> None:
    """Raise FsmdeError when no frame of the span had lidar, or lidar that falls into an image within the range."""
    if not summary.scores:
        asked = f"{span[0]}:{'' if span[1] is None else span[1]} of {source.name}"
        raise FsmdeError(
            f"nothing to measure in frames {asked}: {summary.frames} read, {summary.samples} with lidar, "
            f"none with a point within the range measured; choose others of its {len(source)} frames"
            + "".join(f" ({note})" for note in source.notes)
        )


def frame_records(
    source: Source,
    predictors: Sequence[Predictor],
    protocol: EvaluationProtocol,
    span: FrameRange = (0, None),
    after: int | None = None,
    threads: int = 0,
) -> Iterator[FrameRecord]:
    """One record per frame of `span`, in order. Only frames with lidar are decoded and predicted.

    Files are read, images decoded and scores taken on other threads while the predictors run on the caller's; only a
    few frames are in memory. after: frames up to this index are predicted, so that steadiness has its frame before,
    but yield no record. threads: that decode and score, 0 for one more than the CPU cores that this process may use:
    one of them as a rule waits for the pipeline's own, which decode.
    """
    workers = threads or len(os.sched_getaffinity(0)) + 1
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(workers) as pool:
        frames = _read_ahead(reader, source.frames(*span))
        prepared = _ahead(pool, lambda frame: _prepare(frame, predictors), frames, workers)
        scored = _ahead(pool, lambda call: call(), _predicted(prepared, predictors, protocol, after), workers)
        yield from scored


_Prepared = tuple[Frame, dict[str, Callable[[], Mapping[str, Prediction]]]]


def _prepare(frame: Frame, predictors: Sequence[Predictor]) -> _Prepared:
    if frame.lidar is None:
        return frame, {}
    return frame, {predictor.name: predictor.prepare(frame) for predictor in predictors}


def _predicted(
    prepared: Iterable[_Prepared], predictors: Sequence[Predictor], protocol: EvaluationProtocol, after: int | None
) -> Iterator[Callable[[], FrameRecord]]:
    """Predict, one frame after the other; what is left to do is a call that gives the record."""
    previous: Moment | None = None
    for frame, calls in prepared:
        predictions = {name: call() for name, call in calls.items()}
        took_ms = next((p.took_ms for p in predictors if p.name == MODEL), None) if calls else None
        if after is None or frame.index > after:
            yield _scoring(frame, predictions, protocol, previous, took_ms)
        if MODEL in predictions:
            previous = moment(frame, predictions[MODEL])


def _scoring(
    frame: Frame, predictions: Any, protocol: EvaluationProtocol, previous: Moment | None, took_ms: float | None
) -> Callable[[], FrameRecord]:
    return lambda: replace(score_frame(frame, predictions, protocol, previous), took_ms=took_ms)


def _read_ahead(pool: ThreadPoolExecutor, items: Iterator[T]) -> Iterator[T]:
    """The items, the next one being fetched meanwhile."""
    end = object()
    pending = pool.submit(next, items, end)
    while (item := pending.result()) is not end:
        pending = pool.submit(next, items, end)
        yield item  # type: ignore[misc]


def _ahead(pool: ThreadPoolExecutor, function: Callable[[T], U], items: Iterator[T], depth: int) -> Iterator[U]:
    """`function` of each item, in order, up to `depth` of them at work meanwhile; an error comes in its order, too."""
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
