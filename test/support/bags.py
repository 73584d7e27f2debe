"""Bags for tests: whole recordings, and messages made by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mcap.writer import Writer

from fsmde_core.frames import CameraImage, Frame
from fsmde_core.messages.encode import CLOUD, TF_TOPIC, TRANSFORMS, BagWriter, Message, MessageEncoder, typestore
from fsmde_core.rig.geometry import quaternion_from_rotation
from fsmde_core.rig.rig import Rig
from fsmde_core.sources.rosbag import RosbagSource
from fsmde_core.sources.source import Source
from support.small_rig import SmallRig

S = 1_000_000_000
MS = 1_000_000


def recorded(source: Source, compressed: bool = False, drop: str = "-", stop: int | None = None) -> Iterator[Message]:
    """drop: topics that match this expression are left out."""
    encoder = MessageEncoder(source.rig, compressed)
    for frame in source.frames(0, stop):
        for message in [encoder.static_transforms(frame.stamp_ns), *encoder.frame(frame)]:
            if not re.search(drop, message.topic):
                yield message


def write_messages(path: Path, messages: Iterable[Message], **options: Any) -> Path:
    with BagWriter(path, **options) as bag:
        for message in messages:
            bag.write(message)
    return path


def write_bag(
    path: Path, source: Source, compressed: bool = False, drop: str = "-", stop: int | None = None, **options: Any
) -> Path:
    return write_messages(path, recorded(source, compressed, drop, stop), **options)


def storage_file(bag: Path) -> Path:
    return next(file for file in bag.iterdir() if file.suffix != ".yaml")


def message(topic: str, kind: str, stamp_ns: int, **fields: Any) -> Message:
    return Message(topic, kind, stamp_ns, bytes(typestore().serialize_cdr(typestore().types[kind](**fields), kind)))


def changed(original: Message, change: Change) -> Message:
    """A message whose deserialized form `change` altered."""
    content = typestore().deserialize_cdr(original.data, original.type)
    change(content)
    return Message(original.topic, original.type, original.stamp_ns, typestore().serialize_cdr(content, original.type))


Change = Callable[[Any], None]
"""Alters a deserialized message."""


def with_values(**values: Any) -> Change:
    def change(content: Any) -> None:
        for name, value in values.items():
            setattr(content, name, value)

    return change


def in_frame(frame_id: str) -> Change:
    def change(content: Any) -> None:
        content.header.frame_id = frame_id

    return change


def on(topic: str, change: Change) -> Callable[[Message], Message]:
    """A change of the messages of one topic."""
    return lambda message: changed(message, change) if message.topic == topic else message


def cut(topic: str, size: int) -> Callable[[Message], Message]:
    return lambda message: replace(message, data=message.data[:size]) if message.topic == topic else message


def renamed(old: str, new: Any) -> Callable[[Message], Message]:
    return lambda message: replace(message, topic=re.sub(old, new, message.topic))


def altered(change: Callable[[Message], Message | None]) -> list[Message]:
    """The messages of two frames of the small rig; None drops one."""
    return [new for old in recorded(SmallRig(2)) if (new := change(old)) is not None]


def header(stamp_ns: int, frame_id: str) -> Any:
    sec, nanosec = divmod(stamp_ns, S)
    types = typestore().types
    time = types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
    return types["std_msgs/msg/Header"](stamp=time, frame_id=frame_id)


def transforms(stamp_ns: int, *entries: tuple[str, str, np.ndarray], topic: str = TF_TOPIC) -> Message:
    """A TFMessage of (parent, child, T_parent_child) entries."""
    types = typestore().types
    made = []
    for parent, child, T in entries:
        w, x, y, z = quaternion_from_rotation(T[:3, :3])
        translation = types["geometry_msgs/msg/Vector3"](**dict(zip("xyz", map(float, T[:3, 3]), strict=True)))
        rotation = types["geometry_msgs/msg/Quaternion"](x=x, y=y, z=z, w=w)
        transform = types["geometry_msgs/msg/Transform"](translation=translation, rotation=rotation)
        stamped = types["geometry_msgs/msg/TransformStamped"]
        made.append(stamped(header=header(stamp_ns, parent), child_frame_id=child, transform=transform))
    return message(topic, TRANSFORMS, stamp_ns, transforms=made)


def cloud(stamp_ns: int, frame_id: str, points: np.ndarray, topic: str = "lidar/points") -> Message:
    """A PointCloud2 of (N, 3) points."""
    field = typestore().types["sensor_msgs/msg/PointField"]
    return message(
        topic,
        CLOUD,
        stamp_ns,
        header=header(stamp_ns, frame_id),
        height=1,
        width=len(points),
        fields=[field(name=axis, offset=4 * i, datatype=7, count=1) for i, axis in enumerate("xyz")],
        is_bigendian=False,
        point_step=12,
        row_step=12 * len(points),
        data=np.frombuffer(points.astype("<f4").tobytes(), np.uint8),
        is_dense=True,
    )


class WideRig(SmallRig):
    """Images of 200 x 150: 0.36 MB per set."""

    def __init__(self, frames: int) -> None:
        super().__init__(frames)
        self.rig = Rig(tuple(camera.rectified(200, 150) for camera in self.rig.cameras))

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for frame in super().frames(start, stop):
            pixels = np.full((150, 200, 3), frame.index % 256, np.uint8)
            yield replace(frame, images={n: CameraImage(i.stamp_ns, pixels=pixels) for n, i in frame.images.items()})


Arrange = Callable[[list[Message]], list[Message]]


def mcap(path: Path, messages: list[Message], arrange: Arrange = list, **options: Any) -> Path:
    """A file by another writer than `fsmde bag`'s: mcap's own."""
    with path.open("wb") as file:
        writer = Writer(file, **options)
        writer.start(profile="ros2")
        channels: dict[str, int] = {}
        for message in arrange(messages):
            if message.topic not in channels:
                schema = writer.register_schema(message.type, "ros2msg", b"")
                topic = message.topic if message.topic.startswith(("/", "rt/")) else f"/{message.topic}"
                channels[message.topic] = writer.register_channel(topic, "cdr", schema)
            writer.add_message(channels[message.topic], message.stamp_ns, bytes(message.data), message.stamp_ns)
        writer.finish()
    return path


def stamps(source: RosbagSource) -> list[int]:
    return [frame.stamp_ns for frame in source.frames()]


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
