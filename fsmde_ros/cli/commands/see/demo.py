"""Implements `fsmde demo`, which runs the whole path on this machine in under a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fsmde_core.errors import FsmdeError
from fsmde_ros.cli.options import EngineOption, ModelOption, RecordingOptions, recording_options

KEEP_SECONDS = 2.0  # of outputs, for the bag and the pictures


@recording_options
def demo(
    recording: RecordingOptions,
    seconds: Annotated[float, typer.Option(help="How long the recording is played.")] = 12.0,
    rate: Annotated[float, typer.Option(help="Sets of images per second.")] = 10.0,
    engine: EngineOption = "auto",
    model: ModelOption = None,
    out: Annotated[Path, typer.Option(help="Folder for pictures, bag and summary.")] = Path("out/demo"),
) -> None:
    """Start the real node, play a recording into it over DDS, and leave pictures, a rosbag2 and summary.json."""
    from rich.console import Console

    from fsmde_ros.cli.demo.demo import run_demo
    from fsmde_ros.cli.demo.report import BAG
    from fsmde_ros.client.live_run import LiveRunSettings

    root = recording.root
    if root is not None and root.resolve() == (out / BAG).resolve():
        raise FsmdeError(f"the demo would overwrite the recording {root} that it plays; give another folder with --out")
    console = Console(highlight=False)
    settings = LiveRunSettings(seconds, rate, engine, model, keep_s=KEEP_SECONDS)
    summary = run_demo(recording.open(), out, settings, console)
    latency = summary["end_to_end_ms"]
    console.print(
        f"\n[bold]{summary['sets_per_s']:.1f} sets of {len(summary['cameras'])} images per second[/], "
        f"last image to cloud p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms, "
        f"{summary['dropped_sets']} of {summary['played_sets']} dropped ({summary['engine']})",
        soft_wrap=True,
    )
    for name, meaning in summary["files"].items():
        console.print(f"  {out / name}  {meaning}", soft_wrap=True)
    console.print(f"  {out / 'summary.json'}  these numbers and more", soft_wrap=True)
