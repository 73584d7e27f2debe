"""Files shipped beside the code: models, rigs, profiles."""

from __future__ import annotations

from pathlib import Path


def find_shared(relative: str | Path) -> Path | None:
    """`relative` in the source tree, else in the installed share folder of the package; None where it is in neither."""
    source_tree = Path(__file__).resolve().parent.parent
    roots = [source_tree, *(parent / "share" / "fsmde_ros" for parent in source_tree.parents)]
    return next((root / relative for root in roots if (root / relative).exists()), None)
