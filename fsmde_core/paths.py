"""Finds files shipped beside the code (models, rigs, profiles), and where to keep those made on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def find_shared(relative: str | Path) -> Path | None:
    """Find a file in the source tree, else in the installed share folder of the package; None if it is in neither."""
    source_tree = Path(__file__).resolve().parent.parent
    roots = [source_tree, *(parent / "share" / "fsmde_ros" for parent in source_tree.parents)]
    return next((root / relative for root in roots if (root / relative).exists()), None)


def user_cache() -> Path:
    """Name the folder of files that can be made again: fsmde in $XDG_CACHE_HOME, else in the user's ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fsmde"
