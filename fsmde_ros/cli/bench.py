"""`fsmde bench`: how fast the whole path is on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fsmde_ros.cli.options import EngineOption, ModelOption, RootOption, SourceOption, ThreadsOption

if TYPE_CHECKING:
    from rich.table import Table


def bench(
    source: SourceOption = None,
    root: RootOption = None,
    seconds: Annotated[float, typer.Option(help="How long the recording is played.")] = 20.0,
    rate: Annotated[float, typer.Option(help="Sets of images per second.")] = 10.0,
    engine: EngineOption = "auto",
    model: ModelOption = None,
    threads: ThreadsOption = 0,
    vs_teacher: Annotated[
        bool, typer.Option("--vs-teacher", help="Also the student against Depth Anything V2 Small, same runtime.")
    ] = False,
    json_file: Annotated[Optional[Path], typer.Option("--json", help="Write the figures here.")] = None,  # noqa: UP045
) -> None:
    """Play a recording into the real node over DDS and measure every stage, the rate and the drops."""
    import json

    from rich.console import Console

    from fsmde_ros.bench import bench_live, bench_teacher
    from fsmde_ros.cli.recordings import open_recording
    from fsmde_ros.live import LiveSettings

    console = Console(highlight=False)
    settings = LiveSettings(seconds, rate, engine, model, threads)
    result = bench_live(open_recording(source, root), settings, console)
    if vs_teacher:
        with console.status("The student against Depth Anything V2 Small"):
            result["vs_teacher"] = bench_teacher(settings, result["cameras"])
    console.print(_table(result))
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=2) + "\n")


def _table(result: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table("", "ms", title=f"{result['cameras']} x {result['input']}, {result['engine']} {result['precision']}")
    for stage, milliseconds in result["stages_ms"].items():
        table.add_row(f"{stage}, median", f"{milliseconds:.1f}")
    for share, milliseconds in result["end_to_end_ms"].items():
        table.add_row(f"last image to last publication, {share}", f"{milliseconds:.1f}", style="bold")
    table.add_row("of it without inference, median", f"{result['overhead_ms']:.1f}")
    if "vs_teacher" in result:
        versus = result["vs_teacher"]
        table.add_row(versus["teacher"], f"{versus['teacher_ms']:.1f}")
        table.add_row(versus["student"], f"{versus['student_ms']:.1f}")
        table.add_row("times faster than the teacher", f"x {versus['ratio']:.1f}", style="bold")
    table.caption = f"{result['sets_per_s']:.2f} sets per second, {result['dropped']} dropped"
    return table
