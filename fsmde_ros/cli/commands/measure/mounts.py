"""Implements `fsmde mounts`: are the cameras of a recording where the rig says?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fsmde_core.errors import NothingJudgedError
from fsmde_ros.cli.options import (
    EngineOption,
    FramesOption,
    ModelOption,
    RecordingOptions,
    ThreadsOption,
    check_output,
    recording_options,
)

if TYPE_CHECKING:
    from rich.table import Table

    from fsmde_core.mounts import MountSummary
    from fsmde_core.rig.rig import Rig
    from fsmde_core.sources.source import Source

MISALIGNED = 1
"""Exit code when a camera is turned."""


@recording_options
def mounts(
    recording: RecordingOptions,
    frames: FramesOption = ":",
    model: ModelOption = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = 0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result there.")] = None,
) -> None:
    """Check every camera's mount, of the recording or of --rig, against its neighbours' views and the lidar.

    Exit with 1 if a camera is turned, and with 3 if none could be judged.
    """
    from contextlib import closing

    from rich.console import Console

    from fsmde_core.engines import load_engine
    from fsmde_core.engines.model import default_model_path
    from fsmde_core.evaluation.results.document import write_document
    from fsmde_core.mounts import check_recording, misalignment_sentence
    from fsmde_core.pipeline.gpu_pipeline import open_pipeline
    from fsmde_core.rig.plausibility import rig_doubts
    from fsmde_core.sources.registry import frame_count, parse_frames
    from fsmde_ros.cli.progress import progress_bar

    check_output("--json", json_file)
    selected, source = parse_frames(frames), recording.open()
    checked = _rig(recording.rig, source)
    total, cameras = frame_count(source, selected), len(source.rig.cameras)
    loaded = load_engine(engine, model or default_model_path(), threads, cameras)
    with closing(open_pipeline(loaded, cameras, threads)) as pipeline, progress_bar() as progress:
        task = progress.add_task(f"Checking {source.name}", total=total)
        found = check_recording(source, pipeline, selected, checked, lambda: progress.advance(task))
    notes = [*source.notes, *rig_doubts(checked or source.rig)]
    if json_file is not None:
        read = {"read": source.counts.document(), "notes": notes}
        write_document(json_file, {"source": source.name, **found.document(), **read})
    console = Console(highlight=False)
    console.print(_table(found, source.rig.names))
    for line in (*source.counts.lines(), *notes):
        console.print(line, soft_wrap=True)
    for name, reason in found.unjudged.items():
        console.print(f"camera '{name}' is not judged: {reason}", soft_wrap=True)
    for finding in found.misaligned:
        console.print(misalignment_sentence(finding), soft_wrap=True)
    if found.misaligned:
        raise typer.Exit(MISALIGNED)
    if set(found.unjudged) == set(source.rig.names):
        raise NothingJudgedError(
            f"no camera of {source.name} could be judged in {found.frames} frames and {found.sweeps} sweeps, for the "
            "reasons above; this says nothing about the mounts"
        )


def _rig(name: str | None, source: Source) -> Rig | None:
    """Load the rig to check, of the cameras that are read; a bag's own calibration may have been read beside it."""
    from fsmde_core.rig.rig import load_rig
    from fsmde_ros.cli.options import find_rig

    if name is None:
        return None
    rig = load_rig(find_rig(name))
    cameras = tuple(camera for camera in rig.cameras if camera.name in source.rig.names)
    return replace(rig, cameras=cameras) if cameras else rig


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
