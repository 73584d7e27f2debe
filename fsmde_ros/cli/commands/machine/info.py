"""`fsmde info`: what this machine has, and what `auto` would take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from rich.table import Table


def info(
    model: Annotated[Optional[Path], typer.Option(help="ONNX file; the shipped student by default.")] = None,  # noqa: UP045
) -> None:
    """Show engines and their devices, which one `auto` takes and why, the model, ROS 2, and the recordings found."""
    from rich.console import Console

    console = Console(highlight=False)
    for table in (_engines(), _model(model), _ros(), _recordings(), _versions()):
        console.print(table)


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", title_style="bold", show_header=bool(columns), box=None, padding=(0, 2)
    )
    for column in columns:
        table.add_column(column)
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
    from fsmde_ros.cli.versions import ros_environment, ros_packages

    table = _table("ROS 2")
    for package, here in ros_packages().items():
        table.add_row(package, "[green]here[/]" if here else "[yellow]not here[/]")
    for name, value in ros_environment().items():
        table.add_row(name, value or "not set")
    return table


def _recordings() -> Table:
    from fsmde_core.sources.selection import READERS, default_recording, find_recording

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
