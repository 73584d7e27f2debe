"""Implements `fsmde mounts`: are the cameras of a recording where the rig says?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fsmde_ros.cli.options import EngineOption, FramesOption, ModelOption, RootOption, SourceOption, ThreadsOption

if TYPE_CHECKING:
    from rich.table import Table

    from fsmde_core.mounts import MountSummary

MISALIGNED = 1
"""Exit code when a camera is turned."""


def mounts(
    source: SourceOption = None,
    root: RootOption = None,
    frames: FramesOption = ":",
    rig: Annotated[
        Path | None, typer.Option(help="Rig file whose mounts are checked. Default: the recording's own mounts.")
    ] = None,
    model: ModelOption = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = 0,
) -> None:
    """Check every camera's mount against its neighbours' views and the lidar; exit with 1 if a camera is turned."""
    from contextlib import closing

    from rich.console import Console

    from fsmde_core.engines import load_engine
    from fsmde_core.engines.model import default_model_path
    from fsmde_core.mounts import check_recording, misalignment_sentence
    from fsmde_core.pipeline.gpu_pipeline import open_pipeline
    from fsmde_core.rig.plausibility import rig_doubts
    from fsmde_core.rig.rig import load_rig
    from fsmde_core.sources.registry import frame_count, open_recording, parse_frames
    from fsmde_ros.cli.progress import progress_bar

    selected = parse_frames(frames)
    assumed_rig = load_rig(rig) if rig else None
    recording = open_recording(source, root)
    total, cameras = frame_count(recording, selected), len(recording.rig.cameras)
    loaded = load_engine(engine, model or default_model_path(), threads, cameras)
    with closing(open_pipeline(loaded, cameras, threads)) as pipeline, progress_bar() as progress:
        task = progress.add_task(f"Checking {recording.name}", total=total)
        found = check_recording(recording, pipeline, selected, assumed_rig, lambda: progress.advance(task))
    console = Console(highlight=False)
    console.print(_table(found, recording.rig.names))
    for doubt in rig_doubts(assumed_rig or recording.rig):
        console.print(f"Note: {doubt}", soft_wrap=True)
    for finding in found.misaligned:
        console.print(misalignment_sentence(finding), soft_wrap=True)
    if found.misaligned:
        raise typer.Exit(MISALIGNED)


def _table(found: MountSummary, names: tuple[str, ...]) -> Table:
    from rich.table import Table

    from fsmde_core.mounts import Suspect

    table = Table("camera", "overlap with its neighbours", "lidar: turned by", "depth agrees to", box=None)
    table.title, table.title_justify = f"{found.frames} frames, {found.sweeps} sweeps", "left"
    named = {(one.camera, one.evidence) for finding in found.misaligned for one in finding}
    for name in names:
        overlap = "turned" if (name, Suspect.evidence) in named else "agrees" if name in found.overlap else "not judged"
        aligned = found.lidar.get(name)
        turned = f"{aligned.degrees:.1f} degrees" if aligned and aligned.is_trusted else "not judged"
        table.add_row(name, overlap, turned, f"{aligned.error:.1%}" if aligned else "")
    return table
