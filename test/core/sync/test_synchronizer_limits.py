"""The synchronizer's settings, and what a message costs it in orders that are hard for synchronizers."""

from __future__ import annotations

import random
import statistics
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.sync.groups import SyncSettings
from fsmde_core.sync.synchronizer import Synchronizer
from support.image_streams import MS, Message, check_accounting


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"window_ms": -1.0}, "window_ms"),
        ({"window_ms": float("nan")}, "window_ms"),
        ({"window_ms": 100.0, "deadline_ms": 99.0}, "deadline_ms"),
        ({"deadline_ms": float("inf")}, "deadline_ms"),
        ({"jump_ms": 50.0}, "jump_ms"),
        ({"min_cameras": 0}, "min_cameras"),
    ],
)
def test_settings_say_what_is_wrong(values: dict[str, Any], word: str) -> None:
    with pytest.raises(FsmdeError, match=word):
        SyncSettings(**values)


def test_cameras_and_min_cameras_are_checked() -> None:
    for cameras in ([], ["a", "a"]):
        with pytest.raises(FsmdeError, match="camera names"):
            Synchronizer[Any](cameras)
    with pytest.raises(FsmdeError, match="min_cameras is 3"):
        Synchronizer[Any]("ab", SyncSettings(min_cameras=3))


def orderings(kind: str, count: int = 1200) -> Iterator[Message]:
    """Twelve cameras in orders that are hard: each message opens a set, all images late, neighbours in no order."""
    rng = random.Random(1)
    for k in range(count):
        camera, other = f"c{k % 12}", f"c{rng.randrange(12)}"
        match kind:
            case "in_order":
                yield camera, k // 12 * 100 * MS, k // 12 * 100 * MS, None
            case "staggered":
                yield camera, k * 8 * MS, k * 8 * MS, None
            case "each_opens_a_set":
                yield camera, k * 95 * MS, k * 95 * MS, None
            case "shuffled":
                yield other, (k + rng.randrange(3000)) * MS, k * MS // 4, None
            case "one_camera_missing":
                yield f"c{k % 11}", k // 11 * 33 * MS + k % 11, k * 3 * MS, None
            case "one_camera_late":
                yield camera, (k // 12 * 33 - (400 if k % 12 == 11 else 0)) * MS, k * 3 * MS, None
            case "double_rate":
                yield ("c0" if k % 11 == 0 else f"c{1 + k % 10}"), k * 5 * MS, k * MS, None
            case "time_runs_backward":
                yield camera, -(k // 12) * 5000 * MS, k * MS, None


KINDS = [
    "in_order",
    "staggered",
    "each_opens_a_set",
    "shuffled",
    "one_camera_missing",
    "one_camera_late",
    "double_rate",
    "time_runs_backward",
]


def nanoseconds(action: Callable[..., Any], *given: Any) -> int:
    start = time.perf_counter_ns()
    action(*given)
    return time.perf_counter_ns() - start


YARDSTICK_NS = 12_500


def yardstick() -> None:
    """Python of the standard library: YARDSTICK_NS on a core of a Xeon of 2023 whose other hyperthread rests."""
    textwrap.wrap("twelve cameras and no two alike", 10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_costs_less_than_20_microseconds_at_12_cameras(kind: str) -> None:
    """The best of several runs of the same messages takes other processes out; then even the slowest ones count.

    A slower core may take longer, by as much as the yardstick takes longer there in the same run.
    """
    messages = list(orderings(kind))
    best, yardsticks = [10**9] * len(messages), [10**9] * (len(messages) // 60)
    for _ in range(40):
        sync = Synchronizer[Any]([f"c{i}" for i in range(12)])
        for k, message in enumerate(messages):
            best[k] = min(best[k], nanoseconds(sync.add, *message))
            if k % 60 == 59:  # between messages, so that caches are as cold for it as for them
                yardsticks[k // 60] = min(yardsticks[k // 60], nanoseconds(yardstick))
        slowest = sorted(best)[int(len(best) * 0.999)]
        limit = 20_000 * max(1.0, statistics.median(yardsticks) / YARDSTICK_NS)
        if slowest <= 20_000:
            break
    assert slowest <= limit


@pytest.mark.parametrize("kind", KINDS)
def test_no_backlog_grows_whatever_the_order(kind: str) -> None:
    """Why the cost is bounded: a message looks at two open sets with one image per camera, and few that wait."""
    sync = Synchronizer[Any]([f"c{i}" for i in range(12)])
    for message in orderings(kind):
        sync.add(*message)
        assert sum(sync.pending.values()) <= 2 * 12
        check_accounting(sync)
