"""Evaluation of several predictors over one recording, one frame in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.metrics import Metrics
from fsmde_core.evaluation.predictors import Predictor
from fsmde_core.evaluation.protocol import EvaluationProtocol
from fsmde_core.frames import Frame
from fsmde_core.sources.base import Source


@dataclass(frozen=True)
class Scores:
    """One predictor's numbers: per camera in ring order, and their mean."""

    cameras: dict[str, Metrics]
    mean: Metrics


@dataclass(frozen=True)
class Evaluation:
    """scores: by predictor, in the order they were given. samples: frames with truth, all predictors saw the same."""

    source: str
    protocol: EvaluationProtocol
    samples: int
    scores: dict[str, Scores]


def evaluate(
    source: Source,
    predictors: Sequence[Predictor],
    protocol: EvaluationProtocol,
    span: tuple[int, int | None] = (0, None),
    on_frame: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Score `predictors` on the frames of `span` that carry lidar; `on_frame` is called after every frame.

    Raises FsmdeError when no frame of the span has lidar, or lidar that falls into an image within the range measured.
    """
    images: dict[str, dict[str, list[Metrics]]] = {
        predictor.name: {name: [] for name in source.rig.names} for predictor in predictors
    }
    seen = samples = 0
    for frame in source.frames(*span):
        seen += 1
        if frame.lidar is not None:
            samples += 1
            _score(frame, predictors, protocol, images)
        on_frame()
    measured = any(metrics for cameras in images.values() for metrics in cameras.values())
    if not measured:
        start, stop = span
        asked = f"{start}:{'' if stop is None else stop} of {source.name}"
        raise FsmdeError(
            f"nothing to measure in frames {asked}: {seen} read, {samples} with lidar, "
            f"none with a point within the range measured; choose others of its {len(source)} frames"
        )
    scores = {name: Scores(*protocol.summarise(cameras)) for name, cameras in images.items()}
    return Evaluation(source.name, protocol, samples, scores)


def _score(
    frame: Frame,
    predictors: Sequence[Predictor],
    protocol: EvaluationProtocol,
    images: dict[str, dict[str, list[Metrics]]],
) -> None:
    truth = {name: protocol.truth(frame, name) for name in frame.images}
    for predictor in predictors:
        for name, depth in predictor.predict(frame).items():
            try:
                metrics = protocol.measure(truth[name], depth)
            except FsmdeError as error:
                raise FsmdeError(f"{predictor.name}, camera '{name}' of frame {frame.index}: {error}") from error
            if metrics is not None:
                images[predictor.name][name].append(metrics)
