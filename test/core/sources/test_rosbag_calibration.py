"""The calibration in force: mounts on /tf, and lenses and mounts that change within a bag or between bags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fsmde_core.messages.encode import Message
from fsmde_core.rig.geometry import rigid
from fsmde_core.sources.rosbag import RosbagSource
from support.bags import MS, S, changed, cloud, recorded, transforms, write_messages
from support.moving_bags import LIFT, POINTS, bag, odometry
from support.small_rig import SmallRig, yaw


def resting(frames: int, turn: int = 0) -> list[Message]:
    """The rig's mounts on /tf, as a state publisher sends them; from the seventh frame on turned by so many degrees."""
    rig = SmallRig().rig
    return [
        transforms(
            (990 + 100 * k) * MS,
            *(("base_link", c.frame_id, c.T_base_camera @ rigid(yaw(turn * (k >= 6)), (0, 0, 0))) for c in rig.cameras),
            ("base_link", "lidar", LIFT),
        )
        for k in range(frames)
    ]


def test_frames_of_tf_that_never_move_are_mounts(tmp_path: Path) -> None:
    sweeps = [cloud((1065 + 100 * k) * MS, "lidar", POINTS) for k in range(12)]
    source = bag(tmp_path / "bag", odometry(child="base_link"), resting(3), sweeps, drop="tf|lidar")
    frames = list(source.frames())
    assert len(frames) == 12 and source.notes == []
    for frame in frames:
        assert frame.lidar is not None
        np.testing.assert_allclose(frame.lidar.points, POINTS @ LIFT[:3, :3].T + LIFT[:3, 3], atol=1e-5)
        for camera in SmallRig().rig.cameras:
            np.testing.assert_allclose(frame.rig[camera.name].T_base_camera, camera.T_base_camera, atol=1e-9)


def test_mount_on_tf_that_moves_later_is_used_from_then_on(tmp_path: Path) -> None:
    turned = [replace_stamp(m, 3000 * MS) for m in resting(7, turn=30)[6:]]
    source = bag(
        tmp_path / "bag", odometry(stop=5300, child="base_link"), resting(1), turned, frames=40, drop="tf|lidar"
    )
    mounts = [frame.rig["back"].T_base_camera for frame in source.frames()]
    before = SmallRig().rig["back"].T_base_camera
    after = before @ rigid(yaw(30), (0, 0, 0))
    for k, mount in enumerate(mounts):
        np.testing.assert_allclose(mount, before if k < 20 else after, atol=1e-9)
    notes = [note for note in source.notes if "calibration of camera" in note]
    assert len(notes) == 4 and all("that changes, last on /tf: each is used from then on" in note for note in notes)


def replace_stamp(message: Message, stamp_ns: int) -> Message:
    return Message(message.topic, message.type, stamp_ns, message.data)


def test_bags_of_one_folder_have_each_its_calibration(tmp_path: Path) -> None:
    """Two drives with a lens changed and the cameras moved in between; no set is lost, and none is calibrated wrong."""

    def lens(content: Any) -> None:
        content.k = np.array([27.0, 0, 15, 0, 27, 9, 0, 0, 1])

    def mounts(content: Any) -> None:
        for entry in content.transforms:
            if entry.child_frame_id.endswith("_optical"):
                entry.transform.translation.z += 0.5

    first, second = tmp_path / "drive" / "1", tmp_path / "drive" / "2"
    write_messages(first, recorded(SmallRig(5)))
    later = [m for m in recorded(SmallRig(60)) if m.stamp_ns >= 3000 * MS]
    later = [replace_stamp(m, m.stamp_ns - 60 * MS) if m.topic == "/tf_static" else m for m in later]
    # Images come before their camera_info, as it may be.
    changed_ones = [
        changed(m, lens) if "camera_info" in m.topic else changed(m, mounts) if m.topic == "/tf_static" else m
        for m in later
    ]
    write_messages(second, sorted(changed_ones, key=lambda m: (m.stamp_ns, m.topic != "/tf_static", "info" in m.topic)))
    source = RosbagSource(tmp_path / "drive")
    for _ in range(2):
        frames = list(source.frames())
        assert [frame.stamp_ns // MS for frame in frames] == [1045 + 100 * k for k in (*range(5), *range(20, 60))]
        assert all(len(frame.images) == 4 for frame in frames)
        for frame in frames:
            focal, lift = (30, 0.0) if frame.stamp_ns < 2 * S else (27, 0.5)
            for camera in SmallRig().rig.cameras:
                assert frame.rig[camera.name].fx == focal, frame.index
                np.testing.assert_allclose(
                    frame.rig[camera.name].T_base_camera,
                    rigid(np.eye(3), (0, 0, lift)) @ camera.T_base_camera,
                    atol=1e-9,
                )
    assert source.rig["front"].fx == 30
    notes = [note for note in source.notes if "changes 2 times, last on /" in note]
    assert len(notes) == 4
