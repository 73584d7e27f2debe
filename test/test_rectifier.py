"""Working ahead: begun on arrival, bounded, and nothing at all for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="the node's parts need ROS 2")

from fsmde_core.errors import FsmdeError
from fsmde_ros.calibration import Calibration
from fsmde_ros.rectifier import MAX_AHEAD_PER_CAMERA, Rectifier
from small_rig import SmallRig

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

    rectified = rectifier.start(NAME, read)
    assert begun.wait(5)
    assert rectified() == ("pixels", NAME)


def test_rests_while_nobody_listens(rectifier: Rectifier) -> None:
    rectifier.ahead = False
    begun = Event()
    rectified = rectifier.start(NAME, lambda: begun.set())  # type: ignore[arg-type, return-value]
    assert not begun.wait(0.1)
    rectified()
    assert begun.is_set()


def test_what_finds_no_room_waits_until_it_is_asked_for(rectifier: Rectifier) -> None:
    go, read = Event(), []

    def reader(number: int) -> Any:
        def pixels() -> int:
            go.wait(5)
            read.append(number)
            return number

        return pixels

    started = [rectifier.start(NAME, reader(number)) for number in range(ROOM + 2)]
    go.set()
    assert [rectified()[0] for rectified in started[:ROOM]] == list(range(ROOM))  # type: ignore[index]
    assert read == list(range(ROOM))
    assert started[ROOM]()[0] == ROOM  # type: ignore[index]
    assert rectifier.start(NAME, reader(99))()[0] == 99  # type: ignore[index]


def test_faults_come_out_when_asked(rectifier: Rectifier) -> None:
    def broken() -> Any:
        raise FsmdeError("truncated")

    with pytest.raises(FsmdeError, match="truncated"):
        rectifier.start(NAME, broken)()
    with pytest.raises(FsmdeError, match="no mount"):
        rectifier.start(RIG.names[1], broken)()
