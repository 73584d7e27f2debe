"""Runs the demo: plays a recording into the node, and leaves pictures, a bag and a summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.results.document import write_document
from fsmde_core.sources.source import Source
from fsmde_ros.cli.demo.report import BAG, LOG, write_report
from fsmde_ros.cli.versions import package_versions
from fsmde_ros.client.live_run import LiveRun, LiveRunSettings, run_live

if TYPE_CHECKING:
    from rich.console import Console


def run_demo(recording: Source, out: Path, settings: LiveRunSettings, console: Console) -> dict[str, Any]:
    """Play a recording into the node, and write pictures, a bag and summary.json.

    Args:
        recording: Its first frames are played.
        out: Folder of the results; that of an earlier demo is overwritten.
        settings: How, and into which node.
        console: Where progress is shown.

    Returns:
        The summary.

    Raises:
        FsmdeError: The folder holds something else, or the node does not run.
    """
    _prepare_folder(out)
    run = run_live(recording, settings, out / LOG, console)
    summary = _summary(run)
    with console.status("Drawing pictures, writing the bag"):
        summary["files"] = write_report(out, run.recording, run.sent, run.outputs, summary)
    write_document(out / "summary.json", summary)
    return summary


def _prepare_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FsmdeError(f"the folder {out} cannot be made ({error.strerror}); give another one with --out") from error
    if (out / BAG).exists() and not (out / LOG).exists():
        raise FsmdeError(f"{out / BAG} is not a demo's and would be overwritten; give another folder with --out")
    (out / "summary.json").unlink(missing_ok=True)  # it is written last: without it the rest is incomplete


def _summary(run: LiveRun) -> dict[str, Any]:
    statistics, names = run.statistics, run.recording.rig.names
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
        "played_sets": statistics.played_sets,
        "complete_sets": statistics.complete_sets,
        "partial_sets": len(statistics.timings) - statistics.complete_sets,
        "dropped_sets": statistics.played_sets - statistics.complete_sets,
        "sets_per_s": statistics.sets_per_s,
        "end_to_end_ms": statistics.end_to_end(),
        "stages_ms": statistics.stage_medians(),
        "since_start": run.statuses["output"].values,
        "versions": package_versions(),
    }
