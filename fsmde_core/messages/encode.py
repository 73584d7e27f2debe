"""Writes frames as ROS 2 messages, without ROS: CDR bytes for a rosbag2 file or a publisher of serialized messages.

Topics are relative to the rig's namespace: `<camera>/image_raw` or `<camera>/image_raw/compressed`,
`<camera>/camera_info`, `lidar/points`; `/tf_static` holds base -> optical frames, `/tf` the motion odom -> base.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.images.compression import PNG_START
from fsmde_core.messages.point_cloud import cloud_bytes, cloud_layout
from fsmde_core.rig.geometry import Matrix, quaternion_from_rotation
from fsmde_core.rig.lens import INFO_SIZES
from fsmde_core.rig.rig import Camera, Rig

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
CLOUD = "sensor_msgs/msg/PointCloud2"
TRANSFORMS = "tf2_msgs/msg/TFMessage"

TF_TOPIC, TF_STATIC_TOPIC, LIDAR_TOPIC = "/tf", "/tf_static", "lidar/points"
WORLD_FRAME = "odom"
JPEG_QUALITY = 95
STORAGES = ("mcap", "sqlite3")


@dataclass(frozen=True, eq=False)
class Message:
    """Holds one serialized message. topic: relative names are those of the rig's namespace. data: CDR with header."""

    topic: str
    type: str
    stamp_ns: int
    data: bytes | memoryview


@lru_cache(maxsize=1)
def typestore() -> Any:
    """Load the message definitions; those used here are the same from Humble on."""
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_JAZZY)


def restamp(message: Message, stamp_ns: int) -> bytes:
    """Replace the stamp in the bytes of a message, without serialization.

    Args:
        message: One that was made here.
        stamp_ns: The new stamp of its header, nanoseconds.

    Returns:
        The new bytes.
    """
    # CDR: 4 bytes of encapsulation, then the header; a TFMessage counts its transforms first.
    offset = 8 if message.type == TRANSFORMS else 4
    data = memoryview(message.data)
    stamp = struct.pack("<iI", *divmod(stamp_ns, 1_000_000_000))
    return b"".join((data[:offset], stamp, data[offset + 8 :]))


def header_stamp_ns(data: bytes | memoryview) -> int:
    """Read the stamp of a serialized message that begins with a header; raises struct.error if it is too short."""
    # The second byte of the encapsulation names the byte order.
    (order,) = struct.unpack_from("B", data, 1)
    sec, nanosec = struct.unpack_from("<iI" if order & 1 else ">iI", data, 4)
    return int(sec) * 1_000_000_000 + int(nanosec)


class MessageEncoder:
    """Converts frames of one rig to messages: with JPEG (the recording's own bytes where it has them), or with rgb8."""

    def __init__(self, rig: Rig, compressed: bool = True) -> None:
        self._rig = rig
        self._compressed = compressed
        self._types = typestore().types

    @property
    def topics(self) -> dict[str, str]:
        """Message types by topic of everything that frames of this rig may become."""
        topics = {TF_STATIC_TOPIC: TRANSFORMS, TF_TOPIC: TRANSFORMS, LIDAR_TOPIC: CLOUD}
        for name in self._rig.names:
            topics[self._image_topic(name)] = COMPRESSED if self._compressed else IMAGE
            topics[f"{name}/camera_info"] = CAMERA_INFO
        return topics

    def static_transforms(self, stamp_ns: int) -> Message:
        """Describe the mount of every camera, base -> optical frame, for /tf_static."""
        base = self._rig.base_frame
        mounts = [self._transform(stamp_ns, base, one.frame_id, one.T_base_camera) for one in self._rig.cameras]
        return self._message(TF_STATIC_TOPIC, TRANSFORMS, stamp_ns, transforms=mounts)

    def frame(self, frame: Frame) -> list[Message]:
        """Convert one frame to messages in order of time; /tf comes before what it places."""
        messages = list(self._motion(frame))
        for name, image in frame.images.items():
            camera = frame.rig[name]
            messages += [self._camera_info(camera, image.stamp_ns), self._image(camera, image)]
        if frame.lidar is not None:
            messages.append(self._cloud(frame.lidar))
        return sorted(messages, key=lambda message: message.stamp_ns)

    def _message(self, topic: str, type_name: str, stamp_ns: int, **fields: Any) -> Message:
        data = typestore().serialize_cdr(self._types[type_name](**fields), type_name)
        return Message(topic, type_name, stamp_ns, data)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        sec, nanosec = divmod(stamp_ns, 1_000_000_000)
        time = self._types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
        return self._types["std_msgs/msg/Header"](stamp=time, frame_id=frame_id)

    def _motion(self, frame: Frame) -> Iterator[Message]:
        poses = {image.stamp_ns: frame.T_world_base[name] for name, image in frame.images.items()}
        if frame.lidar is not None:
            poses[frame.lidar.stamp_ns] = frame.lidar.T_world_base
        for stamp_ns, T_world_base in poses.items():
            transform = self._transform(stamp_ns, WORLD_FRAME, self._rig.base_frame, T_world_base)
            yield self._message(TF_TOPIC, TRANSFORMS, stamp_ns, transforms=[transform])

    def _transform(self, stamp_ns: int, parent: str, child: str, T_parent_child: Matrix) -> Any:
        w, x, y, z = quaternion_from_rotation(T_parent_child[:3, :3])
        tx, ty, tz = (float(v) for v in T_parent_child[:3, 3])
        geometry = "geometry_msgs/msg/"
        return self._types[geometry + "TransformStamped"](
            header=self._header(stamp_ns, parent),
            child_frame_id=child,
            transform=self._types[geometry + "Transform"](
                translation=self._types[geometry + "Vector3"](x=tx, y=ty, z=tz),
                rotation=self._types[geometry + "Quaternion"](x=x, y=y, z=z, w=w),
            ),
        )

    def _image_topic(self, name: str) -> str:
        return f"{name}/image_raw/compressed" if self._compressed else f"{name}/image_raw"

    def _image(self, camera: Camera, image: CameraImage) -> Message:
        header = self._header(image.stamp_ns, camera.frame_id)
        topic = self._image_topic(camera.name)
        if self._compressed:
            encoded = image.encoded or encode_jpeg(image.rgb())
            kind, data = "png" if encoded.startswith(PNG_START) else "jpeg", np.frombuffer(encoded, dtype=np.uint8)
            return self._message(topic, COMPRESSED, image.stamp_ns, header=header, format=kind, data=data)
        pixels = np.ascontiguousarray(image.rgb())
        height, width, channels = pixels.shape
        layout = {"height": height, "width": width, "encoding": "rgb8", "is_bigendian": 0, "step": width * channels}
        return self._message(topic, IMAGE, image.stamp_ns, header=header, data=pixels.reshape(-1), **layout)

    def _camera_info(self, camera: Camera, stamp_ns: int) -> Message:
        D = np.zeros(max(camera.D.size, INFO_SIZES[camera.distortion_model]))
        D[: camera.D.size] = camera.D
        region = self._types["sensor_msgs/msg/RegionOfInterest"]
        return self._message(
            f"{camera.name}/camera_info",
            CAMERA_INFO,
            stamp_ns,
            header=self._header(stamp_ns, camera.frame_id),
            height=camera.height,
            width=camera.width,
            distortion_model=camera.distortion_model,
            d=D,
            k=camera.K.reshape(-1),
            r=np.eye(3).reshape(-1),
            p=np.hstack([camera.K, np.zeros((3, 1))]).reshape(-1),
            binning_x=0,
            binning_y=0,
            roi=region(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
        )

    def _cloud(self, lidar: LidarSweep) -> Message:
        layout = cloud_layout("xyz", 1, len(lidar.points), self._types["sensor_msgs/msg/PointField"])
        return self._message(
            LIDAR_TOPIC,
            CLOUD,
            lidar.stamp_ns,
            header=self._header(lidar.stamp_ns, self._rig.base_frame),
            data=cloud_bytes(lidar.points),
            is_dense=bool(np.isfinite(lidar.points).all()),
            **layout,
        )


def encode_jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """Compress (H, W, 3) uint8 RGB to JPEG."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


class BagWriter:
    """Writes a rosbag2 folder for Humble and later, RViz and Foxglove, which is readable even when interrupted.

    storage: one of STORAGES. namespace: prefix of relative topics. compress: zstd for the chunks of an mcap file.
    """

    def __init__(self, path: str | Path, storage: str = "mcap", namespace: str = "", compress: bool = False) -> None:
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

        if storage not in STORAGES:
            raise FsmdeError(f"storage '{storage}' is unknown; use one of {list(STORAGES)}")
        if Path(path).exists():
            raise FsmdeError(f"{path} exists already; remove it or choose another place for the bag")
        # Version 8 is the last that Humble reads: from 9 on, QoS profiles are no longer written as text.
        self._writer = Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()])
        if compress and storage == "mcap":
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._prefix = f"/{namespace.strip('/')}/" if namespace.strip("/") else "/"
        self._connections: dict[str, Any] = {}
        self.written = 0

    def write(self, message: Message) -> None:
        """Append one message at its stamp."""
        connection = self._connections.get(message.topic) or self._connect(message)
        self._writer.write(connection, message.stamp_ns, message.data)
        self.written += 1

    def _connect(self, message: Message) -> Any:
        topic = message.topic if message.topic.startswith("/") else self._prefix + message.topic
        connection = self._writer.add_connection(
            topic, message.type, typestore=typestore(), offered_qos_profiles=[_qos(latched=topic == TF_STATIC_TOPIC)]
        )
        self._connections[message.topic] = connection
        return connection

    def __enter__(self) -> BagWriter:
        try:
            self._writer.open()
        except OSError as error:
            raise FsmdeError(f"the bag {self._writer.path} cannot be written: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def _qos(latched: bool) -> Any:
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

    unspecified = QosTime(0, 0)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if latched else 10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=unspecified,
        lifespan=unspecified,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=unspecified,
        avoid_ros_namespace_conventions=False,
    )
