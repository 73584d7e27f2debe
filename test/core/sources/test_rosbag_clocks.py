"""Bags with wrong stamps, late sweeps and loops: what is right is grouped as if nothing else were there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fsmde_core.frames import Frame
from fsmde_core.messages.encode import Message, restamp
from fsmde_core.sources.rosbag import RosbagSource
from support.bags import MS, S, recorded, write_messages
from support.small_rig import SmallRig

FRAMES = 12
HOUR = 3600 * S


def read(path: Path, change: Callable[[Message], Message | None]) -> tuple[list[Frame], list[str]]:
    """Frames and notes of a bag of the small rig whose messages were changed; None drops one."""
    messages = [new for old in recorded(SmallRig(FRAMES)) if (new := change(old)) is not None]
    source = RosbagSource(write_messages(path, sorted(messages, key=lambda message: message.stamp_ns)))
    return list(source.frames()), source.notes


def shifted(topic: str, by_ns: int, only_ns: int | None = None) -> Callable[[Message], Message]:
    """The stamps of a topic moved, recorded when they were; only_ns: of the message recorded then."""

    def change(message: Message) -> Message:
        if message.topic != topic or only_ns not in (None, message.stamp_ns):
            return message
        return replace(message, data=restamp(message, message.stamp_ns + by_ns))

    return change


def with_lidar(frames: list[Frame]) -> list[int]:
    return [frame.index for frame in frames if frame.lidar is not None]


@pytest.mark.parametrize("by_ns", [1200 * MS, HOUR])
def test_clock_of_one_camera_that_is_off_costs_its_images_alone(tmp_path: Path, by_ns: int) -> None:
    frames, notes = read(tmp_path / "bag", shifted("back/image_raw", by_ns))
    assert [list(frame.images) for frame in frames] == [["front", "right", "left"]] * FRAMES
    assert with_lidar(frames) == list(range(0, FRAMES, 2))
    (note,) = notes
    assert "has 12 of 12 images on /back/image_raw with stamps more than 1 s from those of most cameras" in note


def test_one_wrong_stamp_of_an_image_costs_that_image(tmp_path: Path) -> None:
    frames, notes = read(tmp_path / "bag", shifted("back/image_raw", HOUR, only_ns=1330 * MS))
    assert [frame.index for frame in frames if "back" not in frame.images] == [3] and len(frames) == FRAMES
    assert with_lidar(frames) == list(range(0, FRAMES, 2))
    assert len(notes) == 1 and "1 of 12 images on /back/image_raw" in notes[0]


def test_one_wrong_stamp_of_a_sweep_costs_that_sweep(tmp_path: Path) -> None:
    frames, _ = read(tmp_path / "bag", shifted("lidar/points", HOUR, only_ns=1465 * MS))
    assert len(frames) == FRAMES and all(len(frame.images) == 4 for frame in frames)
    assert with_lidar(frames) == [0, 2, 6, 8, 10]


@pytest.mark.parametrize("late_ms", [60, 150, 400])
def test_sweeps_that_are_recorded_late_are_waited_for(tmp_path: Path, late_ms: int) -> None:
    """A driver that stamps the beginning of a turn sends it a tenth of a second later."""

    def late(message: Message) -> Message:
        by_ns = late_ms * MS * (message.topic == "lidar/points")
        return replace(message, stamp_ns=message.stamp_ns + by_ns)

    frames, _ = read(tmp_path / "bag", late)
    assert with_lidar(frames) == list(range(0, FRAMES, 2))


def test_lidar_that_falls_silent_is_waited_for_half_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = [m for m in recorded(SmallRig(40)) if m.topic != "lidar/points" or m.stamp_ns < 1300 * MS]
    source = RosbagSource(write_messages(tmp_path / "bag", silent))
    messages, reached = source._bag.messages, [0]

    def watched(topics: list[str]):  # type: ignore[no-untyped-def]
        for record in messages(topics):
            reached[0] = record.time_ns
            yield record

    monkeypatch.setattr(source._bag, "messages", watched)
    waits = [reached[0] - frame.stamp_ns for frame in source.frames()]
    assert len(waits) == 40 and max(waits) <= 600 * MS


def test_recorded_loop_keeps_lidar_after_the_jump_back(tmp_path: Path) -> None:
    """What `ros2 bag play --loop` plays, recorded anew."""
    first = list(recorded(SmallRig(40)))
    again = [replace(m, stamp_ns=m.stamp_ns + 4 * S) for m in first if m.topic != "/tf_static"]
    source = RosbagSource(write_messages(tmp_path / "bag", [*first, *again]))
    frames = list(source.frames())
    assert len(frames) == 79 and len(with_lidar(frames)) == 40  # one frame is lost at the jump
