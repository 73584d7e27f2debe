"""The figures of a live run: no node needed."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from fsmde_ros.live import Measured


def test_only_complete_sets_make_the_rate() -> None:
    """Ten complete sets a second with a torn one after each."""
    timings = [
        {"stamp_ns": 0, "cameras": cameras, "received_s": k / 10 + late, "end_to_end_ms": 9.0}
        for k in range(21)
        for cameras, late in ((6.0, 0.0), (2.0, 0.05))
    ]
    collector: Any = SimpleNamespace(timings=lambda: timings)
    measured = Measured(collector, played=21, cameras=6)
    assert measured.complete == 21
    assert measured.sets_per_s == 10.0
    measured._before = time.monotonic() - 2.1
    assert " 10.0 sets/s " in measured.line(2.1, 21)
    timings[:] = [timing for timing in timings if timing["cameras"] < 6]
    assert measured.sets_per_s == 0.0
