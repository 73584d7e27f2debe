"""The three real data sets for tests, whatever subset of their frames is there."""

from __future__ import annotations

import numpy as np
import pytest

from fsmde_core.frames import Frame
from fsmde_core.sources.base import IndexedSource
from fsmde_core.sources.ddad import DdadSource
from fsmde_core.sources.nuscenes import NuScenesSource
from fsmde_core.sources.pandaset import PandaSetSource

KINDS = {"nuscenes": NuScenesSource, "ddad": DdadSource, "pandaset": PandaSetSource}
ROOTS = {"nuscenes": "nuscenes_root", "ddad": "ddad_root", "pandaset": "pandaset_root"}


def real_source(kind: str, request: pytest.FixtureRequest) -> IndexedSource:
    """The source of that kind; skips the test where the recording is absent."""
    return KINDS[kind](request.getfixturevalue(ROOTS[kind]))


def lidar_frames(source: IndexedSource, count: int) -> list[Frame]:
    """Up to `count` frames with a sweep, spread over the recording; skips the test where there is none."""
    frames = [frame for frame in source.frames() if frame.lidar is not None]
    if not frames:
        pytest.skip(f"{source.name}: no frame has lidar")
    chosen = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    return [frames[index] for index in chosen]
