"""`fsmde replay`: how good the depth is that the running node publishes, and what it drops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

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
    check_output,
)

if TYPE_CHECKING:
    from fsmde_ros.client.replay import NodeSettings


def replay(
    source: SourceOption = None,
    root: RootOption = None,
    frames: FramesOption = ":",
    hz: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Sets per second in real time. Default: each set waits for the node's answer to the last."),
    ] = None,
    raw: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option("--raw/--compressed", help="Images as rgb8 pixels or as JPEG. Default: as they were recorded."),
    ] = None,
    running: Annotated[
        bool, typer.Option("--running", help="Take the node that runs already instead of starting one.")
    ] = False,
    namespace: Annotated[str, typer.Option(help="With --running: the node's namespace.")] = "",
    model: ModelOption = None,
    engine: EngineOption = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of the node; 0: its own choice.")] = 0,
    protocol: ProtocolOption = "surrounddepth",
    cap: CapOption = None,
    scaling: ScalingOption = "none",
    masks: MasksOption = None,
    baselines: BaselinesOption = True,
    json_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--json", metavar="FILE", help="Write the numbers there."),
    ] = None,
) -> None:
    """Play a recording into the node over DDS, score what it publishes against the lidar, and count the drops."""
    from fsmde_core.evaluation.evaluate import complete
    from fsmde_core.evaluation.predictors.predictors import ConstantDepth, GroundPlane, Predictor
    from fsmde_core.evaluation.protocols.masks import load_masks
    from fsmde_core.evaluation.protocols.surrounddepth import make_protocol
    from fsmde_core.evaluation.results.document import head, write_document
    from fsmde_core.evaluation.results.drops import DropCounter
    from fsmde_core.sources.selection import frame_count, open_recording, parse_frames, recording_place
    from fsmde_ros.cli.progress import progress_bar
    from fsmde_ros.cli.results import print_result
    from fsmde_ros.client.replay import NodeSettings, ReplaySettings, open_replay
    from fsmde_ros.client.replay_score import published_records

    check_output("--json", json_file)
    started = NodeSettings(engine, model, threads)
    _check_running(running, namespace, started)
    span = parse_frames(frames)
    recording = open_recording(source, root)
    kind, place = recording_place(source, recording)
    rules = make_protocol(protocol, recording.name, cap, scaling, load_masks(masks, recording.rig) if masks else None)
    compressed = None if raw is None else not raw
    settings = ReplaySettings(span, None if running else started, hz, compressed, namespace)
    others: list[Predictor] = [ConstantDepth(), GroundPlane()] if baselines else []
    drops = DropCounter(recording.rig.names)
    with progress_bar() as progress:
        task = progress.add_task("Waiting for the node", total=frame_count(recording, span))
        with open_replay(recording, settings) as found:
            progress.update(task, description=f"Replaying {recording.name}")
            asked = head(recording, kind, place, span, rules, found.engine, flip=False)
            records = published_records(found.passages(), others, rules, drops)
            document = complete(
                recording, rules, span, asked, lambda *_: records, on_frame=lambda: progress.advance(task)
            )
    document["drops"] = drops.document(hz)
    if json_file is not None:
        write_document(json_file, document)
    print_result(document)


def _check_running(running: bool, namespace: str, started: NodeSettings) -> None:
    if running and started != type(started)():
        raise FsmdeError("--model, --engine and --threads are of a node that is started here: leave out --running")
    if namespace and not running:
        raise FsmdeError("--namespace is that of a node that runs already: add --running")
