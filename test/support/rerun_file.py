"""Reads .rrd files with Rerun's own reader."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np


def read(path: Path, timeline: str = "frame") -> dict[str, dict[int, Any]]:
    """'entity component' -> time -> value, of everything that is logged at a time."""
    from rerun import chunk

    found: dict[str, dict[int, Any]] = defaultdict(dict)
    for piece in chunk.RrdReader(path).stream().to_chunks():
        rows = piece.to_record_batch()
        if timeline not in rows.schema.names:
            continue
        times = np.asarray(rows.column(timeline).cast("int64"))
        for name in rows.schema.names:
            if ":" in name:
                values = rows.column(name).to_pylist()
                found[f"{piece.entity_path} {name}"].update(zip(times.tolist(), values, strict=True))
    return found
