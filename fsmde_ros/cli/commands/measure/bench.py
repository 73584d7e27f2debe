"""Implements `fsmde bench`: how fast the whole path is on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fsmde_ros.cli.options import (
    EngineOption,
    ModelOption,
    RecordingOptions,
    ThreadsOption,
    check_output,
    recording_options,
)

if TYPE_CHECKING:
    from rich.table import Table


@recording_options
def bench(
    recording: RecordingOptions,
    seconds: Annotated[float, typer.Option(help="How long the recording is played.")] = 20.0,
    rate: Annotated[float, typer.Option(help="Sets of images per second.")] = 10.0,
    engine: EngineOption = "auto",
    model: ModelOption = None,
    threads: ThreadsOption = 0,
    live: Annotated[
        bool, typer.Option("--live/--no-live", help="Play a recording into the node; --no-live measures only the rest.")
    ] = True,
    vs_teacher: Annotated[
        bool, typer.Option("--vs-teacher", help="Also compare the student with Depth Anything V2 Small.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Measure the real node over DDS, its stages, rate and drops, and the stages alone beside a copy of their bytes."""
    from rich.console import Console

    from fsmde_core.engines import load_engine
    from fsmde_core.engines.model import default_model_path
    from fsmde_core.evaluation.results.document import write_document
    from fsmde_ros.client.live_run import LiveRunSettings
    from fsmde_ros.client.session import needing_ros

    with needing_ros():
        from fsmde_ros.cli.benchmarks.node import bench_live, bench_teacher
        from fsmde_ros.cli.benchmarks.pipeline_stages import CAMERAS, measure_stages

    check_output("--json", json_file)
    console = Console(highlight=False)
    settings = LiveRunSettings(seconds, rate, engine, model, threads)
    with console.status("The stages of six images without DDS"):
        loaded = load_engine(engine, model or default_model_path(), threads, CAMERAS)
        result: dict[str, Any] = {"stages": measure_stages(loaded, threads)}
    if live:
        result |= bench_live(recording.open(), settings, console)
    if vs_teacher:
        with console.status("The student against Depth Anything V2 Small"):
            result["vs_teacher"] = bench_teacher(settings, result.get("cameras", CAMERAS))
    for table in _tables(result):
        console.print(table)
    if json_file is not None:
        write_document(json_file, result)


def _tables(result: dict[str, Any]) -> Iterator[Table]:
    yield _stages_table(result["stages"])
    if "stages_ms" in result:
        yield _live_table(result)
    if "vs_teacher" in result:
        yield _teacher_table(result["vs_teacher"])


def _stages_table(result: dict[str, Any]) -> Table:
    from rich.table import Table

    title = f"{result['input']}, {result['engine']}, {result['cores']} cores, no DDS"
    table = Table("stage", "ms", "copy of its bytes, ms", "ratio", title=title)
    for stage, figures in result["stages"].items():
        floor = [f"{figures['copy_ms']:.2f}", f"{figures['ratio']:.2f}"] if "ratio" in figures else []
        table.add_row(stage, f"{figures['ms']:.2f}", *floor)
    table.add_row("all but inference", f"{result['without_inference_ms']:.2f}", style="bold")
    return table


def _live_table(result: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table("", "ms", title=f"{result['cameras']} x {result['input']}, {result['engine']} {result['precision']}")
    for stage, milliseconds in result["stages_ms"].items():
        table.add_row(f"{stage}, median", f"{milliseconds:.1f}")
    for percentile, milliseconds in result["end_to_end_ms"].items():
        table.add_row(f"last image to last publication, {percentile}", f"{milliseconds:.1f}", style="bold")
    table.add_row("of it without inference, median", f"{result['overhead_ms']:.1f}")
    table.caption = f"{result['sets_per_s']:.2f} sets per second, {result['dropped']} dropped"
    return table


def _teacher_table(result: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table("", "ms", title="The student against its teacher")
    table.add_row(result["teacher"], f"{result['teacher_ms']:.1f}")
    table.add_row(result["student"], f"{result['student_ms']:.1f}")
    table.add_row("times faster", f"x {result['ratio']:.1f}", style="bold")
    return table
