"""What the commands do with recordings: open one as the options say, and show how far they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsmde_core.errors import FsmdeError
from fsmde_core.sources import default_recording, open_source

if TYPE_CHECKING:
    from rich.progress import Progress

    from fsmde_core.sources.source import Source


def open_recording(kind: Any | None, root: Path | None, **options: Any) -> Source:
    """The recording of --source and --root; without either the default one, with a root alone a rosbag."""
    if kind is not None:
        return open_source(kind.value, root, **options)
    if root is not None:
        return open_source("rosbag", root, **options)
    return open_source(*default_recording(), **options)


def recording_place(kind: Any | None, source: Source) -> tuple[str, Path | None]:
    """(kind, root) of what `open_recording` opened for --source `kind`; the synthetic street has no root."""
    root = getattr(source, "root", None) or getattr(source, "path", None)
    if kind is not None:
        return kind.value, root
    return ("rosbag" if hasattr(source, "path") else source.name), root


def frame_count(source: Source, frames: tuple[int, int | None]) -> int:
    """How many frames a range of `source` has; FsmdeError without any."""
    count = len(range(*slice(*frames).indices(len(source))))
    if not count:
        raise FsmdeError(f"the recording {source.name} has no frames in the range {frames}, of {len(source)}")
    return count


def progress_bar() -> Progress:
    """The one look of progress bars; on stderr, so that what a command prints can be piped."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
