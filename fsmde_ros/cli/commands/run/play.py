"""Implements `fsmde play`, which publishes a recording on live topics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fsmde_ros.cli.options import FramesOption, RecordingOptions, recording_options


@recording_options
def play(
    recording: RecordingOptions,
    bag: Annotated[Path | None, typer.Argument(help="A rosbag2 to play. Other recordings: --source.")] = None,
    frames: FramesOption = ":",
    rate: Annotated[float, typer.Option(help="Multiple of the recorded pace.")] = 1.0,
    hz: Annotated[float | None, typer.Option(help="Frames per second, whatever the recorded pace.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Play again and again; stamps keep increasing.")] = False,
    jump_back: Annotated[
        bool, typer.Option("--jump-back", help="With --loop: stamps and /clock jump back, as with `ros2 bag play -l`.")
    ] = False,
    live_stamps: Annotated[
        bool, typer.Option("--live-stamps", help="Stamp with the present time, instead of recorded stamps and /clock.")
    ] = False,
    raw: Annotated[
        bool | None,
        typer.Option(
            "--raw/--compressed", help="Images as rgb8 or as JPEG. Default: a bag's as they were recorded, others rgb8."
        ),
    ] = None,
    best_effort: Annotated[bool, typer.Option("--best-effort", help="Publish best effort, as drivers do.")] = False,
    namespace: Annotated[str, typer.Option(help="Namespace of the camera and lidar topics.")] = "",
    preload: Annotated[int, typer.Option(min=1, help="MiB of memory for messages encoded ahead.")] = 1024,
) -> None:
    """Publish a bag or data set on live topics: images, camera_info, lidar, /tf_static, /tf and /clock."""
    from fsmde_core.messages.encode import MessageEncoder
    from fsmde_core.sources.playback import MessagePrefetcher, PlaybackRate, has_jpeg, timed_messages
    from fsmde_core.sources.registry import frame_count, parse_frames, recording_place
    from fsmde_ros.cli.progress import progress_bar
    from fsmde_ros.client.player import Player, PlayerSettings
    from fsmde_ros.client.session import ros_node

    selected, pace = parse_frames(frames), PlaybackRate(rate, hz)
    source = recording.at(bag).open()
    if raw is None:
        raw = recording_place(recording.source, source)[0] != "rosbag" or not has_jpeg(source)
    total = frame_count(source, selected)
    encoder = MessageEncoder(source.rig, compressed=not raw)
    settings = PlayerSettings(live_stamps=live_stamps, jump_back=jump_back, best_effort=best_effort)
    with (
        ros_node("fsmde_player", namespace) as node,
        MessagePrefetcher(source, encoder, selected, loop, limit_bytes=preload << 20) as prefetcher,
        progress_bar() as progress,
    ):
        player = Player(node, encoder.topics, settings)
        task = progress.add_task(f"Reading {source.name}", total=total)
        prefetcher.preload(lambda encoded: progress.update(task, completed=encoded))
        progress.reset(task, total=None if loop else total, description=f"Playing {source.name}")
        player.publish(encoder.static_transforms(0), stamp_ns=0)  # tf2 reads no stamp of a static transform
        player.play(timed_messages(prefetcher, pace), on_frame=lambda frame: progress.update(task, completed=frame + 1))
    for line in (*source.counts.lines(), *source.notes):
        typer.echo(line)
