"""Where real recordings may lie."""

from __future__ import annotations

import os
from pathlib import Path


def find_recording(name: str) -> Path | None:
    """Folder `name` under $FSMDE_DATA, else under ../shared/data beside the working folder or the source tree."""
    roots = [Path(os.environ["FSMDE_DATA"])] if os.environ.get("FSMDE_DATA") else []
    source_tree = Path(__file__).resolve().parents[2]
    roots += [Path("../shared/data"), source_tree.parent / "shared" / "data"]
    for root in roots:
        if (root / name).is_dir():
            return root / name
    return None
