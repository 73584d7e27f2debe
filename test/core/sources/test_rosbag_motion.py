"""Poses of a bag's frames: chains of frames, jumps of the map, moving lidars, gaps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.encode import TF_STATIC_TOPIC, TF_TOPIC, Message
from fsmde_core.rig.geometry import rigid
from fsmde_core.sources.rosbag import RosbagSource
from fsmde_core.sources.rosbag.ledger import PassCounts
from support.bags import MS, S, changed, cloud, transforms, write_bag
from support.moving_bags import LIFT, POINTS, bag, odometry
from support.small_rig import SmallRig, yaw


def lift() -> list[Message]:
    return [transforms(995 * MS, ("base_footprint", "base_link", LIFT), topic=TF_STATIC_TOPIC)]


def assert_poses(source: RosbagSource, seen: int = 12) -> None:
    frames = list(source.frames())
    assert len(frames) == seen
    for frame in frames:
        for name, image in frame.images.items():
            expected = SmallRig.pose(image.stamp_ns) @ LIFT
            np.testing.assert_allclose(frame.T_world_base[name], expected, atol=1e-6)


def test_motion_comes_through_the_chain_of_frames(tmp_path: Path) -> None:
    source = bag(tmp_path / "bag", odometry(), lift())
    assert_poses(source)
    assert all("no lidar" in note for note in source.notes)


def test_map_jumps_do_not_reach_the_poses(tmp_path: Path) -> None:
    """REP-105: localization moves odom within map in jumps; the vehicle itself moves in odom."""
    jumps = [transforms(k * 300 * MS, ("map", "odom", rigid(yaw(20 * k), (k, 0, 0)))) for k in range(3, 8)]
    assert_poses(bag(tmp_path / "bag", odometry(), lift(), jumps))


def test_a_vehicle_localized_in_the_map_alone_moves_there(tmp_path: Path) -> None:
    moved = [transforms(m.stamp_ns, ("map", "base_footprint", SmallRig.pose(m.stamp_ns))) for m in odometry()]
    assert_poses(bag(tmp_path / "bag", moved, lift()))


def test_two_moving_links_between_odom_and_base(tmp_path: Path) -> None:
    """odom to base_footprint level, base_footprint to base_link with the body's heave, at another rate."""
    heave = lambda stamp: LIFT @ rigid(np.eye(3), (0, 0, 0.1e-9 * (stamp - S)))  # noqa: E731
    body = [transforms(k * 7 * MS, ("base_footprint", "base_link", heave(k * 7 * MS))) for k in range(142, 330)]
    for frame in bag(tmp_path / "bag", odometry(), body).frames():
        for name, image in frame.images.items():
            expected = SmallRig.pose(image.stamp_ns) @ heave(image.stamp_ns)
            np.testing.assert_allclose(frame.T_world_base[name], expected, atol=1e-6)


@pytest.mark.parametrize("late_ms", [30, 200, 400])
def test_poses_that_are_recorded_after_the_images_are_waited_for(tmp_path: Path, late_ms: int) -> None:
    assert_poses(bag(tmp_path / "bag", odometry(late_ms=late_ms), lift(), frames=9), seen=9)


def test_motion_that_begins_long_after_the_recording_is_found(tmp_path: Path) -> None:
    wheel = [transforms(k * 100 * MS, ("base_link", "wheel", rigid(yaw(k), (0, 0, 0)))) for k in range(10, 60)]
    source = bag(tmp_path / "bag", odometry(start=3990, stop=5300), lift(), wheel, frames=42)
    first = next(source.frames())  # motion goes on before its first pose, at 3.99 s, by half a second
    assert first.index == 25 and list(first.images) == ["front", "right", "back", "left"]
    assert source.counts.images.left_out == {"no pose of the vehicle at their time": 4 * 25}
    frame = next(source.frames(31))
    expected = SmallRig.pose(frame.images["back"].stamp_ns) @ LIFT
    np.testing.assert_allclose(frame.T_world_base["back"], expected, atol=1e-6)


def test_gap_in_the_motion_costs_the_images_in_it(tmp_path: Path) -> None:
    source = bag(tmp_path / "bag", odometry(stop=1500), odometry(start=4000, stop=5300), lift(), frames=40)
    # Poses end at 1.49 s. Motion goes on until 1.99 s; the first image after that is the one of 2 s, in frame 10.
    # Poses come again at 4 s, and motion half a second before.
    assert [frame.index for frame in source.frames()] == [*range(10), *range(25, 40)]
    assert len(list(source.frames(0, 12))) == 10 and len(source) == 40
    assert source.counts.images.used == 4 * 25
    notes = [note for note in source.notes if "'base_footprint' in 'odom' within 0.5 s of stamp 2.0" in note]
    assert len(notes) == 4 and "has 40 images on /front/image_raw, 15 left out" in notes[0]


@pytest.mark.parametrize("drop", ["tf$|lidar", "lidar"])
def test_static_transforms_alone_mean_that_the_vehicle_stands(tmp_path: Path, drop: str) -> None:
    """Without /tf, and with a /tf that moves other things only."""
    wheel = [] if drop == "lidar" else [transforms(k * 100 * MS, ("base_link", "wheel", LIFT)) for k in range(10, 20)]
    source = bag(tmp_path / "bag", wheel, drop="tf$|lidar")
    for frame in source.frames():
        np.testing.assert_array_equal(frame.T_world_base["left"], np.eye(4))
    assert any("no motion of 'base_link' on /tf: the vehicle is taken to stand still" in note for note in source.notes)


def test_lidar_on_a_turning_mast(tmp_path: Path) -> None:
    """base_link to mast on /tf, mast to lidar fixed: points are in the base frame of the sweep's own moment."""
    T_mast_lidar = rigid(yaw(90), (0.5, 0, 0.1))
    turning = lambda stamp: rigid(yaw(90e-9 * stamp), (0, 0, 2))  # noqa: E731
    mast = [transforms(k * 50 * MS, ("base_link", "mast", turning(k * 50 * MS))) for k in range(19, 50)]
    fixed = [transforms(996 * MS, ("mast", "lidar", T_mast_lidar), topic=TF_STATIC_TOPIC)]
    sweeps = [cloud((1065 + 100 * k) * MS, "lidar", POINTS) for k in range(12)]
    frames = list(bag(tmp_path / "bag", odometry(), lift(), mast, fixed, sweeps).frames())
    assert len(frames) == 12
    for frame in frames:
        assert frame.lidar is not None
        T = turning(frame.lidar.stamp_ns) @ T_mast_lidar
        np.testing.assert_allclose(frame.lidar.points, POINTS @ T[:3, :3].T + T[:3, 3], atol=1e-5)
        expected = SmallRig.pose(frame.lidar.stamp_ns) @ LIFT
        np.testing.assert_allclose(frame.lidar.T_world_base, expected, atol=1e-6)


def test_camera_on_a_moving_frame_is_refused(tmp_path: Path) -> None:
    neck = [transforms(k * 50 * MS, ("base_link", "neck", rigid(yaw(k), (0, 0, 1)))) for k in range(19, 50)]
    eyes = [("neck", f"{name}_optical", LIFT) for name in SmallRig().rig.names]
    with pytest.raises(FsmdeError, match=r"no camera.*'neck' moves in 'base_link'.*/tf_static"):
        bag(tmp_path / "bag", neck, [transforms(990 * MS, *eyes, topic=TF_STATIC_TOPIC)], drop="tf|lidar")


def test_leading_slashes_of_old_are_no_part_of_a_frame(tmp_path: Path) -> None:
    moved = [transforms(m.stamp_ns, ("/odom", "/base_footprint", SmallRig.pose(m.stamp_ns))) for m in odometry()]
    joined = [transforms(995 * MS, ("/base_footprint", "/base_link", LIFT), topic=TF_STATIC_TOPIC)]
    sweep = [cloud(1065 * MS, "/base_link", POINTS)]
    source = bag(tmp_path / "bag", moved, joined, sweep)
    assert_poses(source)
    lidar = next(source.frames()).lidar
    assert lidar is not None
    np.testing.assert_array_equal(lidar.points, POINTS)


def broken_transform(stamp_ns: int, parent: str, child: str, part: str, topic: str = TF_TOPIC) -> Message:
    """A transform with a NaN translation, or with a quaternion of zeros."""

    def change(content: Any) -> None:
        transform = content.transforms[0].transform
        if part == "translation":
            transform.translation.x = math.nan
        else:
            transform.rotation.w = 0.0

    return changed(transforms(stamp_ns, (parent, child, np.eye(4)), topic=topic), change)


@pytest.mark.parametrize("part", ["translation", "rotation"])
def test_broken_transforms_are_left_out_with_a_note_per_frame(tmp_path: Path, part: str) -> None:
    broken = [
        broken_transform(stamp * MS, parent, child, part)
        for stamp in (1502, 1702)
        for parent, child in (("odom", "base_footprint"), ("base_link", "arm"))
    ]
    source = bag(tmp_path / "bag", odometry(), lift(), broken)
    assert_poses(source)
    base, arm = (note for note in source.notes if "left out" in note)
    assert f"{tmp_path / 'bag'} has transforms of 'base_footprint' in 'odom' that were left out: a {part}" in base
    assert "'arm' in 'base_link'" in arm


def test_broken_mount_of_a_camera_costs_the_camera(tmp_path: Path) -> None:
    broken = broken_transform(990 * MS, "base_link", "front_optical", "translation", TF_STATIC_TOPIC)
    eyes = [("base_link", f"{name}_optical", LIFT) for name in SmallRig().rig.names if name != "front"]
    source = bag(tmp_path / "bag", [broken, transforms(990 * MS, *eyes, topic=TF_STATIC_TOPIC)], drop="tf|lidar")
    assert set(source.rig.names) == {"right", "back", "left"}
    notes = " ".join(source.notes)
    assert "does not join 'front_optical'" in notes and "'front_optical' in 'base_link' that were left out" in notes


def test_poses_are_not_kept(tmp_path: Path) -> None:
    """The tree holds ten seconds, not the whole /tf."""
    source = RosbagSource(write_bag(tmp_path / "bag", SmallRig(300)))
    calibration = source._calibration.copy()
    groups = source._groups(calibration, PassCounts(source._ledger))
    held = [len(calibration.tree.tracks_between("odom", "base_link")[0]._stamps) for _ in groups]
    assert len(held) == 300 and 450 <= max(held) <= 455  # 4 images in 100 ms, and a sweep in every second 100 ms


def two_parents(*others: Message) -> list[Message]:
    return [*odometry(child="base_link"), *others]


@pytest.mark.parametrize("period_ms", [100, 20])
@pytest.mark.parametrize("first_ms", [980, 1010])
def test_motion_in_odom_is_used_where_a_map_moves_the_base_too(tmp_path: Path, period_ms: int, first_ms: int) -> None:
    jumping = [
        transforms(ms * MS, ("map", "base_link", rigid(yaw(ms), (100 + ms, 50, 0))))
        for ms in range(first_ms, 2300, period_ms)
    ]
    source = bag(tmp_path / "bag", two_parents(*jumping))
    frames = list(source.frames())
    assert len(frames) == 12
    for frame in frames:
        for name, image in frame.images.items():
            np.testing.assert_allclose(frame.T_world_base[name], SmallRig.pose(image.stamp_ns), atol=1e-6)
    (note,) = [note for note in source.notes if "parents" in note]
    assert "several parents of 'base_link', 'odom' and 'map': the motion in 'odom' was used" in note
    poses = source.counts.poses
    assert (poses.read, poses.used) == (66 + len(jumping), 66)


@pytest.mark.parametrize("world", ["odom", "robot/odom", "earth"])
def test_motion_is_used_where_the_base_has_a_fixed_parent_too(tmp_path: Path, world: str) -> None:
    moved = [transforms(m.stamp_ns, (world, "base_link", SmallRig.pose(m.stamp_ns))) for m in odometry()]
    fixed = [transforms(985 * MS, ("base_footprint", "base_link", LIFT), topic=TF_STATIC_TOPIC)]
    source = bag(tmp_path / "bag", moved, fixed)
    frame = next(source.frames())
    np.testing.assert_allclose(frame.T_world_base["back"], SmallRig.pose(1030 * MS), atol=1e-6)
    assert any(f"several parents of 'base_link', '{world}' and 'base_footprint'" in note for note in source.notes)


def test_transforms_that_close_a_circle_are_left_out(tmp_path: Path) -> None:
    source = bag(tmp_path / "bag", odometry(), lift(), [transforms(1200 * MS, ("base_link", "odom", LIFT))])
    assert_poses(source)
    assert any("'base_link' is itself below 'odom'" in note for note in source.notes)


def test_broken_message_of_transforms_costs_itself(tmp_path: Path) -> None:
    broken = [Message(TF_TOPIC, m.type, m.stamp_ns + 1, bytes(m.data)[:50]) for m in odometry(1200, 1300)]
    unset = [
        Message(TF_TOPIC, m.type, m.stamp_ns + 2, transforms(0, ("odom", "base_footprint", LIFT)).data) for m in broken
    ]
    source = bag(tmp_path / "bag", odometry(), lift(), broken, unset)
    assert_poses(source)
    notes = " ".join(source.notes)
    assert "has messages on /tf that were left out: " in notes and "the transform's stamp is 0 ns" in notes
    assert source.counts.poses.left_out == {"no stamp": len(unset)}
