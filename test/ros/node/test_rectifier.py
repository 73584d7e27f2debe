"""Working ahead: begun on arrival, bounded, and nothing at all for nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="the node's parts need ROS 2")

from fsmde_core.errors import FsmdeError
from fsmde_ros.node.calibration import Calibration
from fsmde_ros.node.rectifier import MAX_AHEAD_PER_CAMERA, Rectifier
from support.small_rig import SmallRig

RIG = SmallRig().rig
NAME = RIG.names[0]
ROOM = MAX_AHEAD_PER_CAMERA * len(RIG.cameras)


@pytest.fixture
def rectifier() -> Iterator[Rectifier]:
    pipeline: Any = SimpleNamespace(rectify=lambda image, camera: (image, camera.name))
    with closing(Rectifier(pipeline, Calibration(RIG), lambda: {RIG.names[1]: "no mount"}, threads=1)) as rectifier:
        yield rectifier


def test_begins_before_it_is_asked(rectifier: Rectifier) -> None:
    begun = Event()

    def read() -> Any:
        begun.set()
        return "pixels"

    rectification = rectifier.start(NAME, read)
    assert begun.wait(5)
    assert rectification.result() == ("pixels", NAME)


def test_rests_while_nobody_listens(rectifier: Rectifier) -> None:
    rectifier.ahead = False
    begun = Event()
    rectification = rectifier.start(NAME, begun.set)  # type: ignore[arg-type]
    assert not begun.wait(0.1)
    rectification.result()
    assert begun.is_set()


def held(read: list[int], go: Event, number: int) -> Callable[[], Any]:
    def pixels() -> int:
        go.wait(5)
        read.append(number)
        return number

    return pixels


def test_what_finds_no_room_waits_until_it_is_asked_for(rectifier: Rectifier) -> None:
    go, read = Event(), list[int]()
    started = [rectifier.start(NAME, held(read, go, number)) for number in range(ROOM + 2)]
    go.set()
    assert [rectification.result()[0] for rectification in started[:ROOM]] == list(range(ROOM))  # type: ignore[index]
    assert read == list(range(ROOM))
    assert started[ROOM].result()[0] == ROOM  # type: ignore[index]


def test_room_is_given_back_by_what_ends_fails_or_is_cancelled(rectifier: Rectifier) -> None:
    for _ in range(2):
        go, read = Event(), list[int]()
        started = [rectifier.start(NAME, held(read, go, number)) for number in range(ROOM)]
        started[-1].cancel()
        go.set()
        for rectification in started[:-1]:
            rectification.result()
        assert read == list(range(ROOM - 1))  # what is cancelled is not even read
        with pytest.raises(FsmdeError):
            rectifier.start(RIG.names[1], go.wait).result()  # type: ignore[arg-type]
    begun = Event()
    rectifier.start(NAME, begun.set)  # type: ignore[arg-type]
    assert begun.wait(5)


def test_faults_come_out_when_asked(rectifier: Rectifier) -> None:
    def broken() -> Any:
        raise FsmdeError("truncated")

    with pytest.raises(FsmdeError, match="truncated"):
        rectifier.start(NAME, broken).result()
    with pytest.raises(FsmdeError, match="no mount"):
        rectifier.start(RIG.names[1], broken).result()
