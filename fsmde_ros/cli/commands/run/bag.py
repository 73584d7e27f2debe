"""Implements `fsmde bag`, which writes a recording of any kind as a rosbag2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fsmde_ros.cli.options import FramesOption, RecordingOptions, recording_options


@recording_options
def bag(
    out: Annotated[Path, typer.Argument(help="Folder of the new bag.")],
    recording: RecordingOptions,
    frames: FramesOption = ":",
    raw: Annotated[
        bool, typer.Option("--raw/--compressed", help="Images as rgb8 pixels, or as the recording's JPEG bytes.")
    ] = False,
    storage: Annotated[str, typer.Option(help="Storage of the bag: mcap or sqlite3.")] = "mcap",
    namespace: Annotated[str, typer.Option(help="Prefix of the camera and lidar topics.")] = "",
) -> None:
    """Write a recording as a rosbag2 that RViz and Foxglove open: images, camera_info, lidar, /tf_static and /tf."""
    from fsmde_core.messages.encode import BagWriter, MessageEncoder
    from fsmde_core.sources.registry import frame_count, parse_frames
    from fsmde_ros.cli.progress import progress_bar

    selected = parse_frames(frames)
    source = recording.open()
    total = frame_count(source, selected)
    encoder = MessageEncoder(source.rig, compressed=not raw)
    with BagWriter(out, storage, namespace) as writer, progress_bar() as progress:
        for frame in progress.track(source.frames(*selected), total=total, description=f"Writing {out}"):
            messages = encoder.frame(frame)
            if not writer.written:
                writer.write(encoder.static_transforms(messages[0].stamp_ns))
            for message in messages:
                writer.write(message)
    size = sum(path.stat().st_size for path in out.iterdir())
    typer.echo(f"{out}: {total} frames of {source.name}, {writer.written} messages, {size / 1e6:.1f} MB")
    for line in (*source.counts.lines(), *source.notes):
        typer.echo(line)
