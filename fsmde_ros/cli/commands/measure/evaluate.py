"""Implements `fsmde evaluate`: how good the depth is, beside two baselines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fsmde_ros.cli import options
from fsmde_ros.cli.commands.measure import scoring_options

if TYPE_CHECKING:
    from fsmde_core.evaluation.results.record import FrameRecord


@options.recording_options
def evaluate(
    recording: options.RecordingOptions,
    frames: options.FramesOption = ":",
    model: options.ModelOption = None,
    engine: options.EngineOption = "auto",
    protocol: scoring_options.ProtocolOption = "surrounddepth",
    cap: scoring_options.CapOption = None,
    scaling: scoring_options.ScalingOption = "none",
    flip: Annotated[bool, typer.Option("--flip", help="Average with the prediction of the mirrored images.")] = False,
    masks: scoring_options.MasksOption = None,
    threads: options.ThreadsOption = 0,
    baselines: scoring_options.BaselinesOption = True,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the numbers there; an interrupted run goes on from there."),
    ] = None,
    throughput: Annotated[
        bool, typer.Option("--throughput", help="Also measure the evaluation's rate beside the engine's own.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew where an interrupted run would go on.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Spread the frames over this Ray cluster; local: over this machine."),
    ] = None,
) -> None:
    """Score the model's metric depth against the lidar of a recording."""
    from fsmde_core.evaluation.evaluate import EvaluationSettings
    from fsmde_core.evaluation.evaluate import evaluate as evaluate_recording
    from fsmde_core.sources.registry import parse_frames

    options.check_output("--json", json_file)
    settings = EvaluationSettings(
        source=recording.source,
        root=recording.root,
        reading=recording.reading,
        frames=parse_frames(frames),
        model=model,
        engine=engine,
        threads=threads,
        protocol=protocol,
        cap_m=cap,
        scaling=scaling,
        masks=masks,
        flip=flip,
        baselines=baselines,
        throughput=throughput,
        result=json_file,
        fresh=fresh,
        ray=ray,
    )
    scoring_options.print_result(evaluate_recording(settings, _track))


def _track(records: Iterable[FrameRecord], description: str, total: int) -> Iterator[FrameRecord]:
    from fsmde_ros.cli.progress import progress_bar

    with progress_bar() as progress:
        yield from progress.track(records, total=total, description=description)
