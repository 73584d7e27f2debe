"""Rosbag2 as a source: what went in comes out, and bags that cannot serve say why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.lidar.projection import depth_map
from fsmde_core.rig.mask import mask_from_entry
from fsmde_core.rig.rig import ring_order, save_rig
from fsmde_core.sources import open_source
from fsmde_core.sources.rosbag import RosbagSource
from support.bags import S, altered, assert_same, cloud, recorded, renamed, write_bag, write_messages
from support.small_rig import SmallRig


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
    [
        ("image_raw", r"no topic <camera>/image_raw.*/front/camera_info \(sensor_msgs/msg/CameraInfo\)"),
        ("camera_info", "nothing on /.*/camera_info"),
        ("tf", "no camera that can be used.*tf_static"),
    ],
)
def test_bag_that_lacks_something_says_what(tmp_path: Path, drop: str, said: str) -> None:
    with pytest.raises(FsmdeError, match=said):
        RosbagSource(write_bag(tmp_path / "bag", SmallRig(1), drop=drop))


def test_unknown_base_frame_is_named(tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match=r"no frame 'chassis'.*'odom'.*give --base-frame base_link"):
        RosbagSource(write_bag(tmp_path / "bag", SmallRig(1)), base_frame="chassis")


def test_two_topics_for_one_camera(tmp_path: Path) -> None:
    """/front and /car/front: which of them is the camera 'front' is not for the reader to guess."""
    both = [
        m for old in recorded(SmallRig(1)) for m in (old, replace(old, topic=old.topic.replace("front", "car/front")))
    ]
    with pytest.raises(
        FsmdeError, match="two topics for one camera 'front': /front/image_raw and /car/front/image_raw"
    ):
        RosbagSource(write_messages(tmp_path / "bag", both))


def test_names_of_cameras_whose_last_parts_are_equal(tmp_path: Path) -> None:
    """Two vehicles, or left and right at both ends of one: full names tell them apart, unless they do not."""
    bag = RosbagSource(write_messages(tmp_path / "bag", altered(renamed("^(f|r|b|l)[a-z]+/(?!p)", r"\1/eye/"))))
    assert set(bag.rig.names) == {"f_eye", "r_eye", "b_eye", "l_eye"}
    clash = {"front": "a/b_c", "right": "a_b/c", "back": "x/c", "left": "y/c"}
    messages = altered(renamed("^(front|right|back|left)", lambda match: clash[match[0]]))
    with pytest.raises(FsmdeError, match="two topics for one camera 'a_b/c'"):
        RosbagSource(write_messages(tmp_path / "clash", messages))


def test_raw_images_go_before_compressed_ones_of_the_same_camera(tmp_path: Path) -> None:
    later = [replace(m, stamp_ns=m.stamp_ns + 1) for m in recorded(SmallRig(3), True) if "compressed" in m.topic]
    path = write_messages(tmp_path / "bag", [*recorded(SmallRig(3)), *later])
    for ours, theirs in zip(RosbagSource(path).frames(), SmallRig(3).frames(), strict=True):
        assert_same(ours, theirs)


def test_notes_tell_of_the_lidar(tmp_path: Path) -> None:
    radar = RosbagSource(write_messages(tmp_path / "bag", altered(renamed("lidar/points", "radar/points"))))
    assert all(frame.lidar is None for frame in radar.frames())
    (note,) = radar.notes
    assert "no lidar" in note and "['/radar/points']" in note
    twice = [*recorded(SmallRig(2)), cloud(2 * S, "base_link", np.ones((3, 3)), topic="rear_lidar/points")]
    (note,) = RosbagSource(write_messages(tmp_path / "two", twice)).notes
    assert "only /lidar/points was read" in note


def test_other_things_than_bags(tmp_path: Path) -> None:
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    for path in (tmp_path / "old.bag", tmp_path):
        with pytest.raises(FsmdeError, match="ROS 1"):
            open_source("rosbag", path)
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "text.txt").write_text("no bag")
    for path in (tmp_path / "some", tmp_path / "some" / "text.txt"):
        with pytest.raises(FsmdeError, match="is no rosbag2"):
            open_source("rosbag", path)
    for name in ("text.mcap", "text.db3"):
        (tmp_path / name).write_text("no bag")
        with pytest.raises(FsmdeError, match="cannot be read"):
            open_source("rosbag", tmp_path / name)
    with pytest.raises(FsmdeError, match="holds no messages"):
        open_source("rosbag", write_messages(tmp_path / "empty", []))


def test_length_is_free_after_a_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag = RosbagSource(write_bag(tmp_path / "bag", SmallRig()))
    list(bag.frames())
    monkeypatch.setattr(bag, "_groups", None)
    assert len(bag) == 6


def test_ranges_in_ascending_order_take_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = SmallRig(12)
    bag = RosbagSource(write_bag(tmp_path / "bag", small))
    begin, passes = bag._groups, []
    monkeypatch.setattr(bag, "_groups", lambda *args: passes.append(args) or begin(*args))
    for start, stop in [(0, 2), (2, 5), (7, 8), (10, None)]:
        for ours, theirs in zip(bag.frames(start, stop), small.frames(start, stop), strict=True):
            assert_same(ours, theirs)
    assert len(passes) == 1
    first, second = bag.frames(3, 6), bag.frames(3, 6)  # two at once do not disturb each other
    assert [(a.index, b.index) for a, b in zip(first, second, strict=True)] == [(3, 3), (4, 4), (5, 5)]
    assert [frame.index for frame in bag.frames(4, 5)] == [4]  # backwards: read anew
    assert len(passes) == 4


def test_ring_of_the_bag_is_that_of_the_rig() -> None:
    assert [camera.name for camera in ring_order(SmallRig().rig.cameras[::-1])] == list(SmallRig().rig.names)


@pytest.mark.parametrize("root", [".", "..", "../drive", "../drive/drive.mcap"])
def test_name_is_that_of_the_folder_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    path = write_bag(tmp_path / "drive", SmallRig(1))
    (path / "inner").mkdir()
    monkeypatch.chdir(path / "inner" if root == ".." else path)
    assert RosbagSource(root).name == "drive"


def test_a_rig_files_mask_serves_where_camera_info_has_its_size(tmp_path: Path) -> None:
    """SmallRig's cameras are 32x20."""
    rig = SmallRig().rig
    bag = write_bag(tmp_path / "bag", SmallRig(2))
    mask = mask_from_entry([[0, 15], [31, 15], [31, 19], [0, 19]], tmp_path, "front", (32, 20))
    front, *rest = rig.cameras
    save_rig(replace(rig, cameras=(replace(front, mask=mask), *rest)), tmp_path / "rig.yaml")
    source = RosbagSource(bag, rig=tmp_path / "rig.yaml")
    for frame in source.frames():
        used = frame.rig["front"].mask
        assert used is not None and used.visible.tolist() == mask.visible.tolist()
        assert frame.rig["back"].mask is None
    assert not [note for note in source.notes if "mask" in note]
    larger = mask_from_entry([[0, 30], [63, 30], [63, 39]], tmp_path, "front", (64, 40))
    scaled = replace(front.rectified(64, 40), mask=larger)
    save_rig(replace(rig, cameras=(scaled, *rest)), tmp_path / "rig.yaml")
    source = RosbagSource(bag, rig=tmp_path / "rig.yaml")
    assert all(frame.rig["front"].mask is None and "front" in frame.images for frame in source.frames())
    (note,) = [note for note in source.notes if "mask" in note]
    assert (
        "has a camera 'front' whose mask is not used: its mask in the rig file is 64x40, its camera_info 32x20" in note
    )
    moved = [replace(m, topic=m.topic.replace("image_raw", "image_rect")) for m in recorded(SmallRig(2))]
    save_rig(replace(rig, cameras=(replace(front, mask=mask), *rest)), tmp_path / "rig.yaml")
    source = RosbagSource(write_messages(tmp_path / "rectified", moved), rig=tmp_path / "rig.yaml")
    assert all(frame.rig["front"].mask is None and "front" in frame.images for frame in source.frames())
    (note,) = [note for note in source.notes if "mask" in note]
    assert "its images are rectified, the mask is drawn in the original ones" in note
