"""`fsmde view`: images, depth, cloud and lidar in Rerun."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fsmde_core.errors import FsmdeError
from fsmde_ros.cli.options import (
    EngineOption,
    FramesOption,
    ModelOption,
    RootOption,
    SourceOption,
    ThreadsOption,
    check_output,
)

if TYPE_CHECKING:
    from fsmde_core.rig.rig import Rig
    from fsmde_core.sources.source import Source


class Color(str, Enum):
    rgb = "rgb"
    sigma = "sigma"


def view(
    source: SourceOption = None,
    root: RootOption = None,
    frames: FramesOption = ":",
    model: ModelOption = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = 0,
    color: Annotated[Color, typer.Option(help="What colours the cloud.")] = Color.rgb,
    live: Annotated[bool, typer.Option("--live", help="Show the topics of a running node; needs --rig.")] = False,
    rig: Annotated[str, typer.Option(help="With --live: the node's rig file, or the name of a shipped one.")] = "",
    raw: Annotated[bool, typer.Option("--raw/--compressed", help="With --live: the images to listen to.")] = True,
    namespace: Annotated[str, typer.Option(help="With --live: namespace of the topics.")] = "",
    save: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.rrd", help="Write a Rerun recording there instead of opening the viewer."),
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Serve a page for browsers, until Ctrl-C.")] = False,
) -> None:
    """Show images, depth, fused cloud and lidar in Rerun: of a recording that the model runs on, or live."""
    if save is not None and serve:
        raise FsmdeError(
            "--save and --serve exclude each other; a saved file is served by `rerun FILE.rrd --serve-web`"
        )
    check_output("--save", save)
    if live != bool(rig):
        raise FsmdeError("--live and --rig belong together: the rig says which cameras the node has, and where")
    if live and (source is not None or root is not None):
        raise FsmdeError(
            "--live shows topics, not a recording; leave out --source and --root, or play it: `fsmde play`"
        )
    if save is None and not serve:
        from fsmde_core.views.rerun_target import check_screen

        check_screen()
    if live:
        from fsmde_core.rig.rig import load_rig
        from fsmde_ros.node.settings import rig_path

        _show_live(load_rig(rig_path(rig)), not raw, namespace, color.value, save, serve)
    else:
        from fsmde_core.sources.selection import open_recording, parse_frames

        span = parse_frames(frames)
        _show_recording(open_recording(source, root), span, (model, engine, threads), color.value, save, serve)


def _show_recording(
    recording: Source,
    span: tuple[int, int | None],
    settings: tuple[Path | None, str, int],
    color: str,
    save: Path | None,
    serve: bool,
) -> None:
    import signal
    from contextlib import closing

    from fsmde_core.engines import load_engine
    from fsmde_core.engines.model import default_model_path
    from fsmde_core.pipeline.gpu_pipeline import open_pipeline
    from fsmde_core.sources.selection import frame_count
    from fsmde_core.views.rerun import Scene, show_recording
    from fsmde_core.views.rerun_target import opened
    from fsmde_ros.cli.progress import progress_bar

    model, engine, threads = settings
    cameras = len(recording.rig.cameras)
    loaded = load_engine(engine, model or default_model_path(), threads, cameras)
    opened_pipeline = open_pipeline(loaded, cameras, threads)
    with closing(opened_pipeline) as pipeline, opened(recording.rig.names, False, save, serve) as target:
        stream, where = target
        with progress_bar() as progress:
            total, task = frame_count(recording, span), f"Showing {recording.name}"
            frames = progress.track(recording.frames(*span), total=total, description=task)
            shown = show_recording(frames, pipeline, Scene(stream, color))
        typer.echo(f"{shown} frames of {recording.name}: {where}")
        if serve:
            signal.pause()


def _show_live(rig: Rig, compressed: bool, namespace: str, color: str, save: Path | None, serve: bool) -> None:
    from rich.console import Console

    from fsmde_core.views.rerun import Scene
    from fsmde_core.views.rerun_target import opened
    from fsmde_ros.client.session import ros_node

    console = Console(stderr=True)
    with ros_node("fsmde_view", namespace) as node, opened(rig.names, True, save, serve) as (stream, where):
        from fsmde_ros.client.live_view import LiveView

        live = LiveView(node, rig, Scene(stream, color), compressed)
        with console.status("") as status:

            def tell() -> bool:
                status.update(f"{where}: {_counts(live.received)}. Ctrl-C ends")
                return True

            live.spin(tell)


def _counts(received: dict[str, Any]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(received.items())) or "nothing came yet"
