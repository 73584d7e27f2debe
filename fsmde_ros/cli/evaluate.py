"""`fsmde evaluate`: how good the depth is, beside two baselines."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fsmde_ros.cli.options import FramesOption, RootOption, SourceOption, parse_frames

if TYPE_CHECKING:
    from fsmde_core.evaluation.complete import Records
    from fsmde_core.evaluation.partial import PartialResult
    from fsmde_core.evaluation.predictors import Predictor
    from fsmde_core.evaluation.rules import EvaluationProtocol
    from fsmde_core.evaluation.shard import Job
    from fsmde_core.sources.base import Source


def evaluate(
    source: SourceOption = None,
    root: RootOption = None,
    frames: FramesOption = ":",
    model: Annotated[Optional[Path], typer.Option(help="ONNX file. Default: the shipped student.")] = None,  # noqa: UP045
    engine: Annotated[str, typer.Option(help="auto, onnxruntime, openvino or torch.")] = "auto",
    protocol: Annotated[str, typer.Option(help="surrounddepth or vfdepth.")] = "surrounddepth",
    cap: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Largest true depth that is measured, metres. Default: 80, on DDAD 200."),
    ] = None,
    scaling: Annotated[str, typer.Option(help="none, or median: predictions are scaled to the truth.")] = "none",
    flip: Annotated[bool, typer.Option("--flip", help="Average with the prediction of the mirrored images.")] = False,
    masks: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="<camera>.png each: what is black there is not measured."),
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: the engine's own choice.")] = 0,
    baselines: Annotated[bool, typer.Option(help="Score a constant depth and the ground plane too.")] = True,
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

    from rich.console import Console

    from fsmde_core.engines import load_engine
    from fsmde_core.errors import FsmdeError
    from fsmde_core.evaluation.document import head
    from fsmde_core.evaluation.masks import load_masks
    from fsmde_core.evaluation.partial import PartialResult
    from fsmde_core.evaluation.predictors import model_and_baselines
    from fsmde_core.evaluation.protocol import make_protocol
    from fsmde_core.evaluation.report import to_lines, to_tables
    from fsmde_core.evaluation.shard import Job, load_predictors
    from fsmde_core.evaluation.throughput import measure_throughput
    from fsmde_core.model import default_model_path
    from fsmde_core.pipeline import Pipeline
    from fsmde_core.sources import open_source
    from fsmde_ros.cli.recordings import open_recording, recording_place

    if json_file is not None and (json_file.is_dir() or not json_file.parent.is_dir()):
        raise FsmdeError(f"--json {json_file} must name a file in an existing folder")
    if flip and protocol == "vfdepth":
        raise FsmdeError("protocol vfdepth knows no flip averaging; leave out --flip or use surrounddepth")
    if ray is not None and throughput:
        raise FsmdeError("--throughput is of one process; leave out --ray")
    span = parse_frames(frames)
    recording = open_recording(source, root)
    kind, place = recording_place(source, recording)
    rules = make_protocol(protocol, recording.name, cap, scaling, load_masks(masks, recording.rig) if masks else None)
    loaded = load_engine(engine, model or default_model_path(), threads, len(recording.rig.cameras))
    asked = head(recording, kind, place, span, rules, loaded, flip)
    result = None
    if json_file is not None:
        paths = {"root": place and str(place.resolve()), "masks": masks and str(masks.resolve())}
        result = PartialResult(json_file, {**asked, **paths, "baselines": baselines}, fresh)
    with closing(Pipeline(loaded, threads)) as pipeline:
        predictors = model_and_baselines(pipeline, flip, baselines)
        if throughput:
            asked["throughput"] = measure_throughput(recording, predictors, rules, span)
        loading = partial(load_predictors, model and model.absolute(), asked, baselines)
        job = Job(partial(open_source, kind, place and place.absolute()), loading, rules, threads or 1)
        with _records(ray, job, recording, predictors) as records:
            document = _run(recording, rules, span, asked, records, result)
    console = Console()
    for table in to_tables(document):
        console.print(table)
    for line in to_lines(document):
        console.print(line, highlight=False)


def _records(
    ray: str | None, job: Job, recording: Source, predictors: Sequence[Predictor]
) -> AbstractContextManager[Records]:
    """Made by this process, or by Ray's workers."""
    from contextlib import nullcontext
    from functools import partial

    from fsmde_core.evaluation.fleet import fleet
    from fsmde_core.evaluation.run import frame_records

    if ray is None:
        return nullcontext(partial(frame_records, recording, predictors, job.protocol))
    return fleet(ray, job, len(recording))


def _run(
    recording: Source,
    rules: EvaluationProtocol,
    span: tuple[int, int | None],
    asked: dict[str, Any],
    records: Records,
    result: PartialResult | None,
) -> dict[str, Any]:
    """The result document."""
    from fsmde_core.evaluation.complete import complete
    from fsmde_ros.cli.recordings import frame_count, progress_bar

    with progress_bar() as progress:
        task = progress.add_task(f"Evaluating {recording.name}", total=frame_count(recording, span))
        return complete(recording, rules, span, asked, records, result, lambda: progress.advance(task))
