"""The demo: a recording played into the node, and the pictures, bag and summary that it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsmde_core.errors import FsmdeError
from fsmde_core.sources.source import Source
from fsmde_ros.cli.demo.report import BAG, LOG, write_report
from fsmde_ros.cli.versions import package_versions
from fsmde_ros.client.live_run import LiveRun, LiveRunSettings, run_live

if TYPE_CHECKING:
    from rich.console import Console


def run_demo(recording: Source, out: Path, settings: LiveRunSettings, console: Console) -> dict[str, Any]:
    """Play `recording` into the node and leave pictures, a bag and summary.json in `out`; returns the summary."""
    _claim(out)
    run = run_live(recording, settings, out / LOG, console)
    summary = _summary(run)
    with console.status("Drawing pictures, writing the bag"):
        summary["files"] = write_report(out, run.recording, run.sent, run.outputs, summary)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def _claim(out: Path) -> None:
    """Make the folder, or take that of an earlier demo. FsmdeError where something else would be overwritten."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FsmdeError(f"the folder {out} cannot be made ({error.strerror}); give another one with --out") from error
    if (out / BAG).exists() and not (out / LOG).exists():
        raise FsmdeError(f"{out / BAG} is not a demo's and would be overwritten; give another folder with --out")
    (out / "summary.json").unlink(missing_ok=True)  # it is written last: without it the rest is not whole


def _summary(run: LiveRun) -> dict[str, Any]:
    measured, names = run.measured, run.recording.rig.names
    node = run.statuses["node"].values
    first = run.recording.rig.cameras[0]
    return {
        "recording": run.recording.name,
        "input": f"{len(names)} x {first.width}x{first.height} rgb8",
        "cameras": list(names),
        "engine": node["engine"],
        "device": node["device"],
        "model": Path(node["model"]).name,
        "model_input": node["model_input"],
        "played_sets": measured.played,
        "complete_sets": measured.complete,
        "partial_sets": len(measured.timings) - measured.complete,
        "dropped_sets": measured.played - measured.complete,
        "sets_per_s": measured.sets_per_s,
        "end_to_end_ms": measured.end_to_end(),
        "stages_ms": measured.stage_medians(),
        "since_start": run.statuses["output"].values,
        "versions": package_versions(),
    }
