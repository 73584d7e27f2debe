"""Reads rosbag2 recordings (mcap or sqlite3): what `fsmde bag` writes, and any rig with topics of the same names.

At no time more than a few image sets and ten seconds of poses are in memory. `frames` reads the bag from its beginning,
or from where it last reached its `stop` if that is not beyond `start`: ascending ranges take one pass in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.messages.encode import CLOUD
from fsmde_core.messages.point_cloud import read_xyz
from fsmde_core.rig.geometry import Matrix, transform
from fsmde_core.rig.rig_file import RigFile
from fsmde_core.sources.counts import ReadingCounts
from fsmde_core.sources.rosbag.beginning import read_calibration
from fsmde_core.sources.rosbag.calibration import BagCalibration
from fsmde_core.sources.rosbag.grouping import FrameMessages, Grouper
from fsmde_core.sources.rosbag.ledger import IMAGES, POSES, SWEEPS, WRONG_CLOCK_NS, Ledger, LeftOut, PassCounts
from fsmde_core.sources.rosbag.sensors import ImageReader, UnusableMessageError, deserialized, first_fault, unusable
from fsmde_core.sources.rosbag.storage.bag import Bag
from fsmde_core.sources.rosbag.storage.records import BagMessage
from fsmde_core.sources.rosbag.tf import transform_topics
from fsmde_core.sources.rosbag.topics import camera_topics, lidar_topic, used_topics
from fsmde_core.sync.groups import SyncSettings


@dataclass(eq=False)
class _Position:
    """Marks a place in the stream. counts: at that place. index: that of the next group."""

    groups: Iterator[FrameMessages]
    counts: PassCounts
    index: int = 0


class RosbagSource:
    """Reads the frames of a rosbag2 file, of a bag's folder, or of a folder with several of these, in order of time.

    Cameras are the topics `<camera>/image_raw` or `<camera>/image_raw/compressed` with `<camera>/camera_info` beside
    them; `/tf_static` places them in the base frame; `/tf` gives the vehicle's motion (identity without it); the point
    cloud topic whose name ends in `lidar/points`, or else holds `lidar`, is the lidar. Images are grouped by stamps.

    A message that cannot be used costs itself: `counts` and `notes` say which, and why. A camera that has no
    calibration is left out. A frame's rig is the calibration in force, which may change within the recording.
    """

    def __init__(
        self,
        path: str | Path,
        base_frame: str | None = None,
        sync: SyncSettings | None = None,
        cameras: Sequence[str] | None = None,
        lidar: str | None = None,
        rig: str | Path | RigFile | None = None,
        jump_ms: float | None = None,
    ) -> None:
        """Open a recording.

        Args:
            path: The file or folder.
            base_frame: The vehicle's frame; None for that of the rig file, else `base_link`.
            sync: How images are grouped.
            cameras: Names or topics of those that are wanted, `*` stands for any text; None for all.
            lidar: Topic of its point clouds, where the name does not tell.
            rig: A rig file; it gives what the bag lacks of the calibration, and names the topics.
            jump_ms: As in `SyncSettings`, before what `sync` says.

        Raises:
            FsmdeError: The bag cannot be read, or none of its cameras can be used.
        """
        self.path = Path(path)
        self.name = self.path.resolve().stem if self.path.stem in ("", "..") else self.path.stem
        self._sync = sync or SyncSettings()
        if jump_ms is not None:
            self._sync = replace(self._sync, jump_ms=jump_ms)
        self._bag = Bag(self.path)
        rig_file = RigFile.load(rig) if isinstance(rig, str | Path) else rig
        found = camera_topics(self._bag, cameras, rig_file)
        self._lidar = lidar_topic(self._bag, lidar or (rig_file.lidar if rig_file else None))
        transforms = transform_topics(self._bag, used_topics(found, self._lidar))
        self._calibration = read_calibration(self._bag, found, self._lidar, transforms, base_frame, rig_file)
        self._topics = [*transforms, *used_topics(self._calibration.cameras, self._lidar)]
        self.rig = self._calibration.now.rig
        self._images = ImageReader(self._calibration.cameras)
        self._ledger = Ledger(self.path)
        self._length: int | None = None
        self._paused: _Position | None = None

    @property
    def notes(self) -> list[str]:
        return [*self._bag.notes, *self._ledger.notes]

    @property
    def counts(self) -> ReadingCounts:
        return self._ledger.counts

    def __len__(self) -> int:
        """Count the image sets; the first call reads the whole bag, unless `frames` has reached its end before."""
        if self._length is None:
            self._length = sum(1 for _ in self._begin().groups)
        if not self._length:
            raise self._nothing()
        return self._length

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        # A frame that loses all its images is left out; FsmdeError where all frames are.
        if start < 0 or (stop is not None and stop < 0):
            start, stop, _ = slice(start, stop).indices(len(self))
        position, is_empty = self._resume(start), start == 0
        while stop is None or position.index < stop:
            group = next(position.groups, None)
            if group is None:
                self._length = position.index
                if is_empty:
                    raise self._nothing()
                return
            position.index += 1
            if position.index > start and (frame := self._frame(position, group)) is not None:
                is_empty = False
                yield frame
        self._paused = position

    def _resume(self, start: int) -> _Position:
        paused, self._paused = self._paused, None  # two iterators at once must not share one
        return paused if paused is not None and paused.index <= start else self._begin()

    def _begin(self) -> _Position:
        calibration, counts = self._calibration.copy(), PassCounts(self._ledger)
        return _Position(self._groups(calibration, counts), counts)

    def _groups(self, calibration: BagCalibration, counts: PassCounts) -> Iterator[FrameMessages]:
        grouper = Grouper(self._bag, calibration, self._images, self._lidar, self._sync, counts)
        return grouper.groups(self._bag.messages(self._topics))

    def _nothing(self) -> FsmdeError:
        reasons = "; ".join(self._ledger.notes) or "there are no images"
        return self._bag.error(f"holds no images that can be used: {reasons}")

    def _frame(self, position: _Position, group: FrameMessages) -> Frame | None:
        """Make a frame of what can be used; None where no image can."""
        frame, left_out = _FrameMaker(self._calibration, self._images, position.counts).make(position.index - 1, group)
        self._ledger.count_frame(position.index - 1, left_out)
        return frame


class _FrameMaker:
    """Makes a frame of messages, and tells what has to be left out."""

    def __init__(self, calibration: BagCalibration, images: ImageReader, counts: PassCounts) -> None:
        self._world, self._base = calibration.world, calibration.base_frame
        self._reader, self._counts = images, counts
        self._left_out: list[LeftOut] = []

    def make(self, index: int, group: FrameMessages) -> tuple[Frame | None, list[LeftOut]]:
        images: dict[str, CameraImage] = {}
        poses: dict[str, Matrix] = {}
        for name, record in group.images.items.items():
            pose = self._pose(IMAGES, record, group)
            if pose is None:
                continue
            try:
                images[name], poses[name] = self._reader.read(name, record), pose
            except FsmdeError as error:
                self._left_out.append(LeftOut(IMAGES, record.topic, "not decodable", first_fault(record, error)))
        sweep = None if group.sweep is None else self._sweep(group.sweep, group)
        frame = Frame(index, group.calibration.rig, images, poses, sweep) if images else None
        return frame, self._left_out

    def _pose(self, kind: str, record: BagMessage, group: FrameMessages) -> Matrix | None:
        if self._world is None:
            return np.eye(4)
        try:
            return group.calibration.tree.lookup(self._world, self._base, record.stamp_ns)
        except FsmdeError as error:
            offsets = self._counts.offsets_ns
            ahead_ns = abs(record.stamp_ns - record.time_ns - offsets.get(POSES, 0))
            detail = f"the first: {error}"
            if ahead_ns > WRONG_CLOCK_NS:
                detail = f"their stamps lie {ahead_ns * 1e-9:.1f} s from the transforms recorded beside them ({error})"
            self._left_out.append(LeftOut(kind, record.topic, "no pose of the vehicle at their time", detail))
            return None

    def _sweep(self, record: BagMessage, group: FrameMessages) -> LidarSweep | None:
        pose = self._pose(SWEEPS, record, group)
        if pose is None:
            return None
        try:
            with unusable("without x, y and z"):
                points = read_xyz(deserialized(record, CLOUD))
            with unusable("no points"):
                if not len(points):
                    raise FsmdeError("none of its points is finite")
            with unusable("in a frame without a place"):
                T_base_lidar = group.calibration.tree.lookup(self._base, record.frame_id, record.stamp_ns)
        except UnusableMessageError as error:
            self._left_out.append(LeftOut(SWEEPS, record.topic, error.reason, first_fault(record, error)))
            return None
        return LidarSweep(record.stamp_ns, transform(T_base_lidar, points), pose)
