"""Rosbag2 as a source: what went in comes out, and bags that cannot serve say why."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.geometry import invert, rigid
from fsmde_core.lidar import depth_map
from fsmde_core.recording import BagWriter, MessageEncoder
from fsmde_core.rig import ring_order
from fsmde_core.sources import open_source
from fsmde_core.sources.base import Source
from fsmde_core.sources.rosbag import RosbagSource
from fsmde_core.sources.transforms import StaticTree, Trajectory
from small_rig import OPTICAL, SmallRig, yaw


def write_bag(
    path: Path, source: Source, compressed: bool = False, drop: str = "-", stop: int | None = None, **options: Any
) -> Path:
    """drop: topics that match this expression are left out."""
    encoder = MessageEncoder(source.rig, compressed)
    with BagWriter(path, **options) as bag:
        for frame in source.frames(0, stop):
            for message in [encoder.static_transforms(frame.stamp_ns), *encoder.frame(frame)]:
                if not re.search(drop, message.topic):
                    bag.write(message)
    return path


def assert_same(ours: Frame, theirs: Frame, exact_pixels: bool = True, pose_tolerance: float = 1e-9) -> None:
    assert ours.rig.names == theirs.rig.names
    assert list(ours.images) == [name for name in theirs.rig.names if name in theirs.images]
    for name, image in ours.images.items():
        a, b = ours.rig[name], theirs.rig[name]
        assert image.stamp_ns == theirs.images[name].stamp_ns
        np.testing.assert_array_equal(a.K, b.K)
        np.testing.assert_allclose(a.T_base_camera, b.T_base_camera, atol=1e-9)
        np.testing.assert_allclose(ours.T_world_base[name], theirs.T_world_base[name], atol=pose_tolerance)
        if theirs.images[name].encoded:
            assert image.encoded == theirs.images[name].encoded
        elif exact_pixels:
            np.testing.assert_array_equal(image.rgb(), theirs.images[name].rgb())
    assert (ours.lidar is None) == (theirs.lidar is None)
    if ours.lidar and theirs.lidar:
        assert ours.lidar.stamp_ns == theirs.lidar.stamp_ns
        np.testing.assert_array_equal(ours.lidar.points, theirs.lidar.points)
        np.testing.assert_allclose(ours.lidar.T_world_base, theirs.lidar.T_world_base, atol=1e-9)


@pytest.mark.parametrize(("storage", "compressed"), [("mcap", False), ("sqlite3", False), ("mcap", True)])
def test_round_trip(tmp_path: Path, storage: str, compressed: bool) -> None:
    small = SmallRig()
    bag = RosbagSource(write_bag(tmp_path / "bag", small, compressed, storage=storage, namespace="car"))
    assert len(bag) == len(small)
    assert bag.rig.base_frame == "base_link"
    for ours, theirs in zip(bag.frames(), small.frames(), strict=True):
        assert_same(ours, theirs, exact_pixels=not compressed)


def test_slices_are_those_of_python(tmp_path: Path) -> None:
    bag = RosbagSource(write_bag(tmp_path / "bag", SmallRig()))
    for start, stop in [(2, 4), (0, 1), (-2, None), (1, -3), (4, 99), (5, 2)]:
        assert [frame.index for frame in bag.frames(start, stop)] == list(range(6))[start:stop]


def test_zstd_chunks_and_a_single_file(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag", SmallRig(2), compress=True)
    assert len(RosbagSource(path)) == len(RosbagSource(path / "bag.mcap")) == 2


def test_missing_camera_leaves_a_smaller_frame(tmp_path: Path) -> None:
    small = SmallRig(missing=(2, "back"))
    bag = RosbagSource(write_bag(tmp_path / "bag", small))
    for ours, theirs in zip(bag.frames(), small.frames(), strict=True):
        assert_same(ours, theirs)


def test_without_motion_the_vehicle_stands(tmp_path: Path) -> None:
    frame = next(RosbagSource(write_bag(tmp_path / "bag", SmallRig(2), drop="tf$")).frames())
    np.testing.assert_array_equal(frame.T_world_base["left"], np.eye(4))


@pytest.mark.data
@pytest.mark.parametrize("kind", ["pandaset", "nuscenes", "ddad"])
def test_round_trip_of_real_recordings(tmp_path: Path, request: pytest.FixtureRequest, kind: str) -> None:
    real = open_source(kind, request.getfixturevalue(f"{kind}_root"))
    path = write_bag(tmp_path / "bag", real, compressed=True, stop=3)
    ours, theirs = list(RosbagSource(path).frames()), list(real.frames(0, 3))
    assert len(ours) == len(theirs)
    # DDAD gives its six images one stamp and poses that differ by millimetres; /tf holds one pose per stamp.
    pose_tolerance = 1e-2 if kind == "ddad" else 1e-9
    for a, b in zip(ours, theirs, strict=True):
        assert_same(a, b, pose_tolerance=pose_tolerance)
        if kind != "ddad" and b.lidar is not None:
            for name in b.images:
                np.testing.assert_allclose(depth_map(a, name), depth_map(b, name), atol=1e-4)


@pytest.mark.parametrize(
    ("drop", "said"),
    [("image_raw", "no topic <camera>/image_raw"), ("camera_info", "nothing on /.*/camera_info"), ("tf", "tf_static")],
)
def test_bag_that_lacks_something_says_what(tmp_path: Path, drop: str, said: str) -> None:
    with pytest.raises(FsmdeError, match=said):
        RosbagSource(write_bag(tmp_path / "bag", SmallRig(1), drop=drop))


def test_unknown_base_frame_is_named(tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match=r"'front_optical' to 'chassis'.*base_link"):
        RosbagSource(write_bag(tmp_path / "bag", SmallRig(1)), base_frame="chassis")


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_cut_off_bag_is_an_error_of_one_sentence(tmp_path: Path, storage: str) -> None:
    path = write_bag(tmp_path / "bag", SmallRig(), storage=storage)
    file = next(file for file in path.iterdir() if file.suffix != ".yaml")
    whole = file.read_bytes()
    for share in (0.0, 0.01, 0.3, 0.5, 0.7):
        file.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(FsmdeError, match="cannot be read"):
            list(RosbagSource(path).frames())
    file.unlink()
    with pytest.raises(FsmdeError, match="cannot be read"):
        RosbagSource(path)


def test_other_things_than_bags(tmp_path: Path) -> None:
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(FsmdeError, match="ROS 1"):
        open_source("rosbag", tmp_path / "old.bag")
    (tmp_path / "text.mcap").write_text("no bag")
    for path in (tmp_path / "text.mcap", tmp_path):
        with pytest.raises(FsmdeError, match="cannot be read"):
            open_source("rosbag", path)


def test_frames_stream(tmp_path: Path) -> None:
    """The first frames come before the rest is read."""
    bag = RosbagSource(write_bag(tmp_path / "bag", SmallRig(200)))
    seen: list[int] = []
    grouped = bag._grouped
    bag._grouped = lambda reader: (seen.append(0) or entry for entry in grouped(reader))  # type: ignore[method-assign]
    assert len(list(islice(bag.frames(), 2))) == 2
    assert len(seen) < 60


@given(st.lists(st.floats(-180, 180), min_size=2, max_size=5), st.floats(0, 1))
def test_trajectory_between_poses(yaws: list[float], share: float) -> None:
    poses = {k * 100: rigid(yaw(a), (k, 0, 0)) for k, a in enumerate(yaws)}
    trajectory = Trajectory(poses)
    for stamp, pose in poses.items():
        np.testing.assert_allclose(trajectory.at(stamp), pose, atol=1e-12)
    stamp = int(100 * share)
    turn = (yaws[1] - yaws[0] + 180) % 360 - 180
    if abs(abs(turn) - 180) > 1e-3:  # half a turn has two equal ways
        expected = rigid(yaw(yaws[0] + turn * stamp / 100), (stamp / 100, 0, 0))
        np.testing.assert_allclose(trajectory.at(stamp), expected, atol=1e-7)
    np.testing.assert_array_equal(trajectory.at(10**9), poses[100 * (len(yaws) - 1)])


def test_static_tree_joins_frames_over_their_common_root() -> None:
    tree = StaticTree()
    a, b, c = rigid(yaw(20), (1, 2, 3)), rigid(yaw(-50), (0, 1, 0)), rigid(OPTICAL, (4, 4, 4))
    tree.add("root", "base", a)
    tree.add("root", "mast", b)
    tree.add("mast", "eye", c)
    np.testing.assert_allclose(tree.lookup("base", "eye"), invert(a) @ b @ c, atol=1e-12)
    tree.add("eye", "root", np.eye(4))
    with pytest.raises(FsmdeError, match="circle"):
        tree.lookup("base", "eye")


def test_ring_of_the_bag_is_that_of_the_rig() -> None:
    assert [camera.name for camera in ring_order(SmallRig().rig.cameras[::-1])] == list(SmallRig().rig.names)
