"""Evaluates a part of a recording by itself in one process of a cluster."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from fsmde_core.engines import load_engine
from fsmde_core.engines.base import Engine
from fsmde_core.engines.model import default_model_path
from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.steadiness import DepthViews, depth_views
from fsmde_core.evaluation.predictors.predictors import MODEL, Prediction, Predictor, model_and_baselines
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.records import frame_records
from fsmde_core.evaluation.results.document import EngineDescription, environment
from fsmde_core.evaluation.results.record import FrameRecord
from fsmde_core.frames import Frame
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_core.sources.counts import ReadingCounts
from fsmde_core.sources.registry import FrameRange
from fsmde_core.sources.source import Source

DECISIVE_KEYS = ("engine", "precision", "model_sha256", "package", "numpy", "opencv", "engine_version")
"""Keys of the result document's header in which a difference makes other numbers."""


@dataclass(frozen=True)
class EvaluationJob:
    """Holds what a process needs to take part: it calls `source` and `predictors` once, and keeps what they return.

    predictors: loads them for that source and a number of threads. threads: of one process.
    """

    source: Callable[[], Source]
    predictors: Callable[[Source, int], Sequence[Predictor]]
    protocol: EvaluationProtocol
    threads: int = 1


class Shard(NamedTuple):
    """Holds the records of a part, complete but for the steadiness of the first frame with lidar.

    worker, counts, notes: a name of the process, and what its source has counted and noted so far.
    first_index, first_views, last_views: index and depth of that frame, and depth of the last one; None where there is
    none. failure: the FsmdeError that ended it.
    """

    records: list[FrameRecord]
    first_index: int | None = None
    first_views: DepthViews | None = None
    last_views: DepthViews | None = None
    failure: str | None = None
    worker: str = ""
    counts: ReadingCounts = ReadingCounts()
    notes: Sequence[str] = ()


def evaluate_shard(packed: bytes, frames: FrameRange, after: int | None = None) -> Shard:
    # packed: a pickled EvaluationJob. frames, after: as in `frame_records`.
    try:
        job, source, predictors = _open_job(packed)
    except FsmdeError as error:
        return Shard([], failure=f"worker {socket.gethostname()} cannot take part: {error}")
    model = _BoundaryModel(next(predictor for predictor in predictors if predictor.name == MODEL))
    watched = [model if predictor.name == MODEL else predictor for predictor in predictors]
    records: list[FrameRecord] = []
    failure = None
    try:
        for record in frame_records(source, watched, job.protocol, frames, after, job.threads):
            records.append(record)  # one by one: those before a failure count
    except FsmdeError as error:
        failure = str(error)
    worker = f"{socket.gethostname()} {os.getpid()}"
    boundary = model.first_index, model.first_views, model.last_views
    return Shard(records, *boundary, failure, worker, source.counts, list(source.notes))


@lru_cache(maxsize=1)
def _open_job(packed: bytes) -> tuple[EvaluationJob, Source, Sequence[Predictor]]:
    job: EvaluationJob = pickle.loads(packed)
    cv2.setNumThreads(job.threads)
    source = job.source()
    return job, source, job.predictors(source, job.threads)


class _BoundaryModel(Predictor):
    """Keeps what the model predicts first and last."""

    name = MODEL

    def __init__(self, model: Predictor) -> None:
        self._model = model
        self.first_index: int | None = None
        self.first_views: DepthViews | None = None
        self.last_views: DepthViews | None = None

    def predict(self, frame: Frame) -> Mapping[str, Prediction]:
        return self.prepare(frame)()

    def prepare(self, frame: Frame) -> Callable[[], Mapping[str, Prediction]]:
        return partial(self._predict, frame, self._model.prepare(frame))

    def _predict(self, frame: Frame, call: Callable[[], Mapping[str, Prediction]]) -> Mapping[str, Prediction]:
        predictions = call()
        self.latency_ms = self._model.latency_ms
        self.last_views = depth_views(frame, predictions)
        if self.first_index is None:
            self.first_index, self.first_views = frame.index, self.last_views
        return predictions


def load_predictors(
    model: Path | None, header: Mapping[str, Any], baselines: bool, source: Source, threads: int
) -> list[Predictor]:
    # FsmdeError where the model cannot run as the header of the evaluation says
    engine = load_engine(header["engine"], model or default_model_path(), threads, len(source.rig.cameras))
    check_same_numbers(engine, header)
    return model_and_baselines(CpuPipeline(engine, threads), header["flip"], baselines)


def check_same_numbers(engine: Engine, header: Mapping[str, Any]) -> None:
    # FsmdeError when this process would compute other numbers than the one that wrote the header
    ours = {**asdict(EngineDescription.of(engine)), **environment(engine.name)}
    theirs = {**header, **header["environment"]}
    different = [f"{key} {ours[key]} instead of {theirs[key]}" for key in DECISIVE_KEYS if ours[key] != theirs[key]]
    if different:
        raise FsmdeError(
            f"it would compute with {', '.join(different)}, so its numbers would be others; start the evaluation on a "
            "machine like it, with the same installation"
        )
