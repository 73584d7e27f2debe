"""The three real data sets for tests, whatever subset of their frames is there."""

from __future__ import annotations

import numpy as np
import pytest

from fsmde_core.frames import Frame
from fsmde_core.sources.datasets.ddad import DdadSource
from fsmde_core.sources.datasets.nuscenes import NuScenesSource
from fsmde_core.sources.datasets.pandaset import PandaSetSource
from fsmde_core.sources.source import IndexedSource

KINDS = {"nuscenes": NuScenesSource, "ddad": DdadSource, "pandaset": PandaSetSource}
ROOTS = {"nuscenes": "nuscenes_root", "ddad": "ddad_root", "pandaset": "pandaset_root"}


def real_source(kind: str, request: pytest.FixtureRequest) -> IndexedSource:
    """The source of that kind; skips the test where the recording is absent."""
    return KINDS[kind](request.getfixturevalue(ROOTS[kind]))


def lidar_frames(source: IndexedSource, count: int) -> list[Frame]:
    """Up to `count` frames with a sweep, spread over the recording; skips the test where there is none."""
    starts = np.linspace(0, len(source), count, endpoint=False).astype(int)
    found: dict[int, Frame] = {}
    for start in starts:
        frame = next((frame for frame in source.frames(int(start)) if frame.lidar is not None), None)
        if frame is not None:
            found[frame.index] = frame
    if not found:
        pytest.skip(f"{source.name}: no frame has lidar")
    return list(found.values())
