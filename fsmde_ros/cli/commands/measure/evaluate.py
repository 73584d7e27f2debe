"""`fsmde evaluate`: how good the depth is, beside two baselines."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fsmde_core.errors import FsmdeError
from fsmde_ros.cli.options import (
    BaselinesOption,
    CapOption,
    EngineOption,
    FramesOption,
    MasksOption,
    ModelOption,
    ProtocolOption,
    RootOption,
    ScalingOption,
    SourceOption,
    ThreadsOption,
    check_output,
)

if TYPE_CHECKING:
    from fsmde_core.evaluation.distributed.shard import EvaluationJob
    from fsmde_core.evaluation.evaluate import Records
    from fsmde_core.evaluation.predictors.predictors import Predictor
    from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
    from fsmde_core.evaluation.results.partial import PartialResult
    from fsmde_core.sources.source import Source


def evaluate(
    source: SourceOption = None,
    root: RootOption = None,
    frames: FramesOption = ":",
    model: ModelOption = None,
    engine: EngineOption = "auto",
    protocol: ProtocolOption = "surrounddepth",
    cap: CapOption = None,
    scaling: ScalingOption = "none",
    flip: Annotated[bool, typer.Option("--flip", help="Average with the prediction of the mirrored images.")] = False,
    masks: MasksOption = None,
    threads: ThreadsOption = 0,
    baselines: BaselinesOption = True,
    json_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--json", metavar="FILE", help="Write the numbers there; an interrupted run goes on from there."),
    ] = None,
    throughput: Annotated[
        bool, typer.Option("--throughput", help="Also measure the evaluation's rate beside the engine's own.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew where an interrupted run would go on.")] = False,
    ray: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="ADDRESS", help="Spread the frames over this Ray cluster; local: over this machine."),
    ] = None,
) -> None:
    """Score the model's metric depth against the lidar of a recording."""
    from contextlib import closing
    from functools import partial

    from fsmde_core.engines import load_engine
    from fsmde_core.engines.model import default_model_path
    from fsmde_core.evaluation.distributed.shard import EvaluationJob, load_predictors
    from fsmde_core.evaluation.predictors.predictors import model_and_baselines
    from fsmde_core.evaluation.protocols.masks import load_masks
    from fsmde_core.evaluation.protocols.surrounddepth import make_protocol
    from fsmde_core.evaluation.results.document import head
    from fsmde_core.evaluation.results.partial import PartialResult
    from fsmde_core.evaluation.throughput import measure_throughput
    from fsmde_core.pipeline.pipeline import Pipeline
    from fsmde_core.sources import open_source
    from fsmde_core.sources.selection import open_recording, parse_frames, recording_place
    from fsmde_ros.cli.results import print_result

    check_output("--json", json_file)
    _check_combination(protocol, flip, ray, throughput)
    span = parse_frames(frames)
    recording = open_recording(source, root)
    kind, place = recording_place(source, recording)
    rules = make_protocol(protocol, recording.name, cap, scaling, load_masks(masks, recording.rig) if masks else None)
    loaded = load_engine(engine, model or default_model_path(), threads, len(recording.rig.cameras))
    asked = head(recording, kind, place, span, rules, loaded, flip)
    paths = {"root": place and str(place.resolve()), "masks": masks and str(masks.resolve())}
    settings = {**asked, **paths, "baselines": baselines}
    result = None if json_file is None else PartialResult(json_file, settings, fresh)
    with closing(Pipeline(loaded, threads)) as pipeline:
        predictors = model_and_baselines(pipeline, flip, baselines)
        if throughput:
            asked["throughput"] = measure_throughput(recording, predictors, rules, span)
        loading = partial(load_predictors, model and model.absolute(), asked, baselines)
        job = EvaluationJob(partial(open_source, kind, place and place.absolute()), loading, rules, threads or 1)
        with _records(ray, job, recording, predictors) as records:
            document = _run(recording, rules, span, asked, records, result)
    print_result(document)


def _check_combination(protocol: str, flip: bool, ray: str | None, throughput: bool) -> None:
    if flip and protocol == "vfdepth":
        raise FsmdeError("protocol vfdepth knows no flip averaging; leave out --flip or use surrounddepth")
    if ray is not None and throughput:
        raise FsmdeError("--throughput is of one process; leave out --ray")


def _records(
    ray: str | None, job: EvaluationJob, recording: Source, predictors: Sequence[Predictor]
) -> AbstractContextManager[Records]:
    """Made by this process, or by Ray's workers."""
    from contextlib import nullcontext
    from functools import partial

    from fsmde_core.evaluation.distributed.ray import ray_records
    from fsmde_core.evaluation.run import frame_records

    if ray is None:
        return nullcontext(partial(frame_records, recording, predictors, job.protocol))
    return ray_records(ray, job, len(recording))


def _run(
    recording: Source,
    rules: EvaluationProtocol,
    span: tuple[int, int | None],
    asked: dict[str, Any],
    records: Records,
    result: PartialResult | None,
) -> dict[str, Any]:
    """The result document."""
    from fsmde_core.evaluation.evaluate import complete
    from fsmde_core.sources.selection import frame_count
    from fsmde_ros.cli.progress import progress_bar

    with progress_bar() as progress:
        task = progress.add_task(f"Evaluating {recording.name}", total=frame_count(recording, span))
        return complete(recording, rules, span, asked, records, result, lambda: progress.advance(task))
