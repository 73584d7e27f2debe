"""Sets of images, each with its lidar sweep, at the moment when the poses for them are known."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from fsmde_core.sources.rosbag.storage.bag import Bag
from fsmde_core.sources.rosbag.storage.records import BagMessage
from fsmde_core.sources.rosbag.tf import TF_TOPICS, add_transforms
from fsmde_core.sources.rosbag.transforms import LIMIT_NS, TransformTree
from fsmde_core.sync.synchronizer import ImageSet, Synchronizer, SyncSettings

# A sweep belongs to a set when it is at most half a period of a 10 Hz lidar away.
LIDAR_GAP_NS = 50_000_000
_ENDLESS_NS = 1_000_000_000_000


class FrameMessages(NamedTuple):
    images: ImageSet[BagMessage]
    sweep: BagMessage | None


class _Pending(NamedTuple):
    images: ImageSet[BagMessage]
    closed_ns: int


class Grouper:
    """Groups a stream of messages into sets in order of time; holds those only whose poses or sweep may yet come.

    Waiting is counted in the time of recording, as the node does it live: one wrong stamp would carry off a clock made
    of stamps.
    """

    def __init__(
        self,
        bag: Bag,
        names: Mapping[str, str],
        lidar: str | None,
        tree: TransformTree,
        way: tuple[str | None, str],
        sync: SyncSettings,
    ) -> None:
        """bag: takes the notes. names: image topic -> camera. lidar: its topic.

        way: world frame, None where nothing moves, and base frame.
        tree: is kept up to date with the stream, and holds for the set that was given out last.
        """
        self._bag, self._jump_ms = bag, sync.jump_ms
        self._names, self._lidar, self._tree, (self._world, self._base) = names, lidar, tree, way
        self._synchronizer: Synchronizer[BagMessage] = Synchronizer(names.values(), sync)
        self._pending: deque[_Pending] = deque()
        self._sweeps: deque[BagMessage] = deque()
        self._keep_ns = LIMIT_NS + 2 * LIDAR_GAP_NS + int(sync.deadline_ms * 1e6)  # longest that a sweep is waited for
        self._now_ns = 0

    def groups(self, records: Iterable[BagMessage]) -> Iterator[FrameMessages]:
        """The sets of a stream; each must be used before the next one is asked for, because the tree moves on."""
        for record in records:
            if record.topic in TF_TOPICS:
                add_transforms(self._bag, self._tree, record)
            else:
                self._add(record)
            while self._pending and self._is_ready(*self._pending[0]):
                yield self._take()
        while images := self._synchronizer.poll(self._now_ns + _ENDLESS_NS):
            self._close(images)
        while self._pending:
            yield self._take()

    def _add(self, record: BagMessage) -> None:
        self._now_ns = max(self._now_ns, record.time_ns)
        if record.topic == self._lidar:
            self._sweeps.append(record)
            while self._sweeps[0].time_ns < record.time_ns - self._keep_ns:
                self._sweeps.popleft()
        else:
            self._add_image(self._names[record.topic], record)
        self._close(self._synchronizer.poll(self._now_ns))

    def _add_image(self, camera: str, record: BagMessage) -> None:
        self._close(self._synchronizer.add(camera, record.stamp_ns, self._now_ns, record))
        counts = self._synchronizer.stats.cameras[camera]
        if counts.off_clock:
            self._bag.note_damage(
                record.topic,
                f"has {counts.off_clock} of {counts.received} images on {record.topic} with stamps more than "
                f"{self._jump_ms * 1e-3:g} s from those of most cameras: they were left out "
                "(a clock that is not set, or a jump of all stamps)",
            )

    def _close(self, images: ImageSet[BagMessage] | None) -> None:
        if images is not None:
            self._pending.append(_Pending(images, self._now_ns))

    def _is_ready(self, images: ImageSet[BagMessage], closed_ns: int) -> bool:
        """Whether a sweep that belongs to the set would have come, and the poses for both."""
        if self._now_ns - closed_ns > LIMIT_NS:
            return True
        if self._lidar and not (self._sweeps and self._sweeps[-1].stamp_ns > images.stamp_ns + LIDAR_GAP_NS):
            return False  # sweeps come in order: only a later one tells that this set's will not
        needed_ns = images.stamp_ns + (LIDAR_GAP_NS if self._sweeps else 0)
        ways = {(self._base, sweep.frame_id) for sweep in self._sweeps} | {(self._world or self._base, self._base)}
        tracks = [track for way in ways for track in self._tree.tracks(*way)]
        return all((track.newest_ns or 0) >= needed_ns for track in tracks)

    def _take(self) -> FrameMessages:
        """The oldest set with its nearest sweep; sweeps are let go by age, because stamps may jump back."""
        images = self._pending.popleft().images
        near = [sweep for sweep in self._sweeps if abs(sweep.stamp_ns - images.stamp_ns) <= LIDAR_GAP_NS]
        return FrameMessages(images, min(near, key=lambda sweep: abs(sweep.stamp_ns - images.stamp_ns), default=None))
