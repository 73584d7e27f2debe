"""Implements `fsmde view`, which shows images, depth, cloud and lidar in Rerun."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fsmde_core.errors import FsmdeError
from fsmde_ros.cli import options

if TYPE_CHECKING:
    from fsmde_core.engines.base import Engine
    from fsmde_core.rig.rig import Rig
    from fsmde_core.sources.registry import FrameRange
    from fsmde_core.sources.source import Source


class Color(str, Enum):
    rgb = "rgb"
    sigma = "sigma"


@options.recording_options
def view(
    recording: options.RecordingOptions,
    frames: options.FramesOption = ":",
    model: options.ModelOption = None,
    engine: options.EngineOption = "auto",
    threads: options.ThreadsOption = 0,
    color: Annotated[Color, typer.Option(help="What colours the cloud.")] = Color.rgb,
    live: Annotated[bool, typer.Option("--live", help="Show the topics of a running node; needs its --rig.")] = False,
    raw: Annotated[bool, typer.Option("--raw/--compressed", help="With --live: which images to subscribe to.")] = True,
    namespace: Annotated[str, typer.Option(help="With --live: namespace of the topics.")] = "",
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE.rrd", help="Write a Rerun recording there instead of opening the viewer."),
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Serve a page for browsers, until Ctrl-C.")] = False,
) -> None:
    """Show images, depth, fused cloud and lidar in Rerun, of a recording or of a running node."""
    if save is not None and serve:
        raise FsmdeError(
            "--save and --serve exclude each other; a saved file is served by `rerun FILE.rrd --serve-web`"
        )
    options.check_output("--save", save)
    if live and not recording.rig:
        raise FsmdeError("--live needs --rig: it says which cameras the node has, and where")
    if live and recording != options.RecordingOptions(rig=recording.rig):
        raise FsmdeError("--live shows topics, not a recording; leave out what chooses one, or play it: `fsmde play`")
    if save is None and not serve:
        from fsmde_core.views.rerun_target import check_screen

        check_screen()
    if live:
        from fsmde_core.rig.rig import load_rig
        from fsmde_ros.node.settings import rig_path

        _show_live(load_rig(rig_path(recording.rig or "")), not raw, namespace, color.value, save, serve)
    else:
        from fsmde_core.engines import load_engine
        from fsmde_core.engines.model import default_model_path
        from fsmde_core.sources.registry import parse_frames

        selected, source = parse_frames(frames), recording.open()
        loaded = load_engine(engine, model or default_model_path(), threads, len(source.rig.cameras))
        _show_recording(source, selected, loaded, threads, color.value, save, serve)


def _show_recording(
    recording: Source, frames: FrameRange, engine: Engine, threads: int, color: str, save: Path | None, serve: bool
) -> None:
    import signal
    from contextlib import closing

    from fsmde_core.pipeline.gpu_pipeline import open_pipeline
    from fsmde_core.sources.registry import frame_count
    from fsmde_core.views.rerun import Scene, show_recording
    from fsmde_core.views.rerun_target import open_stream
    from fsmde_ros.cli.progress import progress_bar

    opened = open_pipeline(engine, len(recording.rig.cameras), threads)
    with closing(opened) as pipeline, open_stream(recording.rig.names, False, save, serve) as target:
        stream, where = target
        with progress_bar() as progress:
            total, task = frame_count(recording, frames), f"Showing {recording.name}"
            tracked = progress.track(recording.frames(*frames), total=total, description=task)
            shown = show_recording(tracked, pipeline, Scene(stream, color))
        typer.echo(f"{shown} frames of {recording.name}: {where}")
        if serve:
            signal.pause()


def _show_live(rig: Rig, compressed: bool, namespace: str, color: str, save: Path | None, serve: bool) -> None:
    from rich.console import Console

    from fsmde_core.views.rerun import Scene
    from fsmde_core.views.rerun_target import open_stream
    from fsmde_ros.client.session import ros_node

    console = Console(stderr=True)
    with ros_node("fsmde_view", namespace) as node, open_stream(rig.names, True, save, serve) as (stream, where):
        from fsmde_ros.client.live_view import LiveView

        live = LiveView(node, rig, Scene(stream, color), compressed)
        with console.status("") as status:

            def show_counts() -> bool:
                status.update(f"{where}: {_counts(live.received)}. Press Ctrl-C to end")
                return True

            live.spin(show_counts)


def _counts(received: dict[str, Any]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(received.items())) or "nothing received yet"
