"""A part of a recording, evaluated by itself in one process of a fleet."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from fsmde_core.engines import load_engine
from fsmde_core.engines.base import Engine
from fsmde_core.engines.model import default_model_path
from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.steadiness import Moment, moment
from fsmde_core.evaluation.predictors.predictors import MODEL, Prediction, Predictor, model_and_baselines
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.results.document import environment
from fsmde_core.evaluation.results.record import FrameRecord
from fsmde_core.evaluation.run import frame_records
from fsmde_core.frames import Frame
from fsmde_core.pipeline.pipeline import Pipeline
from fsmde_core.sources.selection import FrameRange
from fsmde_core.sources.source import Source

DECISIVE = ("engine", "precision", "model_sha256", "package", "numpy", "opencv", "engine_version")
"""Keys of the result document's head in which a difference makes other numbers."""


@dataclass(frozen=True)
class EvaluationJob:
    """What a process needs to take part: it calls `source` and `predictors` once, and keeps what they return.

    predictors: loads them for that source and a number of threads. threads: of one process.
    """

    source: Callable[[], Source]
    predictors: Callable[[Source, int], Sequence[Predictor]]
    protocol: EvaluationProtocol
    threads: int = 1


class Shard(NamedTuple):
    """Of a part: its records, complete but for the steadiness of the first frame with lidar.

    first: index and moment of that frame, last: the moment of the last one; None where there is none. failure: the
    FsmdeError that ended it.
    """

    records: list[FrameRecord]
    first: tuple[int, Moment] | None = None
    last: Moment | None = None
    failure: str | None = None


def evaluate_shard(packed: bytes, span: FrameRange, after: int | None = None) -> Shard:
    """The frames of `span` under a pickled Job; after: see `run.frame_records`."""
    try:
        job, source, predictors = _opened(packed)
    except FsmdeError as error:
        return Shard([], failure=f"worker {socket.gethostname()} cannot take part: {error}")
    ends = _Ends()
    watched = [_Watched(predictor, ends) if predictor.name == MODEL else predictor for predictor in predictors]
    records: list[FrameRecord] = []
    failure = None
    try:
        for record in frame_records(source, watched, job.protocol, span, after, job.threads):
            records.append(record)  # one by one: those before a failure count
    except FsmdeError as error:
        failure = str(error)
    return Shard(records, ends.first, ends.last, failure)


@lru_cache(maxsize=1)
def _opened(packed: bytes) -> tuple[EvaluationJob, Source, Sequence[Predictor]]:
    job: EvaluationJob = pickle.loads(packed)
    cv2.setNumThreads(job.threads)
    source = job.source()
    return job, source, job.predictors(source, job.threads)


@dataclass
class _Ends:
    """See `Shard`."""

    first: tuple[int, Moment] | None = None
    last: Moment | None = None


class _Watched(Predictor):
    """The model; what it predicts first and last goes into `ends`."""

    name = MODEL

    def __init__(self, model: Predictor, ends: _Ends) -> None:
        self._model, self._ends = model, ends

    def predict(self, frame: Frame) -> Mapping[str, Prediction]:
        """See `Predictor.predict`."""
        return self.prepare(frame)()

    def prepare(self, frame: Frame) -> Callable[[], Mapping[str, Prediction]]:
        """See `Predictor.prepare`."""
        return partial(self._predict, frame, self._model.prepare(frame))

    def _predict(self, frame: Frame, call: Callable[[], Mapping[str, Prediction]]) -> Mapping[str, Prediction]:
        predictions = call()
        self.took_ms = self._model.took_ms
        self._ends.last = moment(frame, predictions)
        if self._ends.first is None:
            self._ends.first = frame.index, self._ends.last
        return predictions


def load_predictors(
    model: Path | None, head: Mapping[str, Any], baselines: bool, source: Source, threads: int
) -> list[Predictor]:
    """The predictors of the evaluation with this `document.head`; FsmdeError where its model cannot run as it says."""
    engine = load_engine(head["engine"], model or default_model_path(), threads, len(source.rig.cameras))
    check_same(engine, head)
    return model_and_baselines(Pipeline(engine, threads), head["flip"], baselines)


def check_same(engine: Engine, head: Mapping[str, Any]) -> None:
    """Raise FsmdeError when this process would compute other numbers than the one that wrote `head`."""
    ours = {"engine": engine.name, "precision": engine.precision, "model_sha256": engine.info.sha256}
    ours |= environment(engine.name)
    theirs = {**head, **head["environment"]}
    different = [f"{key} {ours[key]} instead of {theirs[key]}" for key in DECISIVE if ours[key] != theirs[key]]
    if different:
        raise FsmdeError(
            f"it would compute with {', '.join(different)}, so its numbers would be others; start the evaluation on a "
            "machine like it, with the same installation"
        )
