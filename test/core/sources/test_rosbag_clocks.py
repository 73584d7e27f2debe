"""Bags with wrong stamps, late sweeps and loops: what is right is grouped as if nothing else were there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.messages.encode import TRANSFORMS, Message, restamp
from fsmde_core.sources.rosbag import RosbagSource
from support.bags import MS, S, changed, cloud, recorded, write_messages
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


@pytest.mark.parametrize("by_ns", [-900 * MS, -300 * MS, 300 * MS, 950 * MS, 1200 * MS, HOUR])
def test_clock_of_one_camera_that_is_off_costs_its_images_alone(tmp_path: Path, by_ns: int) -> None:
    frames, notes = read(tmp_path / "bag", shifted("back/image_raw", by_ns))
    assert [list(frame.images) for frame in frames] == [["front", "right", "left"]] * FRAMES
    assert with_lidar(frames) == list(range(0, FRAMES, 2))
    (note,) = notes
    side = "ahead of" if by_ns > 0 else "behind"
    stated = f"has 12 images on /back/image_raw, none used, their stamps lie {abs(by_ns) // MS} ms {side} those of most"
    assert stated in note


def test_a_camera_of_three_times_the_rate_is_in_every_set_once(tmp_path: Path) -> None:
    """What it sends between the sets is left out, with a note and a count; no sweep is used twice.

    The first two frames are torn: as long as no rate is known, a second image of a camera may begin the next frame.
    """
    messages = list(recorded(SmallRig(FRAMES)))
    more = [
        replace(m, data=restamp(m, m.stamp_ns + third * MS), stamp_ns=m.stamp_ns + third * MS)
        for m in messages
        if m.topic == "front/image_raw"
        for third in (33, 67)
    ]
    source = RosbagSource(
        write_messages(tmp_path / "bag", sorted([*messages, *more], key=lambda message: message.stamp_ns))
    )
    frames = list(source.frames())
    assert [len(frame.images) for frame in frames[3:]] == [4] * (FRAMES - 2)
    swept = [frame.lidar.stamp_ns for frame in frames if frame.lidar is not None]
    assert len(swept) == len(set(swept)) == FRAMES // 2
    images = source.counts.images
    assert images.read == 72 and images.used == sum(len(frame.images) for frame in frames)
    assert images.left_out["between sets"] >= 20
    assert any("36 images on /front/image_raw" in note and "at another rate than most" in note for note in source.notes)


def test_repeated_images_and_those_that_come_late_are_notes_with_counts(tmp_path: Path) -> None:
    """One image is recorded twice, another when its set is long closed."""
    messages = list(recorded(SmallRig(FRAMES)))
    (again,) = [m for m in messages if m.topic == "back/image_raw" and m.stamp_ns == 1330 * MS]
    (late,) = [m for m in messages if m.topic == "left/image_raw" and m.stamp_ns == 1545 * MS]
    messages = [m for m in messages if m is not late]
    messages += [replace(again, stamp_ns=again.stamp_ns + MS), replace(late, stamp_ns=late.stamp_ns + 400 * MS)]
    source = RosbagSource(write_messages(tmp_path / "bag", sorted(messages, key=lambda m: m.stamp_ns)))
    frames = list(source.frames())
    assert [frame.index for frame in frames if len(frame.images) < 4] == [5] and len(frames) == FRAMES
    assert source.counts.images.left_out["sent twice"] == 1
    assert source.counts.images.left_out.total() == 2
    assert any("13 images on /back/image_raw, 1 left out, each has the stamp" in note for note in source.notes)
    assert any("12 images on /left/image_raw, 1 left out" in note for note in source.notes)


def test_jump_ms_is_an_option_of_the_reader(tmp_path: Path) -> None:
    bag = write_messages(tmp_path / "bag", recorded(SmallRig(2)))
    assert len(RosbagSource(bag, jump_ms=300.0)) == 2
    with pytest.raises(FsmdeError, match="jump_ms is 50"):
        RosbagSource(bag, jump_ms=50.0)


def test_one_wrong_stamp_of_an_image_costs_that_image(tmp_path: Path) -> None:
    frames, notes = read(tmp_path / "bag", shifted("back/image_raw", HOUR, only_ns=1330 * MS))
    assert [frame.index for frame in frames if "back" not in frame.images] == [3] and len(frames) == FRAMES
    assert with_lidar(frames) == list(range(0, FRAMES, 2))
    assert len(notes) == 1 and "12 images on /back/image_raw, 1 left out, their stamps lie 3600000 ms ahead" in notes[0]


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
    lacking = [frame.index for frame in frames if len(frame.images) < 4]
    assert (len(frames), lacking) == (80, [40]) and len(with_lidar(frames)) == 40  # the jump costs one frame an image


@pytest.mark.parametrize(("by_ns", "seconds"), [(37 * S, "37.0"), (-2 * HOUR, "7200.0")])
def test_lidar_on_another_clock_is_named_with_its_offset(tmp_path: Path, by_ns: int, seconds: str) -> None:
    def away(message: Message) -> Message:
        """Stamps of a lidar whose clock is off; of an hour before, so that all are positive."""
        late = replace(message, stamp_ns=message.stamp_ns + 3 * HOUR, data=later(message, 3 * HOUR))
        return shifted("lidar/points", by_ns)(late)

    frames, notes = read(tmp_path / "bag", away)
    assert len(frames) == FRAMES and with_lidar(frames) == []
    (note,) = notes
    said = (
        f"has 6 sweeps on /lidar/points, none used, their stamps lie {seconds} s from the images recorded beside them"
    )
    assert said in note


def later(message: Message, by_ns: int) -> bytes:
    if message.type == TRANSFORMS:

        def change(content: Any) -> None:
            for entry in content.transforms:
                entry.header.stamp.sec += by_ns // S

        return bytes(changed(message, change).data)
    return restamp(message, message.stamp_ns + by_ns)


def test_cameras_on_another_clock_than_the_transforms_are_named_with_their_offset(tmp_path: Path) -> None:
    def away(message: Message) -> Message:
        is_image = "image_raw" in message.topic
        return replace(message, data=restamp(message, message.stamp_ns + 37 * S)) if is_image else message

    with pytest.raises(FsmdeError, match=r"no images that can be used.*12 images on /front/image_raw, none used") as no:
        read(tmp_path / "bag", away)
    assert "their stamps lie 37.0 s from the transforms recorded beside them" in str(no.value)


def slow(path: Path, phase_ms: int, drop: str = "-") -> RosbagSource:
    """Sets every 400 ms and sweeps as often, `phase_ms` after a set's newest image."""
    messages = [m for m in recorded(SmallRig(20), drop=drop) if m.topic != "lidar/points"]
    seen = [m for m in messages if "image_raw" not in m.topic or (m.stamp_ns // MS - 1000) // 100 % 4 == 0]
    points = np.random.default_rng(1).normal(size=(9, 3))
    sweeps = [cloud((1045 + 400 * k + phase_ms) * MS, "base_link", points) for k in range(5)]
    return RosbagSource(write_messages(path, sorted([*seen, *sweeps], key=lambda message: message.stamp_ns)))


@pytest.mark.parametrize("phase_ms", [30, 110, -110, 190])
def test_far_sweep_is_moved_to_its_images_with_the_poses(tmp_path: Path, phase_ms: int) -> None:
    source = slow(tmp_path / "bag", phase_ms)
    frames = list(source.frames())
    assert with_lidar(frames) == [0, 1, 2, 3, 4]
    for k, frame in enumerate(frames):
        assert frame.lidar is not None and frame.lidar.stamp_ns == (1045 + 400 * k + phase_ms) * MS
        np.testing.assert_allclose(frame.lidar.T_world_base, SmallRig.pose(frame.lidar.stamp_ns), atol=1e-4)
    assert source.counts.sweeps.used == 5
    moved = [note for note in source.notes if "has 5 sweeps on /lidar/points far from their images" in note]
    assert len(moved) == (abs(phase_ms) > 50)


def test_far_sweep_stays_out_without_poses(tmp_path: Path) -> None:
    source = slow(tmp_path / "bag", 110, drop="tf$")
    assert with_lidar(list(source.frames())) == []
    assert source.counts.sweeps.left_out == {"far from every set of images": 5}
    assert any(
        "none used, they lie more than 50 ms from every set of images; without motion" in n for n in source.notes
    )


def test_every_second_sweep_of_a_fast_lidar_is_counted_without_a_note(tmp_path: Path) -> None:
    extra = [cloud((1015 + 100 * k) * MS, "base_link", np.ones((9, 3))) for k in range(4)]
    messages = sorted([*recorded(SmallRig(4)), *extra], key=lambda message: message.stamp_ns)
    source = RosbagSource(write_messages(tmp_path / "bag", messages))
    assert [frame.lidar.stamp_ns // MS for frame in source.frames() if frame.lidar] == [1065, 1115, 1265, 1315]
    assert (source.counts.sweeps.read, source.counts.sweeps.used, source.notes) == (6, 4, [])
    assert source.counts.sweeps.left_out == {"another sweep is nearer to the images": 2}


@pytest.mark.parametrize("order", [[(0, 4), (4, None)], [(0, None), (0, None)], [(3, 5), (0, 2), (0, None)]])
def test_counts_are_those_of_the_recording_however_it_is_read(tmp_path: Path, order: list[tuple[int, int]]) -> None:
    messages = [shifted("back/image_raw", HOUR, only_ns=1330 * MS)(m) for m in recorded(SmallRig(FRAMES))]
    twice = [replace(m, stamp_ns=m.stamp_ns + 1) for m in messages if m.topic == "left/image_raw"]
    path = write_messages(tmp_path / "bag", sorted([*messages, *twice], key=lambda message: message.stamp_ns))
    source = RosbagSource(path)
    for start, stop in order:
        list(source.frames(start, stop))
    len(source)
    images = source.counts.images
    assert (images.read, images.used) == (5 * FRAMES, 4 * FRAMES - 1)
    assert sum(images.left_out.values()) == FRAMES + 1 and images.left_out["sent twice"] == FRAMES
    assert source.counts.poses.read == source.counts.poses.used == sum(m.topic == "/tf" for m in messages)
