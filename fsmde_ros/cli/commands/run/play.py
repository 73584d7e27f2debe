"""`fsmde play`: a recording into live topics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from fsmde_ros.cli.options import FramesOption, RootOption, SourceOption


def play(
    bag: Annotated[Optional[Path], typer.Argument(help="A rosbag2 to play; other recordings by --source.")] = None,  # noqa: UP045
    source: SourceOption = None,
    root: RootOption = None,
    frames: FramesOption = ":",
    rate: Annotated[float, typer.Option(help="Multiple of the recorded pace.")] = 1.0,
    hz: Annotated[Optional[float], typer.Option(help="Frames per second, whatever the recorded pace.")] = None,  # noqa: UP045
    loop: Annotated[bool, typer.Option("--loop", help="Play again and again; stamps go on.")] = False,
    jump_back: Annotated[
        bool, typer.Option("--jump-back", help="Stamps and /clock jump back at each round, as `ros2 bag play -l` does.")
    ] = False,
    live_stamps: Annotated[
        bool, typer.Option("--live-stamps", help="Stamp with the present time; without it recorded stamps and /clock.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw/--compressed", help="Images as rgb8 pixels or as JPEG.")] = True,
    best_effort: Annotated[bool, typer.Option("--best-effort", help="Publish as sensor drivers do.")] = False,
    namespace: Annotated[str, typer.Option(help="Namespace of the camera and lidar topics.")] = "",
    preload: Annotated[int, typer.Option(min=1, help="MiB of memory for messages made ahead of time.")] = 1024,
) -> None:
    """Play a bag or data set into live topics: images, camera_info, lidar, /tf_static, /tf and /clock."""
    from fsmde_core.messages.write import MessageEncoder
    from fsmde_core.sources.playback import MessagePrefetcher, PlaybackRate, timed_messages
    from fsmde_core.sources.selection import frame_count, open_recording, parse_frames
    from fsmde_ros.cli.progress import progress_bar
    from fsmde_ros.client.player import Player, PlayerSettings
    from fsmde_ros.client.session import ros_node

    span, pace = parse_frames(frames), PlaybackRate(rate, hz)
    recording = open_recording(source, bag or root)
    total = frame_count(recording, span)
    encoder = MessageEncoder(recording.rig, compressed=not raw)
    settings = PlayerSettings(live_stamps=live_stamps, jump_back=jump_back, best_effort=best_effort)
    with (
        ros_node("fsmde_player", namespace) as node,
        MessagePrefetcher(recording, encoder, span, loop, limit_bytes=preload << 20) as reel,
        progress_bar() as progress,
    ):
        player = Player(node, encoder.topics, settings)
        task = progress.add_task(f"Reading {recording.name}", total=total)
        reel.fill(lambda made: progress.update(task, completed=made))
        progress.reset(task, total=None if loop else total, description=f"Playing {recording.name}")
        player.publish(encoder.static_transforms(0), stamp_ns=0)  # tf2 reads no stamp of a static transform
        player.play(timed_messages(reel, pace), on_frame=lambda frame: progress.update(task, completed=frame + 1))
