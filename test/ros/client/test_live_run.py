"""The figures of a live run, and whom it listens to: no node needed."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from fsmde_core.errors import FsmdeError
from fsmde_ros.client.listener import NodeListener
from fsmde_ros.client.live_run import LiveStatistics
from fsmde_ros.client.session import ros_node


def test_only_complete_sets_make_the_rate() -> None:
    """Ten complete sets a second with a torn one after each."""
    timings = [
        {"stamp_ns": 0, "cameras": cameras, "received_s": k / 10 + late, "end_to_end_ms": 9.0}
        for k in range(21)
        for cameras, late in ((6.0, 0.0), (2.0, 0.05))
    ]
    collector: Any = SimpleNamespace(timings=lambda: timings)
    statistics = LiveStatistics(collector, played_sets=21, cameras=6)
    assert statistics.complete_sets == 21
    assert statistics.sets_per_s == 10.0
    statistics._reported_s = time.monotonic() - 2.1
    assert " 10.0 sets/s " in statistics.progress_line(2.1)
    timings[:] = [timing for timing in timings if timing["cameras"] < 6]
    assert statistics.sets_per_s == 0.0


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_a_set_on_its_way_is_not_dropped(in_flight: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of twelve sets begun the fourth and the eighth are lost, the last ones are still being processed."""
    now = 0
    monkeypatch.setattr(time, "time_ns", lambda: now)
    timings: list[dict[str, float]] = []
    collector: Any = SimpleNamespace(timings=lambda: timings)
    statistics = LiveStatistics(collector, played_sets=12, cameras=6)
    statistics.start()
    for number in range(12):
        now = number * 100
        statistics.begin_set()
        finished = number - in_flight
        if finished >= 0 and finished not in (3, 7):
            timings.append({"stamp_ns": finished * 100 + 40, "cameras": 6.0, "received_s": now, "end_to_end_ms": 9.0})
        assert statistics.dropped_sets == (finished >= 4) + (finished >= 8)
    timings.append({"stamp_ns": 1140, "cameras": 6.0, "received_s": now, "end_to_end_ms": 9.0})
    assert statistics.dropped_sets == statistics.played_sets - statistics.complete_sets


@pytest.mark.parametrize(("namespace", "state"), [("", "mine"), ("car", "theirs"), ("/truck/rear", "another's")])
def test_the_node_of_another_namespace_is_not_listened_to(namespace: str, state: str) -> None:
    said = {"surround_depth": "mine", "car/surround_depth": "theirs", "truck/rear/surround_depth": "another's"}
    statuses = [DiagnosticStatus(name=f"{name}: node", message=message) for name, message in said.items()]
    with ros_node("listener", namespace) as node:
        listener = NodeListener(node, print)
        listener._read_diagnostics(DiagnosticArray(status=statuses))
    assert [status.message for status in listener.statuses.values()] == [state]


@pytest.mark.parametrize("namespace", ["my car", "car//rear", "1st"])
def test_a_namespace_that_is_none_is_an_error_in_one_sentence(namespace: str) -> None:
    with (
        pytest.raises(FsmdeError, match=rf"^namespace '{namespace}' cannot be used: [^\n]+$"),
        ros_node("n", namespace),
    ):
        pass
