"""Bags whose topics, types and frames are called otherwise, and rig files that map them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.encode import CLOUD, COMPRESSED, IMAGE, TRANSFORMS
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera, Rig, save_rig
from fsmde_core.rig.rig_file import RigFile
from fsmde_core.sources import open_source
from fsmde_core.sources.rosbag import RosbagSource
from support.bags import MS, changed, cloud, mcap, recorded, stamps, transforms, write_bag, write_messages
from support.small_rig import OPTICAL, SmallRig, yaw

NAMES = {"front", "right", "back", "left"}


def renamed(path: Path, pattern: str, new: str, compressed: bool = False, frames: int = 3) -> Path:
    messages = [
        replace(m, topic=re.sub(pattern, new, m.topic), type=m.type) for m in recorded(SmallRig(frames), compressed)
    ]
    return write_messages(path, messages)


def lidars(source: RosbagSource) -> list[bool]:
    return [frame.lidar is not None for frame in source.frames()]


@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        ("{}", lambda kind: kind.replace("/msg/", "/")),
        ("rt{}", lambda kind: kind.replace("/msg/", "::msg::dds_::") + "_"),
        ("{}", lambda kind: kind.replace("/", "::")),
    ],
)
def test_types_of_other_recorders(tmp_path: Path, topic: str, kind: Callable[[str], str]) -> None:
    messages = [
        replace(m, topic="/" + m.topic.removeprefix("/"))
        for m in sorted(recorded(SmallRig(3)), key=lambda m: m.stamp_ns)
    ]
    expected = stamps(RosbagSource(mcap(tmp_path / "plain.mcap", messages)))
    other = [replace(m, topic=topic.format(m.topic), type=kind(m.type)) for m in messages]
    source = RosbagSource(mcap(tmp_path / "other.mcap", other))
    assert stamps(source) == expected and set(source.rig.names) == NAMES and source.notes == []


@pytest.mark.parametrize("name", ["image_color", "image_rect_color", "image"])
@pytest.mark.parametrize("compressed", [True, False])
def test_image_topics_of_other_names_beside_a_camera_info(tmp_path: Path, name: str, compressed: bool) -> None:
    path = renamed(tmp_path / "bag", "image_raw", name, compressed)
    assert set(RosbagSource(path).rig.names) == NAMES


def test_cameras_are_chosen_by_name_topic_or_pattern(tmp_path: Path) -> None:
    path = renamed(tmp_path / "bag", "image_raw", "mono")
    with pytest.raises(FsmdeError, match=r"/front/mono \(sensor_msgs/msg/Image\).*--cameras.*--rig"):
        RosbagSource(path)
    assert set(RosbagSource(path, cameras=["/*/mono"]).rig.names) == NAMES
    assert set(RosbagSource(path, cameras=["/front/mono", "/left/mono"]).rig.names) == {"front", "left"}
    usual = write_bag(tmp_path / "usual", SmallRig(3), namespace="car")
    for chosen in (["front", "left"], ["/car/front", "car_left"], ["/car/front/image_raw", "/car/left/image_raw"]):
        source = open_source("rosbag", usual, cameras=chosen)
        assert set(source.rig.names) == {"front", "left"}
        assert all(set(frame.images) == {"front", "left"} for frame in source.frames())
    with pytest.raises(FsmdeError, match=r"no camera 'top'; its image topics are /car/back/image_raw \(sensor_msgs"):
        RosbagSource(usual, cameras=["front", "top"])


def test_choice_between_two_topics_of_one_camera(tmp_path: Path) -> None:
    messages = [
        m for old in recorded(SmallRig(1)) for m in (old, replace(old, topic=old.topic.replace("front", "car/front")))
    ]
    path = write_messages(tmp_path / "bag", messages)
    with pytest.raises(FsmdeError, match="choose one with --cameras"):
        RosbagSource(path)
    assert RosbagSource(path, cameras=["/car/front"]).rig.names == ("front",)


def test_lidar_is_given_by_its_topic(tmp_path: Path) -> None:
    path = renamed(tmp_path / "bag", "lidar/points", "velodyne_points")
    unknown = RosbagSource(path)
    assert (
        lidars(unknown) == [False] * 3 and "['/velodyne_points']" in unknown.notes[0] and "--lidar" in unknown.notes[0]
    )
    assert lidars(RosbagSource(path, lidar="/velodyne_points")) == [True, False, True]
    with pytest.raises(FsmdeError, match=r"no point clouds on /roof; its cloud topics are /velodyne_points \("):
        RosbagSource(path, lidar="/roof")


def with_base(path: Path, base: str) -> Path:
    def change(content: Any) -> None:
        for entry in content.transforms:
            if entry.header.frame_id == "base_link":
                entry.header.frame_id = base
            if entry.child_frame_id == "base_link":
                entry.child_frame_id = base

    def framed(content: Any) -> None:
        content.header.frame_id = base

    messages = []
    for m in recorded(SmallRig(3)):
        messages.append(changed(m, change) if m.type == TRANSFORMS else changed(m, framed) if m.type == CLOUD else m)
    return write_messages(path, messages)


def test_base_frame_of_another_name_is_proposed(tmp_path: Path) -> None:
    path = with_base(tmp_path / "bag", "base_footprint")
    with pytest.raises(FsmdeError, match=r"no frame 'base_link'.*\['back_opt.*give --base-frame base_footprint") as no:
        RosbagSource(path)
    assert len(str(no.value)) < 400
    source = RosbagSource(path, base_frame="base_footprint")
    assert source.rig.base_frame == "base_footprint" and lidars(source) == [True, False, True]


def test_rectified_images_have_the_projection_of_their_info(tmp_path: Path) -> None:
    """image_proc's picture: K of P, no distortion, turned by R; K and D are those of the raw picture."""
    turn = yaw(5)

    def lens(content: Any) -> None:
        content.d = np.array([-0.3, 0.1, 0, 0, 0])
        content.p = np.array([25.0, 0, 15, 0, 0, 26, 9, 0, 0, 0, 1, 0])
        content.r = turn.ravel()

    messages = [changed(m, lens) if m.topic == "front/camera_info" else m for m in recorded(SmallRig(2))]
    raw = RosbagSource(write_messages(tmp_path / "raw", messages)).rig["front"]
    assert raw.is_distorted and raw.fx == 30
    moved = [replace(m, topic=m.topic.replace("image_raw", "image_rect")) for m in messages]
    chosen = RosbagSource(write_messages(tmp_path / "rect", moved), cameras=["/front/image_rect"]).rig["front"]
    assert not chosen.is_distorted
    np.testing.assert_array_equal(chosen.K, [[25, 0, 15], [0, 26, 9], [0, 0, 1]])
    np.testing.assert_allclose(chosen.T_base_camera[:3, :3], raw.T_base_camera[:3, :3] @ turn.T, atol=1e-9)


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1", "compressed"])
def test_depth_beside_a_camera_is_left_out(tmp_path: Path, encoding: str) -> None:
    def deep(content: Any) -> None:
        if encoding == "compressed":
            content.format = "16UC1; compressedDepth png"
        else:
            content.encoding = encoding

    depth = [
        replace(changed(m, deep) if m.type in (IMAGE, COMPRESSED) else m, topic=m.topic.replace("front", "front/depth"))
        for m in recorded(SmallRig(3), encoding == "compressed")
        if m.topic.startswith("front/")
    ]
    source = RosbagSource(write_messages(tmp_path / "bag", [*recorded(SmallRig(3)), *depth]))
    assert set(source.rig.names) == NAMES and lidars(source) == [True, False, True]
    (note,) = source.notes
    assert "/front/depth/image_raw" in note and "that was left out: its images hold depth" in note


def test_camera_without_info_or_place_is_left_out(tmp_path: Path) -> None:
    extra = [
        replace(m, topic=m.topic.replace("front", name)) for m in recorded(SmallRig(3)) for name in ("dash", "drone")
    ]
    keep = [m for m in extra if m.topic.startswith(("dash/image", "drone/"))]

    def away(content: Any) -> None:
        content.header.frame_id = "drone"

    keep = [changed(m, away) if m.topic.startswith("drone/") else m for m in keep]
    source = RosbagSource(write_messages(tmp_path / "bag", [*recorded(SmallRig(3)), *keep]))
    assert set(source.rig.names) == NAMES and len(list(source.frames())) == 3
    dash, drone = sorted(source.notes)[1], sorted(source.notes)[0]
    assert "'drone' on /drone/image_raw that was left out: /tf_static does not join 'drone'" in drone + dash
    assert "on /dash/image_raw that was left out: nothing on /dash/camera_info" in drone + dash


def rig_file(path: Path, names: Sequence[str] = ("front", "left"), more: str = "", base: str = "base_link") -> Path:
    K = np.array([[31.0, 0, 15], [0, 31, 9], [0, 0, 1]])
    cameras = [Camera(name, 32, 20, K, rigid(yaw(90 * k) @ OPTICAL, (k, 0, 1))) for k, name in enumerate(names)]
    save_rig(Rig(tuple(cameras), base), path)
    path.write_text(path.read_text() + more)
    return path


def test_rig_file_calibrates_a_bag_without_calibration(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag", SmallRig(3), drop="camera_info|tf_static")
    with pytest.raises(FsmdeError, match="nothing on"):
        RosbagSource(path)
    file = rig_file(tmp_path / "rig.yaml")
    source = RosbagSource(path, rig=file)
    frames = list(source.frames())
    assert source.rig.names == ("front", "left") and [list(frame.images) for frame in frames] == [["front", "left"]] * 3
    np.testing.assert_array_equal(source.rig["left"].T_base_camera, RigFile.load(file).rig["left"].T_base_camera)
    assert source.rig["left"].fx == 31
    expected = SmallRig.pose(frames[1].images["left"].stamp_ns)
    np.testing.assert_allclose(frames[1].T_world_base["left"], expected, atol=1e-9)
    assert sum("the rig file does not name it" in note for note in source.notes) == 2


def test_calibration_of_the_bag_goes_before_that_of_the_rig_file(tmp_path: Path) -> None:
    source = RosbagSource(write_bag(tmp_path / "bag", SmallRig(2)), rig=rig_file(tmp_path / "rig.yaml"))
    for name in ("front", "left"):
        np.testing.assert_array_equal(source.rig[name].K, SmallRig().rig[name].K)
        np.testing.assert_allclose(source.rig[name].T_base_camera, SmallRig().rig[name].T_base_camera, atol=1e-9)


def test_rig_file_maps_names(tmp_path: Path) -> None:
    path = renamed(tmp_path / "bag", "^(front|right|back|left)/(image_raw|camera_info)", r"cam/\1_\2")
    more = (
        "topics:\n  front: {image: /cam/front_image_raw, camera_info: /cam/front_camera_info}\n"
        "  left: cam/left_image_raw\n  roof: /cam/roof\nlidar: /lidar/points\n"
    )
    source = RosbagSource(path, rig=rig_file(tmp_path / "rig.yaml", ("front", "left", "roof"), more))
    assert source.rig.names == ("front", "left") and source.rig["front"].fx == 30 and source.rig["left"].fx == 31
    assert lidars(source) == [True, False, True]
    assert any("lacks camera 'roof' of the rig: it has no images on /cam/roof" in note for note in source.notes)
    assert RosbagSource(path, rig=tmp_path / "rig.yaml", cameras=["left"]).rig.names == ("left",)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("topics: [1]\n", r"'topics' must map cameras to topics, found \[1\]"),
        ("topics: {front: 3}\n", "'topics' of camera 'front' must be an image topic.*found 3"),
        ("topics: {front: {img: /a}}\n", "'topics' of camera 'front' must be an image topic"),
        ("topics: {top: /a}\n", r"'topics' names \['top'\], which are no cameras of the rig"),
        ("lidar: 3\n", "'lidar' must be the topic of a point cloud, found 3"),
    ],
)
def test_rig_file_with_wrong_topics(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(FsmdeError, match=f"rig file .*: {said}"):
        RigFile.load(rig_file(tmp_path / "rig.yaml", more=more))


def test_transforms_on_a_robots_own_topics(tmp_path: Path) -> None:
    own = [replace(m, topic=f"/robot/{m.topic.removeprefix('/')}") for m in recorded(SmallRig(3))]
    source = RosbagSource(write_messages(tmp_path / "bag", own))
    for ours, theirs in zip(source.frames(), SmallRig(3).frames(), strict=True):
        for name in NAMES:
            np.testing.assert_allclose(ours.T_world_base[name], theirs.T_world_base[name], atol=1e-9)
    other = [
        replace(transforms(stamp * MS, ("odom", "base_link", np.eye(4))), topic="/other/tf")
        for stamp in range(1000, 1300, 10)
    ]
    both = RosbagSource(write_messages(tmp_path / "both", [*own, *other]))
    pose = next(both.frames()).T_world_base["back"]
    np.testing.assert_allclose(pose, SmallRig.pose(1030 * MS), atol=1e-9)
    assert "has transforms on ['/other/tf'] that were left out" in both.notes[0]
    beside = [m if m.type != TRANSFORMS else replace(m, topic=f"/robot{m.topic}") for m in recorded(SmallRig(3))]
    found = next(RosbagSource(write_messages(tmp_path / "beside", beside)).frames())
    np.testing.assert_allclose(found.T_world_base["back"], SmallRig.pose(1030 * MS), atol=1e-9)


def test_bag_without_images_lists_what_is_there(tmp_path: Path) -> None:
    path = write_messages(tmp_path / "bag", [cloud(5 * MS, "base_link", np.ones((3, 3)))])
    with pytest.raises(FsmdeError, match=r"its topics are /lidar/points \(sensor_msgs/msg/PointCloud2\)"):
        RosbagSource(path)
