"""What the commands do with result documents."""

from __future__ import annotations

from typing import Any


def print_result(document: dict[str, Any]) -> None:
    """Tables and lines of a result document, on stdout."""
    from rich.console import Console

    from fsmde_core.evaluation.results.tables import to_lines, to_tables

    console = Console()
    for table in to_tables(document):
        console.print(table)
    for line in to_lines(document):
        console.print(line, highlight=False)
