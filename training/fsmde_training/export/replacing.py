"""Files that come to their place whole and checked, or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file of the same name to write, in a folder beside `path`; it becomes `path` unless the block raises.

    Until then what was at `path` stays. The folder goes with all that the block leaves there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export_", dir=path.parent) as folder:
        file = Path(folder) / path.name
        yield file
        file.replace(path)
