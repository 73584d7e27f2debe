"""Implements `fsmde info`: what this machine has, and what `auto` would choose."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fsmde_ros.cli.options import ModelOption

if TYPE_CHECKING:
    from rich.table import Table

ROS_PACKAGES = ("rclpy", "sensor_msgs", "diagnostic_msgs", "lifecycle_msgs", "tf2_msgs", "message_filters", "cv_bridge")


def info(model: ModelOption = None) -> None:
    """Show the engines and their devices, the one that `auto` chooses, the model, ROS 2 and the recordings found."""
    from rich.console import Console

    console = Console(highlight=False)
    for table in (_engines(), _model(model), _ros(), _recordings(), _versions()):
        console.print(table)


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2))
    table.show_header = bool(columns)
    return table


def _engines() -> Table:
    from fsmde_core.engines import describe_engines

    table = _table("Engines, in the order in which auto tries them", "engine", "version", "devices", "")
    for report in describe_engines():
        state = "[green]works[/]" if report.available else f"[yellow]{report.reason}[/]"
        table.add_row(report.name, report.version, ", ".join(report.devices), state)
    return table


def _model(path: Path | None) -> Table:
    from fsmde_core.engines import load_engine
    from fsmde_core.engines.model import default_model_path
    from fsmde_core.errors import FsmdeError

    table = _table("Model")
    try:
        engine = load_engine("auto", path or default_model_path())
    except FsmdeError as error:
        table.add_row("none", f"[yellow]{error}[/]")
        return table
    model = engine.info
    table.add_row("file", f"{model.path} ({model.path.stat().st_size / 1e6:.1f} MB)")
    table.add_row("sha256", model.sha256[:16])
    table.add_row(
        "input", f"{model.width}x{model.height} pixels, canonical focal length {model.focal_canonical:g} pixels"
    )
    table.add_row("depth", f"{model.min_depth:g} to {model.max_depth:g} m")
    table.add_row("trained on", model.training_data)
    table.add_row("git, licence", f"{model.git_revision}, {model.licence}")
    reason = "the first of the list above that follows the ONNX reference on a fixed input"
    table.add_row("auto takes", f"[green]{engine.name}[/] in {engine.precision} on {engine.device}: {reason}")
    engine.close()
    return table


def _ros() -> Table:
    from fsmde_ros.middleware.dds import FAST_DDS_2, FAST_DDS_3

    table = _table("ROS 2")
    for package in ROS_PACKAGES:
        table.add_row(package, "[green]here[/]" if find_spec(package) else "[yellow]not here[/]")
    for name in ("ROS_DISTRO", "ROS_DOMAIN_ID", "RMW_IMPLEMENTATION", FAST_DDS_2, FAST_DDS_3):
        table.add_row(name, os.environ.get(name) or "not set")
    return table


def _recordings() -> Table:
    from fsmde_core.sources.registry import READERS, default_recording, find_recording

    table = _table("Recordings")
    for kind, (_, _, sample) in READERS.items():
        if sample:
            table.add_row(kind, str(find_recording(sample) or "[yellow]not found[/]"))
    table.add_row("demo plays", default_recording()[0])
    return table


def _versions() -> Table:
    from fsmde_ros.cli.versions import package_versions

    table = _table("Versions")
    for package, number in package_versions().items():
        table.add_row(package, number)
    return table
