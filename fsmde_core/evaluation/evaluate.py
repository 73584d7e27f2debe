"""Evaluates the model on a recording, from the settings to the result document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fsmde_core.engines import load_engine
from fsmde_core.engines.model import default_model_path
from fsmde_core.errors import FsmdeError, NothingJudgedError
from fsmde_core.evaluation.distributed.ray import WorkerReadings, distributed_records, ray_cluster
from fsmde_core.evaluation.distributed.shard import EvaluationJob, load_predictors
from fsmde_core.evaluation.predictors.predictors import Predictor, model_and_baselines
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.protocols.registry import load_masks, make_protocol
from fsmde_core.evaluation.records import frame_records
from fsmde_core.evaluation.results.document import EngineDescription, document_header
from fsmde_core.evaluation.results.partial import PartialResult, RecordMaker
from fsmde_core.evaluation.results.record import FrameRecord
from fsmde_core.evaluation.results.summary import Summary
from fsmde_core.evaluation.throughput import measure_throughput
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_core.rig.plausibility import rig_doubts
from fsmde_core.sources import open_source
from fsmde_core.sources.registry import FrameRange, frame_count, open_recording, recording_place
from fsmde_core.sources.source import Source

Track = Callable[[Iterable[FrameRecord], str, int], Iterable[FrameRecord]]
"""Passes records on and shows their progress, given a description and a total, as `rich.progress.track` does."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Says what is evaluated, how it is scored, and where the result goes.

    source, root, reading: kind, place and options as in `open_recording`.
    model: an ONNX file; None for the shipped student. threads: 0 for the engine's
    own choice. protocol, cap_m, scaling: as in `make_protocol`. masks: a folder for `load_masks`. flip: average with
    the prediction of the mirrored images. baselines: score them too. throughput: measure the evaluation's rate, too.
    result: file of the document, beside which an interrupted run goes on, unless `fresh`. ray: address of a Ray cluster
    that computes; None for this process.
    """

    source: str | None = None
    root: Path | None = None
    frames: FrameRange = (0, None)
    model: Path | None = None
    engine: str = "auto"
    threads: int = 0
    protocol: str = "surrounddepth"
    cap_m: float | None = None
    scaling: str = "none"
    masks: Path | None = None
    flip: bool = False
    baselines: bool = True
    throughput: bool = False
    result: Path | None = None
    fresh: bool = False
    ray: str | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.flip and self.protocol == "vfdepth":
            raise FsmdeError("protocol vfdepth has no flip averaging; leave out --flip or use surrounddepth")
        if self.ray is not None and self.throughput:
            raise FsmdeError("--throughput measures a single process; leave out --ray")


def evaluate(settings: EvaluationSettings, track: Track = lambda records, *_: records) -> dict[str, Any]:
    """Score the model's metric depth against the lidar of a recording, as `fsmde evaluate` does.

    Args:
        settings: All that the command takes.
        track: Shows the progress.

    Returns:
        The result document, which is also in the file `settings.result`.

    Raises:
        FsmdeError: Recording, model or settings cannot be used, or there is nothing to measure.
    """
    recording = open_recording(settings.source, settings.root, **settings.reading)
    kind, root = recording_place(settings.source, recording)
    masks, frames, threads = load_masks(settings.masks, recording.rig), settings.frames, settings.threads
    protocol = make_protocol(settings.protocol, recording.name, settings.cap_m, settings.scaling, masks)
    engine = load_engine(settings.engine, settings.model or default_model_path(), threads, len(recording.rig.cameras))
    described = EngineDescription.of(engine)
    header = document_header(recording, kind, root, frames, protocol, described, settings.flip, settings.reading)
    stored = _open_partial(settings, header, root)
    with closing(CpuPipeline(engine, threads)) as pipeline:
        predictors = model_and_baselines(pipeline, settings.flip, settings.baselines)
        if settings.throughput:
            header["throughput"] = measure_throughput(recording, predictors, protocol, frames)
        make_records: RecordMaker = partial(frame_records, recording, predictors, protocol)
        readings: WorkerReadings | None = None
        if settings.ray is not None:
            opened = partial(open_source, kind, root and root.absolute(), **_absolute(settings.reading))
            loaded = partial(load_predictors, settings.model and settings.model.absolute(), header, settings.baselines)
            job = EvaluationJob(opened, loaded, protocol, threads or 1)
            readings = WorkerReadings()
            make_records = partial(distributed_records, job, len(recording), readings=readings)
        with nullcontext() if settings.ray is None else ray_cluster(settings.ray, threads or 1):
            records = stored.resume(frames, make_records) if stored else make_records(frames, None)
            tracked = track(records, f"Evaluating {recording.name}", frame_count(recording, frames))
            document = result_document(recording, protocol, frames, header, tracked, stored, readings)
    check_judged(document)
    return document


def _absolute(reading: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.absolute() if isinstance(value, Path) else value for name, value in reading.items()}


def _open_partial(settings: EvaluationSettings, header: Mapping[str, Any], root: Path | None) -> PartialResult | None:
    if settings.result is None:
        return None
    paths = {"root": root and str(root.resolve()), "masks": settings.masks and str(settings.masks.resolve())}
    if rig := settings.reading.get("rig"):
        paths["rig"] = str(rig.resolve())
    return PartialResult(settings.result, {**header, **paths, "baselines": settings.baselines}, settings.fresh)


def result_document(
    source: Source,
    protocol: EvaluationProtocol,
    frames: FrameRange,
    header: Mapping[str, Any],
    records: Iterable[FrameRecord],
    stored: PartialResult | None = None,
    readings: WorkerReadings | None = None,
) -> dict[str, Any]:
    """Summarize records in a result document.

    Args:
        source, protocol, frames: What the records are of.
        header: As `document_header` returns it.
        records: In order of time.
        stored: Writes the document to its file, too.
        readings: What workers counted and noted who read the source; None where it was read here.

    Returns:
        The document: the header, the scores, what was read, and the notes. `check_judged` tells whether it has scores.

    Raises:
        FsmdeError: The document cannot be written.
    """
    summary = _summarize(source, protocol, records)
    reader = readings or source
    notes = [*reader.notes, *rig_doubts(source.rig), *summary.notes]
    if stored and stored.kept:
        notes.append(
            f"an interrupted run had read {stored.kept} frames, of which the counts of what was read know nothing"
        )
    if not summary.scores:
        notes.append(_nothing_measured(source, frames, summary))
    document = {**header, **summary.document(), "read": reader.counts.document(), "notes": notes}
    if stored:
        stored.finish(document)
    return document


def check_judged(document: Mapping[str, Any]) -> None:
    """Raise NothingJudgedError, with the reason, where a result document has no scores."""
    if document["mean"] is None:
        *notes, reason = document["notes"]
        raise NothingJudgedError(f"{reason}{''.join(f' ({note})' for note in notes)}")


def score_predictors(
    source: Source, predictors: Sequence[Predictor], protocol: EvaluationProtocol, frames: FrameRange = (0, None)
) -> Summary:
    """Score predictors side by side on the frames that carry lidar.

    Args:
        source, predictors, protocol, frames: As for `frame_records`.

    Returns:
        Their scores in `Summary.scores`, in the order of the predictors.

    Raises:
        NothingJudgedError: There is nothing to measure.
    """
    summary = _summarize(source, protocol, frame_records(source, predictors, protocol, frames))
    if not summary.scores:
        raise NothingJudgedError(_nothing_measured(source, frames, summary))
    return summary


def _summarize(source: Source, protocol: EvaluationProtocol, records: Iterable[FrameRecord]) -> Summary:
    summary = Summary(protocol, source.rig)
    for record in records:
        summary.add(record)
    summary.finish()
    return summary


def _nothing_measured(source: Source, frames: FrameRange, summary: Summary) -> str:
    selected = f"{frames[0]}:{'' if frames[1] is None else frames[1]} of {source.name}"
    return (
        f"nothing to measure in frames {selected}: {summary.frames} read, {summary.samples} with lidar, "
        f"none with a point within the range measured; choose others of its {len(source)} frames"
    )
