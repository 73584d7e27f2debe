"""Provides the options and the printed tables of the commands that score depth against lidar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

ProtocolOption = Annotated[str, typer.Option("--protocol", help="surrounddepth or vfdepth.")]
CapOption = Annotated[
    float | None, typer.Option("--cap", help="Largest true depth that is measured, metres. Default: 80, on DDAD 200.")
]
ScalingOption = Annotated[str, typer.Option("--scaling", help="none, or median: predictions are scaled to the truth.")]
MasksOption = Annotated[
    Path | None,
    typer.Option(
        "--masks", metavar="DIR", help="<camera>.png each, of the rectified image: what is black there is not measured."
    ),
]
BaselinesOption = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Score a constant depth and the ground plane too.")
]


def print_result(document: dict[str, Any]) -> None:
    """Print the tables and lines of a result document on stdout."""
    from rich.console import Console

    from fsmde_core.evaluation.results.tables import to_lines, to_tables

    console = Console()
    for table in to_tables(document):
        console.print(table)
    for line in to_lines(document):
        console.print(line, highlight=False)
