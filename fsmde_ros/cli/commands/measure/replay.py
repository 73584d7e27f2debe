"""Implements `fsmde replay`: how good the depth is that the running node publishes, and what it drops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fsmde_core.errors import FsmdeError
from fsmde_ros.cli import options
from fsmde_ros.cli.commands.measure import scoring_options

if TYPE_CHECKING:
    from fsmde_ros.client.replay import NodeSettings


@options.recording_options
def replay(
    recording: options.RecordingOptions,
    frames: options.FramesOption = ":",
    hz: Annotated[
        float | None,
        typer.Option(help="Sets per second in real time. Default: each set waits for the node's answer to the last."),
    ] = None,
    raw: Annotated[
        bool | None,
        typer.Option("--raw/--compressed", help="Images as rgb8 pixels or as JPEG. Default: as they were recorded."),
    ] = None,
    running: Annotated[
        bool, typer.Option("--running", help="Take the node that runs already instead of starting one.")
    ] = False,
    namespace: Annotated[str, typer.Option(help="With --running: the node's namespace.")] = "",
    model: options.ModelOption = None,
    engine: options.EngineOption = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of the node; 0: its own choice.")] = 0,
    protocol: scoring_options.ProtocolOption = "surrounddepth",
    cap: scoring_options.CapOption = None,
    scaling: scoring_options.ScalingOption = "none",
    masks: scoring_options.MasksOption = None,
    baselines: scoring_options.BaselinesOption = True,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers there.")] = None,
) -> None:
    """Play a recording into the node over DDS, score what it publishes against the lidar, and count the drops."""
    from fsmde_core.evaluation.evaluate import check_judged, result_document
    from fsmde_core.evaluation.predictors.predictors import make_baselines
    from fsmde_core.evaluation.protocols.registry import load_masks, make_protocol
    from fsmde_core.evaluation.results.document import document_header, write_document
    from fsmde_core.evaluation.results.drops import DropCounter
    from fsmde_core.sources.registry import frame_count, parse_frames, recording_place
    from fsmde_ros.cli.progress import progress_bar
    from fsmde_ros.client.replay import NodeSettings, ReplaySettings, open_replay
    from fsmde_ros.client.replay_score import published_records

    options.check_output("--json", json_file)
    node = NodeSettings(engine, model, threads)
    _check_running(running, namespace, node)
    selected = parse_frames(frames)
    source = recording.open()
    kind, place = recording_place(recording.source, source)
    rules = make_protocol(protocol, source.name, cap, scaling, load_masks(masks, source.rig))
    compressed = None if raw is None else not raw
    settings = ReplaySettings(selected, None if running else node, hz, compressed, namespace)
    drops = DropCounter(source.rig.names)
    with progress_bar() as progress:
        count = frame_count(source, selected)
        task = progress.add_task("Waiting for the node", total=count)
        with open_replay(source, settings) as replayed:
            progress.update(task, description=f"Replaying {source.name}")
            header = document_header(source, kind, place, selected, rules, replayed.engine, False, recording.reading)
            records = published_records(replayed.frames(), make_baselines() if baselines else [], rules, drops)
            tracked = progress.track(records, total=count, task_id=task)
            document = result_document(source, rules, selected, header, tracked)
    document["drops"] = drops.document(hz)
    if json_file is not None:
        write_document(json_file, document)
    check_judged(document)
    scoring_options.print_result(document)


def _check_running(running: bool, namespace: str, node: NodeSettings) -> None:
    if running and node != type(node)():
        raise FsmdeError("--model, --engine and --threads configure a node that is started here; leave out --running")
    if namespace and not running:
        raise FsmdeError("--namespace is that of a node that runs already; add --running")
