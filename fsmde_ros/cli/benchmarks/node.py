"""Measures the whole path over DDS at camera rate, and the student against its teacher."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fsmde_core.engines import load_engine
from fsmde_core.engines.model import default_model_path
from fsmde_core.engines.timing import compare_with_teacher
from fsmde_core.errors import FsmdeError
from fsmde_core.sources.source import Source
from fsmde_ros.client.live_run import LiveRunSettings, run_live

if TYPE_CHECKING:
    from rich.console import Console

TEACHER = "Depth Anything V2 Small"


def bench_live(recording: Source, settings: LiveRunSettings, console: Console) -> dict[str, Any]:
    """Play a recording into the node; times are by the node's own clock, rate and drops as seen from here.

    Args:
        recording: Its first frames are played.
        settings: How, and into which node.
        console: Where progress is shown.

    Returns:
        The figures for `--json`. overhead_ms: median from the last image's arrival to the last publication, without
        inference.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = run_live(recording, settings, Path(folder) / "node.log", console)
    statistics, node = run.statistics, run.statuses["node"].values
    first = run.recording.rig.cameras[0]
    overheads = [timing["end_to_end_ms"] - timing["infer_ms"] for timing in statistics.timings]
    return {
        "recording": run.recording.name,
        "input": f"{first.width}x{first.height} rgb8, {settings.rate:g} Hz, {statistics.played_sets} sets",
        "cameras": len(run.recording.rig.names),
        "engine": node["engine"],
        "precision": node["precision"],
        "device": node["device"],
        "model": Path(node["model"]).name,
        "model_input": node["model_input"],
        "threads": settings.threads or len(os.sched_getaffinity(0)),
        "stages_ms": statistics.stage_medians(),
        "end_to_end_ms": statistics.end_to_end(),
        "overhead_ms": round(float(np.median(overheads)), 1),
        "sets_per_s": statistics.sets_per_s,
        "dropped": statistics.played_sets - statistics.complete_sets,
    }


def bench_teacher(settings: LiveRunSettings, cameras: int) -> dict[str, Any]:
    """Compare the student with Depth Anything V2 Small, of random weights and at no more pixels, in one process.

    Args:
        settings: Engine, model and threads.
        cameras: Images at once.

    Returns:
        The figures for `--json`.

    Raises:
        FsmdeError: The training extra, which has the teacher's architecture, is not installed.
    """
    try:
        from fsmde_training.teachers.depth_anything import export_onnx, input_size
    except ImportError as error:
        raise FsmdeError(
            f"the teacher needs PyTorch and transformers ({error}); pip install 'fsmde_ros[train]'"
        ) from error
    engine = load_engine(settings.engine, settings.model or default_model_path(), settings.threads, cameras)
    student, runtime = engine.info, f"{engine.name} {engine.precision}"
    height, width = input_size(student.height, student.width)
    with tempfile.TemporaryDirectory() as folder:
        teacher = export_onnx(Path(folder) / "teacher.onnx", height, width)
        student_ms, teacher_ms = compare_with_teacher(engine, teacher, (height, width), cameras, settings.threads)
    return {
        "teacher": f"{TEACHER}, {width}x{height}, {runtime}",
        "student": f"{student.path.name}, {student.width}x{student.height}, {runtime}",
        "teacher_ms": round(teacher_ms, 2),
        "student_ms": round(student_ms, 2),
        "ratio": round(teacher_ms / student_ms, 2),
    }
