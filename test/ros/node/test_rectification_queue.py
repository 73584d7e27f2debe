"""Working ahead: begun on arrival, bounded, and nothing at all for nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="the node's parts need ROS 2")

from fsmde_core.errors import FsmdeError
from fsmde_ros.node.calibration import Calibration
from fsmde_ros.node.rectification_queue import MAX_AHEAD_PER_CAMERA, RectificationQueue
from support.small_rig import SmallRig

RIG = SmallRig().rig
NAME = RIG.names[0]
ROOM = MAX_AHEAD_PER_CAMERA * len(RIG.cameras)


@pytest.fixture
def rectifier() -> Iterator[RectificationQueue]:
    with ThreadPoolExecutor(1) as pool:
        pipeline: Any = SimpleNamespace(rectify=lambda image, camera: (image(), camera.name), pool=pool)
        yield RectificationQueue(pipeline, Calibration(RIG), lambda: {RIG.names[1]: "no mount"})


def test_begins_before_it_is_asked(rectifier: RectificationQueue) -> None:
    begun = Event()

    def read() -> Any:
        begun.set()
        return "pixels"

    pending = rectifier.submit(NAME, read)
    assert begun.wait(5)
    assert pending.result() == ("pixels", NAME)


def test_rests_while_nobody_listens(rectifier: RectificationQueue) -> None:
    rectifier.works_ahead = False
    begun = Event()
    pending = rectifier.submit(NAME, begun.set)  # type: ignore[arg-type]
    assert not begun.wait(0.1)
    pending.result()
    assert begun.is_set()


def held(read: list[int], go: Event, number: int) -> Callable[[], Any]:
    def pixels() -> int:
        go.wait(5)
        read.append(number)
        return number

    return pixels


def test_what_finds_no_room_waits_until_it_is_asked_for(rectifier: RectificationQueue) -> None:
    go, read = Event(), list[int]()
    started = [rectifier.submit(NAME, held(read, go, number)) for number in range(ROOM + 2)]
    go.set()
    assert [pending.result()[0] for pending in started[:ROOM]] == list(range(ROOM))  # type: ignore[index]
    assert read == list(range(ROOM))
    assert started[ROOM].result()[0] == ROOM  # type: ignore[index]


def test_room_is_given_back_by_what_ends_fails_or_is_cancelled(rectifier: RectificationQueue) -> None:
    for _ in range(2):
        go, read = Event(), list[int]()
        started = [rectifier.submit(NAME, held(read, go, number)) for number in range(ROOM)]
        started[-1].cancel()
        go.set()
        for pending in started[:-1]:
            pending.result()
        assert read == list(range(ROOM - 1))  # what is cancelled is not even read
        with pytest.raises(FsmdeError):
            rectifier.submit(RIG.names[1], go.wait).result()  # type: ignore[arg-type]
    begun = Event()
    rectifier.submit(NAME, begun.set)  # type: ignore[arg-type]
    assert begun.wait(5)


def test_faults_come_out_when_asked(rectifier: RectificationQueue) -> None:
    def broken() -> Any:
        raise FsmdeError("truncated")

    with pytest.raises(FsmdeError, match="truncated"):
        rectifier.submit(NAME, broken).result()
    with pytest.raises(FsmdeError, match="no mount"):
        rectifier.submit(RIG.names[1], broken).result()
