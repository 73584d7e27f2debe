"""Groups images into sets, each with its lidar sweep, and yields a set when the poses for it are known."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from fsmde_core.errors import FsmdeError
from fsmde_core.sources.rosbag.calibration import BagCalibration, PlacedRig, note_doubts
from fsmde_core.sources.rosbag.ledger import IMAGES, LeftOut, PassCounts
from fsmde_core.sources.rosbag.sensors import ImageReader, UnusableMessageError, first_fault
from fsmde_core.sources.rosbag.storage.bag import Bag
from fsmde_core.sources.rosbag.storage.records import BagMessage
from fsmde_core.sources.rosbag.sweeps import Sweeps
from fsmde_core.sources.rosbag.tf import add_transforms
from fsmde_core.sources.rosbag.transforms import LIMIT_NS
from fsmde_core.sync.groups import ImageSet, SyncSettings
from fsmde_core.sync.synchronizer import Synchronizer

_ENDLESS_NS = 1_000_000_000_000


class FrameMessages(NamedTuple):
    images: ImageSet[BagMessage]
    sweep: BagMessage | None
    calibration: PlacedRig


@dataclass(eq=False)
class _Pending:
    """Holds a set, when it was closed, and the calibration of its time."""

    images: ImageSet[BagMessage]
    closed_ns: int
    calibration: PlacedRig


class Grouper:
    """Groups a stream of messages into sets in order of time; a set waits only while its poses or sweep may come.

    Waiting is counted in the time of recording, as the node does it live: one wrong stamp would upset a clock made of
    stamps. Messages that cannot be used are left out, and counted.
    """

    def __init__(
        self,
        bag: Bag,
        calibration: BagCalibration,
        images: ImageReader,
        lidar: str | None,
        sync: SyncSettings,
        counts: PassCounts,
    ) -> None:
        """Start a stream.

        Args:
            bag: Receives the notes.
            calibration: Is kept up to date with the stream.
            images: Judges images.
            lidar: Topic of the sweeps, if there is one.
            sync: How images are grouped.
            counts: Receives what becomes of every message.
        """
        self._bag, self._calibration, self._images, self._lidar = bag, calibration, images, lidar
        self._counts = counts
        cameras = calibration.cameras
        self._names = {topics.image: name for name, topics in cameras.items()}
        self._infos = {topics.info: name for name, topics in cameras.items() if topics.info}
        self._synchronizer: Synchronizer[BagMessage] = Synchronizer(calibration.now.rig.names, sync)
        self._pending: deque[_Pending] = deque()
        self._sweeps = Sweeps(counts, calibration.world is not None, int(sync.deadline_ms * 1e6))
        self._changes: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._now_ns = 0

    def groups(self, records: Iterable[BagMessage]) -> Iterator[FrameMessages]:
        """Yield the sets of a stream; each must be used before the next one is read, because poses are updated."""
        for record in records:
            if record.topic in self._names or record.topic == self._lidar:
                self._add(record)
            elif record.topic in self._infos:
                self._add_info(self._infos[record.topic], record)
            else:
                self._add_transforms(record)
            while self._pending and self._is_ready(self._pending[0]):
                yield self._pop_oldest()
        self._now_ns += _ENDLESS_NS
        self._enqueue_closed()
        while self._pending:
            yield self._pop_oldest()
        self._sweeps.finish()
        for topic in self._names:
            self._count_unused(topic)

    def _add(self, record: BagMessage) -> None:
        self._now_ns = max(self._now_ns, record.time_ns)
        if record.topic == self._lidar:
            self._sweeps.add(record)
        else:
            self._add_image(self._names[record.topic], record)
        self._enqueue_closed()

    def _add_image(self, camera: str, record: BagMessage) -> None:
        self._counts.add_read(IMAGES, record.topic)
        try:
            self._images.check(self._calibration.now.rig[camera], record)
        except UnusableMessageError as error:
            self._counts.add_left_out(LeftOut(IMAGES, record.topic, error.reason, first_fault(record, error)))
            return
        self._counts.offsets_ns[IMAGES] = record.stamp_ns - record.time_ns
        images = self._synchronizer.add(camera, record.stamp_ns, self._now_ns, record)
        if images is not None:
            self._enqueue(images)
        self._count_unused(record.topic)

    def _enqueue_closed(self) -> None:
        while images := self._synchronizer.poll(self._now_ns):
            self._enqueue(images)

    def _count_unused(self, topic: str) -> None:
        for unused in self._synchronizer.stats.cameras[self._names[topic]].unused():
            self._counts.set_left_out(LeftOut(IMAGES, topic, unused.reason, unused.sentence), unused.number)

    def _enqueue(self, images: ImageSet[BagMessage]) -> None:
        self._pending.append(_Pending(images, self._now_ns, self._calibration.now))
        self._sweeps.add_set(images.stamp_ns)

    def _add_info(self, camera: str, record: BagMessage) -> None:
        """Use a calibration from its message on; a set that waits has it where the message's stamp says so."""
        try:
            if not self._calibration.add_info(camera, record):
                return
        except FsmdeError as error:
            self._faults[record.topic] += 1
            self._bag.note_damage(
                f"unusable {record.topic}",
                f"has {self._faults[record.topic]} messages on {record.topic} that were left out: {error}",
            )
            return
        self._close_sets(record)
        now = self._calibration.now.rig[camera]
        for pending in self._pending:
            if 0 < record.stamp_ns <= pending.images.stamps_ns.get(camera, 0):
                before = pending.calibration.rig
                cameras = tuple(now if one.name == camera else one for one in before.cameras)
                pending.calibration = replace(pending.calibration, rig=replace(before, cameras=cameras))
        self._note_change(camera, record)
        note_doubts(self._bag, self._calibration, camera)

    def _add_transforms(self, record: BagMessage) -> None:
        if not add_transforms(self._bag, self._calibration.tree, record, self._counts):
            return
        self._close_sets(record)
        for camera in self._calibration.move():
            self._note_change(camera, record)

    def _close_sets(self, record: BagMessage) -> None:
        """Let sets that are past their deadline keep the calibration before a change."""
        self._now_ns = max(self._now_ns, record.time_ns)
        self._enqueue_closed()

    def _note_change(self, camera: str, record: BagMessage) -> None:
        self._changes[camera] += 1
        number = self._changes[camera]
        times = "changes" if number == 1 else f"changes {number} times"
        self._bag.note_damage(
            f"calibration of {camera}",
            f"has a calibration of camera '{camera}' that {times}, last on {record.topic}: each is used from then on",
        )

    def _is_ready(self, pending: _Pending) -> bool:
        """Whether a sweep that belongs to the set would have come, and the poses for both."""
        stamp_ns = pending.images.stamp_ns
        if self._now_ns - pending.closed_ns > LIMIT_NS:
            return True
        if self._lidar and self._sweeps.may_come(stamp_ns):
            return False
        world, base, tree = self._calibration.world, self._calibration.base_frame, pending.calibration.tree
        needed_ns = stamp_ns + (self._sweeps.reach_ns if len(self._sweeps) else 0)
        pairs = {(base, frame) for frame in self._sweeps.frames} | {(world or base, base)}
        tracks = [track for pair in pairs for track in tree.tracks_between(*pair)]
        return all((track.newest_ns or 0) >= needed_ns for track in tracks)

    def _pop_oldest(self) -> FrameMessages:
        pending = self._pending.popleft()
        sweep = self._sweeps.nearest(pending.images.stamp_ns) if self._lidar else None
        return FrameMessages(pending.images, sweep, pending.calibration)
