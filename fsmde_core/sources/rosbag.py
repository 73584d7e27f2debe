"""Rosbag2 recordings (mcap or sqlite3) as frames: what `fsmde bag` writes, and any rig with topics of the same names.

Read as a stream: at no time more than a few image sets are in memory.
"""

from __future__ import annotations

import sqlite3
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fsmde_core.encodings import to_rgb
from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.geometry import Matrix, rigid, rotation_from_quaternion, transform
from fsmde_core.messages import camera_from_info, cloud_xyz, compressed_image, raw_image, stamp_ns
from fsmde_core.recording import CLOUD, COMPRESSED, IMAGE, TF_STATIC_TOPIC, TF_TOPIC, header_stamp_ns, typestore
from fsmde_core.rig import Rig, ring_order
from fsmde_core.sources.transforms import StaticTree, Trajectory
from fsmde_core.synchronizer import ImageSet, Synchronizer, SyncSettings

IMAGE_TOPICS = {IMAGE: "/image_raw", COMPRESSED: "/image_raw/compressed"}
# A sweep belongs to a set when it is at most half a period of a 10 Hz lidar away.
LIDAR_GAP_NS = 50_000_000


@dataclass(frozen=True)
class _Raw:
    """One message, still serialized."""

    connection: Any
    data: bytes

    @property
    def stamp_ns(self) -> int:
        return header_stamp_ns(self.data)


class RosbagSource:
    """Frames of a rosbag2 folder or file.

    Cameras are the topics `<camera>/image_raw` or `<camera>/image_raw/compressed` with `<camera>/camera_info` beside
    them; `/tf_static` places them in `base_frame`; `/tf` gives the vehicle's motion (identity without it); the point
    cloud topic whose name ends in `lidar/points`, or else holds `lidar`, is the lidar. Images are grouped by stamps.
    """

    def __init__(self, path: str | Path, base_frame: str = "base_link", sync: SyncSettings | None = None) -> None:
        self.path = Path(path)
        self._sync = sync or SyncSettings()
        self.name = self.path.stem
        if self.path.suffix == ".bag":
            raise FsmdeError(
                f"the bag {self.path} is of ROS 1; convert it with `rosbags-convert` and give the new folder"
            )
        with self._reader() as reader:
            self._typestore = reader.typestore
            self._images = _image_connections(self.path, reader.connections)
            self._lidar = _lidar_connection(reader.connections)
            self._static = _static_tree(reader)
            self._trajectory = _trajectory(reader, self._static.chain(base_frame))
            self.rig = self._read_rig(reader, base_frame)

    def __len__(self) -> int:
        """Number of image sets; known after one pass over the bag, made on the first call."""
        return self._length

    @cached_property
    def _length(self) -> int:
        return sum(1 for _ in self._sets())

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames `start` to `stop` (Python slice rules), one in memory at a time."""
        if start < 0 or (stop is not None and stop < 0):
            start, stop, _ = slice(start, stop).indices(len(self))
        for index, (images, sweep) in enumerate(self._sets()):
            if stop is not None and index >= stop:
                return
            if index >= start:
                yield self._frame(index, images, sweep)

    @contextmanager
    def _reader(self) -> Iterator[Any]:
        from rosbags.highlevel import AnyReader, AnyReaderError
        from rosbags.rosbag2 import ReaderError
        from rosbags.serde import SerdeError

        unreadable = (AnyReaderError, ReaderError, SerdeError, OSError, struct.error, sqlite3.Error)
        try:
            with AnyReader([self.path], default_typestore=typestore()) as reader:
                yield reader
        except unreadable as error:
            raise FsmdeError(
                f"the bag {self.path} cannot be read: {error}; try `ros2 bag reindex` when its recording was cut off"
            ) from error

    def _read_rig(self, reader: Any, base_frame: str) -> Rig:
        infos = {connection.topic: connection for connection in reader.connections}
        cameras = []
        for name, connection in self._images.items():
            topic = _camera_topic(connection) + "/camera_info"
            first = next(reader.messages([infos[topic]]), None) if topic in infos else None
            if first is None:
                raise FsmdeError(f"the bag {self.path} has images on {connection.topic} but nothing on {topic}")
            info = reader.deserialize(first[2], first[0].msgtype)
            T_base_camera = self._static.lookup(base_frame, info.header.frame_id)
            cameras.append(camera_from_info(info, name, T_base_camera))
        return Rig(ring_order(cameras), base_frame)

    def _sets(self) -> Iterator[tuple[ImageSet[_Raw], _Raw | None]]:
        """Sets of images in order of time, each with the sweep nearest to its newest image."""
        pending: deque[ImageSet[_Raw]] = deque()
        sweeps: deque[_Raw] = deque()
        with self._reader() as reader:
            for newest_ns, images, sweep in self._grouped(reader):
                if sweep is not None:
                    sweeps.append(sweep)
                if images is not None:
                    pending.append(images)
                while pending and newest_ns > pending[0].stamp_ns + LIDAR_GAP_NS:
                    yield _with_sweep(pending.popleft(), sweeps)
            for images in pending:
                yield _with_sweep(images, sweeps)

    def _grouped(self, reader: Any) -> Iterator[tuple[int, ImageSet[_Raw] | None, _Raw | None]]:
        """(newest stamp so far, a set that was closed or None, a sweep that came or None)."""
        synchronizer: Synchronizer[_Raw] = Synchronizer(self.rig.names, self._sync)
        names = {connection.topic: name for name, connection in self._images.items()}
        wanted = {*names, *([self._lidar.topic] if self._lidar else [])}
        connections = [connection for connection in reader.connections if connection.topic in wanted]
        newest_ns = 0
        for connection, _, data in reader.messages(connections):
            raw = _Raw(connection, data)
            stamp = raw.stamp_ns
            newest_ns = max(newest_ns, stamp)  # offline, stamps are the clock that deadlines are counted in
            name = names.get(connection.topic)
            if name is None:
                yield newest_ns, None, raw
            else:
                yield newest_ns, synchronizer.add(name, stamp, newest_ns, raw), None
            yield newest_ns, synchronizer.poll(newest_ns), None
        newest_ns += 1_000_000_000_000
        while images := synchronizer.poll(newest_ns):
            yield newest_ns, images, None

    def _frame(self, index: int, images: ImageSet[_Raw], sweep: _Raw | None) -> Frame:
        return Frame(
            index=index,
            rig=self.rig,
            images={name: self._image(raw) for name, raw in images.items.items()},
            T_world_base={name: self._trajectory.at(stamp) for name, stamp in images.stamps_ns.items()},
            lidar=None if sweep is None else self._sweep(sweep),
        )

    def _image(self, raw: _Raw) -> CameraImage:
        message = self._typestore.deserialize_cdr(raw.data, raw.connection.msgtype)
        if raw.connection.msgtype == COMPRESSED and not _is_disguised(message.format):
            return CameraImage(raw.stamp_ns, encoded=message.data.tobytes())
        image = compressed_image(message) if raw.connection.msgtype == COMPRESSED else raw_image(message)
        return CameraImage(raw.stamp_ns, pixels=to_rgb(image.pixels(), image.encoding))

    def _sweep(self, raw: _Raw) -> LidarSweep:
        message = self._typestore.deserialize_cdr(raw.data, raw.connection.msgtype)
        T_base_lidar = self._static.lookup(self.rig.base_frame, message.header.frame_id)
        points = transform(T_base_lidar, cloud_xyz(message))
        return LidarSweep(raw.stamp_ns, points, self._trajectory.at(raw.stamp_ns))


def _is_disguised(compressed_format: str) -> bool:
    """Whether the decoded picture is not yet one in colour: a Bayer mosaic, or red and blue swapped before coding."""
    return compressed_format.startswith("bayer_") or "compressed rgb" in compressed_format


def _camera_topic(connection: Any) -> str:
    """The camera's part of an image topic: /car/front of /car/front/image_raw/compressed."""
    return str(connection.topic).removesuffix(IMAGE_TOPICS[connection.msgtype])


def _image_connections(path: Path, connections: list[Any]) -> dict[str, Any]:
    """Camera name -> image connection; where a camera has both, raw images go before compressed ones."""
    cameras: dict[str, Any] = {}
    for kind in (COMPRESSED, IMAGE):
        for connection in connections:
            if connection.msgtype == kind and connection.topic.endswith(IMAGE_TOPICS[kind]) and connection.msgcount:
                cameras[_camera_topic(connection)] = connection
    if not cameras:
        images = sorted(connection.topic for connection in connections if connection.msgtype in IMAGE_TOPICS)
        raise FsmdeError(
            f"the bag {path} has no topic <camera>/image_raw or <camera>/image_raw/compressed; "
            f"its image topics are {images}; record with these names or remap them"
        )
    return dict(zip(_camera_names(list(cameras)), cameras.values(), strict=True))


def _camera_names(topics: list[str]) -> list[str]:
    """Short names: the last part of each topic where these differ, else everything with `_` between the parts."""
    last = [topic.rsplit("/", 1)[-1] for topic in topics]
    return last if len(set(last)) == len(last) else [topic.strip("/").replace("/", "_") for topic in topics]


def _lidar_connection(connections: list[Any]) -> Any | None:
    clouds = [connection for connection in connections if connection.msgtype == CLOUD and connection.msgcount]
    lidars = [connection for connection in clouds if "lidar" in connection.topic.lower()]
    return min(lidars, key=lambda connection: not connection.topic.endswith("lidar/points"), default=None)


def _transforms(reader: Any, topic: str) -> Iterator[tuple[int, str, str, Matrix]]:
    """(stamp_ns, parent, child, T_parent_child) of every transform on `topic`."""
    connections = [connection for connection in reader.connections if connection.topic == topic]
    if not connections:
        return
    for connection, _, data in reader.messages(connections):
        for entry in reader.deserialize(data, connection.msgtype).transforms:
            t, q = entry.transform.translation, entry.transform.rotation
            T_parent_child = rigid(rotation_from_quaternion(q.w, q.x, q.y, q.z), (t.x, t.y, t.z))
            yield stamp_ns(entry.header.stamp), entry.header.frame_id, entry.child_frame_id, T_parent_child


def _static_tree(reader: Any) -> StaticTree:
    tree = StaticTree()
    for _, parent, child, T_parent_child in _transforms(reader, TF_STATIC_TOPIC):
        tree.add(parent, child, T_parent_child)
    return tree


def _trajectory(reader: Any, ancestors: dict[str, Matrix]) -> Trajectory:
    """Motion of the base frame from /tf. ancestors: frame -> T_frame_base of the base frame and what it is fixed to."""
    poses: dict[str, dict[int, Matrix]] = {frame: {} for frame in ancestors}
    for stamp, _, child, T_parent_child in _transforms(reader, TF_TOPIC):
        if child in ancestors:
            poses[child][stamp] = T_parent_child @ ancestors[child]
    return Trajectory(next((moving for moving in poses.values() if moving), {}))


def _with_sweep(images: ImageSet[_Raw], sweeps: deque[_Raw]) -> tuple[ImageSet[_Raw], _Raw | None]:
    """The set with its nearest sweep; sweeps too old for this set and every later one are let go."""
    while sweeps and sweeps[0].stamp_ns < images.stamp_ns - LIDAR_GAP_NS:
        sweeps.popleft()
    near = [sweep for sweep in sweeps if abs(sweep.stamp_ns - images.stamp_ns) <= LIDAR_GAP_NS]
    return images, min(near, key=lambda sweep: abs(sweep.stamp_ns - images.stamp_ns), default=None)
