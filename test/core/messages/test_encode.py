"""Frames as messages: what is written is what a reader of rosbag2 finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.messages.encode import IMAGE, BagWriter, Message, MessageEncoder, restamp, typestore
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera, Rig

STAMP = 1_700_000_000_987_654_321


def small_frame(width: int = 32, height: int = 20) -> Frame:
    K = np.array([[30.0, 0, 16], [0, 30.0, 10], [0, 0, 1]])
    rotation = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    camera = Camera("front", width, height, K, rigid(rotation, (1.5, 0, 1.6)), "plumb_bob", np.array([0.1, 0, 0, 0]))
    pixels = np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)
    points = np.array([[10, 0, 1], [np.nan, 0, 0]], dtype=np.float32)
    return Frame(
        index=0,
        rig=Rig((camera,)),
        images={"front": CameraImage(STAMP, pixels=pixels)},
        T_world_base={"front": rigid(np.eye(3), (100, -20, 0.5))},
        lidar=LidarSweep(STAMP + 5_000_000, points, rigid(np.eye(3), (101, -20, 0.5))),
    )


def decoded(message: Message) -> object:
    return typestore().deserialize_cdr(message.data, message.type)


def test_raw_image_holds_the_pixels() -> None:
    frame = small_frame()
    messages = {m.topic: m for m in MessageEncoder(frame.rig, compressed=False).frame(frame) if m.topic != "/tf"}
    image = decoded(messages["front/image_raw"])
    assert (image.encoding, image.width, image.height, image.step) == ("rgb8", 32, 20, 96)
    assert image.header.frame_id == "front_optical"
    assert image.header.stamp.sec * 10**9 + image.header.stamp.nanosec == STAMP
    assert np.array_equal(image.data.reshape(20, 32, 3), frame.images["front"].pixels)
    info = decoded(messages["front/camera_info"])
    assert info.d.tolist() == [0.1, 0, 0, 0, 0]  # plumb_bob has five by ROS convention
    assert info.p.reshape(3, 4)[:, :3].tolist() == info.k.reshape(3, 3).tolist()
    cloud = decoded(messages["lidar/points"])
    assert (cloud.point_step, cloud.width, cloud.is_dense, cloud.header.frame_id) == (12, 2, False, "base_link")


def test_messages_are_in_order_of_time_and_motion_comes_first() -> None:
    frame = small_frame()
    messages = MessageEncoder(frame.rig).frame(frame)
    stamps = [m.stamp_ns for m in messages]
    assert stamps == sorted(stamps)
    assert [m.topic for m in messages[:2]] == ["/tf", "front/camera_info"]
    moves = [decoded(m).transforms[0] for m in messages if m.topic == "/tf"]
    assert [m.transform.translation.x for m in moves] == [100, 101]


@pytest.mark.parametrize("topic", ["front/image_raw/compressed", "front/camera_info", "lidar/points", "/tf"])
def test_restamped_changes_the_stamp_alone(topic: str) -> None:
    frame = small_frame()
    message = next(m for m in MessageEncoder(frame.rig).frame(frame) if m.topic == topic)
    later = Message(topic, message.type, 0, restamp(message, 5_000_000_007))
    before, after = decoded(message), decoded(later)
    header = after.transforms[0].header if topic == "/tf" else after.header
    assert (header.stamp.sec, header.stamp.nanosec) == (5, 7)
    assert len(later.data) == len(message.data)
    assert bytes(later.data[16:]) == bytes(message.data[16:])
    assert type(before) is type(after)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_bag_has_topics_and_profiles_that_ros_reads(tmp_path: Path, storage: str) -> None:
    frame = small_frame()
    encoder = MessageEncoder(frame.rig)
    with BagWriter(tmp_path / "bag", storage, namespace="/car/") as bag:
        for message in [encoder.static_transforms(STAMP), *encoder.frame(frame)]:
            bag.write(message)
    metadata = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    topics = {t["topic_metadata"]["name"]: t for t in metadata["topics_with_message_count"]}
    assert {name: t["message_count"] for name, t in topics.items()} == {
        "/tf_static": 1,
        "/tf": 2,
        "/car/front/camera_info": 1,
        "/car/front/image_raw/compressed": 1,
        "/car/lidar/points": 1,
    }
    durability = {
        name: yaml.safe_load(t["topic_metadata"]["offered_qos_profiles"])[0]["durability"] for name, t in topics.items()
    }
    assert durability.pop("/tf_static") == 1  # transient local
    assert set(durability.values()) == {2}
    assert metadata["version"] <= 8  # the last that Humble reads


def test_interrupted_bag_is_readable(tmp_path: Path) -> None:
    frame = small_frame()
    with pytest.raises(KeyboardInterrupt), BagWriter(tmp_path / "bag") as bag:
        bag.write(MessageEncoder(frame.rig).static_transforms(STAMP))
        raise KeyboardInterrupt
    from rosbags.rosbag2 import Reader

    with Reader(tmp_path / "bag") as reader:
        assert reader.message_count == 1


def test_existing_bag_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match="exists already"):
        BagWriter(tmp_path)
    with pytest.raises(FsmdeError, match="'zip' is unknown"):
        BagWriter(tmp_path / "bag", "zip")


def test_raw_image_bytes_are_not_walked_through() -> None:
    """Six 1080p images a set must stay cheap: an element-wise conversion of one takes seconds."""
    import time

    frame = small_frame(1920, 1080)
    encoder = MessageEncoder(frame.rig, compressed=False)
    encoder.frame(frame)
    begin = time.process_time()
    messages = encoder.frame(frame)
    assert time.process_time() - begin < 0.2
    assert len(next(m for m in messages if m.type == IMAGE).data) > 1920 * 1080 * 3
