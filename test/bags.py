"""Bags for tests: whole recordings, and messages made by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fsmde_core.geometry import quaternion_from_rotation
from fsmde_core.recording import CLOUD, TF_TOPIC, TRANSFORMS, BagWriter, Message, MessageEncoder, typestore
from fsmde_core.sources.base import Source

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


def changed(original: Message, change: Callable[[Any], None]) -> Message:
    """A message whose deserialized form `change` altered."""
    content = typestore().deserialize_cdr(original.data, original.type)
    change(content)
    return Message(original.topic, original.type, original.stamp_ns, typestore().serialize_cdr(content, original.type))


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
