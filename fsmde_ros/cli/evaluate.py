"""`fsmde evaluate`: how good the depth is, beside two baselines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from fsmde_ros.cli.options import FramesOption, RootOption, SourceOption, parse_frames


def evaluate(
    source: SourceOption = None,
    root: RootOption = None,
    frames: FramesOption = ":",
    model: Annotated[Optional[Path], typer.Option(help="ONNX file. Default: the shipped student.")] = None,  # noqa: UP045
    engine: Annotated[str, typer.Option(help="auto, onnxruntime, openvino or torch.")] = "auto",
    protocol: Annotated[str, typer.Option(help="surrounddepth.")] = "surrounddepth",
    cap: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Largest true depth that is measured, metres. Default: 80, on DDAD 200."),
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: the engine's own choice.")] = 0,
    baselines: Annotated[bool, typer.Option(help="Score a constant depth and the ground plane too.")] = True,
    json_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--json", metavar="FILE", help="Write the numbers there."),
    ] = None,
) -> None:
    """Score the model's metric depth against the lidar of a recording."""
    from contextlib import closing

    from rich.console import Console

    from fsmde_core.engines import load_engine
    from fsmde_core.errors import FsmdeError
    from fsmde_core.evaluation.predictors import ConstantDepth, GroundPlane, ModelPredictor, Predictor
    from fsmde_core.evaluation.protocol import make_protocol
    from fsmde_core.evaluation.report import to_json, to_table
    from fsmde_core.evaluation.run import evaluate as run
    from fsmde_core.model import default_model_path
    from fsmde_core.pipeline import Pipeline
    from fsmde_ros.cli.recordings import frame_count, open_recording, progress_bar

    if json_file is not None and (json_file.is_dir() or not json_file.parent.is_dir()):
        raise FsmdeError(f"--json {json_file} must name a file in an existing folder")
    span = parse_frames(frames)
    recording = open_recording(source, root)
    rules = make_protocol(protocol, recording.name, cap)
    loaded = load_engine(engine, model or default_model_path(), threads, len(recording.rig.cameras))
    with closing(Pipeline(loaded, threads)) as pipeline:
        student = ModelPredictor(pipeline)
        predictors: list[Predictor] = [student, ConstantDepth(), GroundPlane()] if baselines else [student]
        with progress_bar() as progress:
            task = progress.add_task(f"Evaluating {recording.name}", total=frame_count(recording, span))
            evaluation = run(recording, predictors, rules, span, lambda: progress.advance(task))
    document = to_json(evaluation, student)
    Console().print(to_table(evaluation))
    latency = document["latency_ms"]
    typer.echo(
        f"{document['model']}, {loaded.name} on {loaded.device}: preprocessing and inference of a frame "
        f"{latency['p50']:.1f} ms (p50), {latency['p99']:.1f} ms (p99)"
    )
    if json_file is not None:
        json_file.write_text(json.dumps(document, indent=2) + "\n")
