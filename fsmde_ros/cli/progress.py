"""Shows how far a command is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, TaskID


def progress_bar() -> Progress:
    """Make a progress bar on stderr, so that what a command prints can be piped."""
    from rich.console import Console
    from rich.progress import TimeRemainingColumn

    return _bars(Console(stderr=True), TimeRemainingColumn())


def _bars(console: Console, time: ProgressColumn, transient: bool = False) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), time)
    return Progress(*columns, console=console, transient=transient)


class BuildBars:
    """Shows the phases of a TensorRT build as bars, each gone when it ends; a phase within another is indented."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        self._tasks[phase] = self._bars.add_task(f"{'  ' if parent else ''}{phase}", total=steps)

    def step(self, phase: str, done: int) -> None:
        if phase in self._tasks:
            self._bars.update(self._tasks[phase], completed=done)

    def finish(self, phase: str) -> None:
        if phase in self._tasks:
            self._bars.remove_task(self._tasks.pop(phase))


@contextmanager
def build_bars(console: Console) -> Iterator[BuildBars]:
    """Show the bars of a build on `console` while inside."""
    from rich.progress import TimeElapsedColumn

    with _bars(console, TimeElapsedColumn(), transient=True) as bars:
        yield BuildBars(bars)
