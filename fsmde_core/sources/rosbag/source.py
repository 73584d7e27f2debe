"""Reads rosbag2 recordings (mcap or sqlite3): what `fsmde bag` writes, and any rig with topics of the same names.

At no time more than a few image sets and ten seconds of poses are in memory. `frames` reads the bag from its beginning,
or from where it last reached its `stop` if that is not beyond `start`: ascending ranges take one pass in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame, LidarSweep
from fsmde_core.messages.encode import CLOUD
from fsmde_core.messages.point_cloud import read_xyz
from fsmde_core.rig.geometry import Matrix, transform
from fsmde_core.sources.rosbag.calibration import read_calibration
from fsmde_core.sources.rosbag.grouping import FrameMessages, Grouper
from fsmde_core.sources.rosbag.sensors import ImageReader, deserialized
from fsmde_core.sources.rosbag.storage.bag import Bag
from fsmde_core.sources.rosbag.storage.records import BagMessage
from fsmde_core.sources.rosbag.tf import TF_TOPICS
from fsmde_core.sources.rosbag.topics import camera_topics, lidar_topic
from fsmde_core.sources.rosbag.transforms import TransformTree
from fsmde_core.sync.synchronizer import SyncSettings


@dataclass
class _Position:
    """Marks a place in the stream. tree: frames at the time of the last group read. index: that of the next group."""

    groups: Iterator[FrameMessages]
    tree: TransformTree
    index: int = 0


class RosbagSource:
    """Reads the frames of a rosbag2 file, of a bag's folder, or of a folder with several of these, in order of time.

    Cameras are the topics `<camera>/image_raw` or `<camera>/image_raw/compressed` with `<camera>/camera_info` beside
    them; `/tf_static` places them in `base_frame`; `/tf` gives the vehicle's motion (identity without it); the point
    cloud topic whose name ends in `lidar/points`, or else holds `lidar`, is the lidar. Images are grouped by stamps.
    Raises FsmdeError when the bag cannot be read, or does not hold a calibrated rig.
    """

    def __init__(self, path: str | Path, base_frame: str = "base_link", sync: SyncSettings | None = None) -> None:
        self.path = Path(path)
        self.name = self.path.resolve().stem if self.path.stem in ("", "..") else self.path.stem
        self._sync = sync or SyncSettings()
        self._bag = Bag(self.path)
        self._cameras = camera_topics(self._bag)
        self._lidar = lidar_topic(self._bag)
        self.rig, self._tree, self._world = read_calibration(self._bag, self._cameras, base_frame)
        self._images = ImageReader(self._cameras, self.rig)
        self._length: int | None = None
        self._paused: _Position | None = None

    @property
    def notes(self) -> list[str]:
        return self._bag.notes

    def __len__(self) -> int:
        """Count the image sets; the first call reads the whole bag, unless `frames` has reached its end before."""
        if self._length is None:
            self._length = sum(1 for _ in self._groups(self._tree.without_poses()))
        return self._length

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        # FsmdeError, with the frame's number, for an image or a sweep that cannot be used and for a gap in /tf.
        if start < 0 or (stop is not None and stop < 0):
            start, stop, _ = slice(start, stop).indices(len(self))
        position = self._resume(start)
        while stop is None or position.index < stop:
            group = next(position.groups, None)
            if group is None:
                self._length = position.index
                return
            position.index += 1
            if position.index > start:
                yield self._frame(position.index - 1, group, position.tree)
        self._paused = position

    def _resume(self, start: int) -> _Position:
        paused, self._paused = self._paused, None  # two iterators at once must not share one
        if paused is not None and paused.index <= start:
            return paused
        tree = self._tree.without_poses()
        return _Position(self._groups(tree), tree)

    def _groups(self, tree: TransformTree) -> Iterator[FrameMessages]:
        names = {self._cameras[name].image: name for name in self.rig.names}
        frames = self._world, self.rig.base_frame
        grouper = Grouper(self._bag, names, self._lidar, tree, frames, self._sync)
        topics = [*TF_TOPICS, *names, *([self._lidar] if self._lidar else [])]
        try:
            yield from grouper.groups(self._bag.messages(topics))
        except FsmdeError as error:
            raise self._bag.error(f"cannot be read on: {error}") from error

    def _frame(self, index: int, group: FrameMessages, tree: TransformTree) -> Frame:
        images = group.images
        try:
            return Frame(
                index=index,
                rig=self.rig,
                images={name: self._images.read(name, record) for name, record in images.items.items()},
                T_world_base={name: self._pose(tree, stamp_ns) for name, stamp_ns in images.stamps_ns.items()},
                lidar=None if group.sweep is None else self._sweep(group.sweep, tree),
            )
        except FsmdeError as error:
            raise FsmdeError(f"frame {index} of the bag {self.path}: {error}") from error

    def _pose(self, tree: TransformTree, stamp_ns: int) -> Matrix:
        return np.eye(4) if self._world is None else tree.lookup(self._world, self.rig.base_frame, stamp_ns)

    def _sweep(self, record: BagMessage, tree: TransformTree) -> LidarSweep:
        message = deserialized(record, CLOUD)
        try:
            T_base_lidar = tree.lookup(self.rig.base_frame, record.frame_id, record.stamp_ns)
            points = transform(T_base_lidar, read_xyz(message))
        except FsmdeError as error:
            raise FsmdeError(f"{record.topic}, sweep of stamp {record.stamp_ns * 1e-9:.3f}: {error}") from error
        return LidarSweep(record.stamp_ns, points, self._pose(tree, record.stamp_ns))
