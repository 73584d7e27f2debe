"""Groups images into sets, each with its lidar sweep, and yields a set when the poses for it are known."""

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


class Grouper:
    """Groups a stream of messages into sets in order of time; a set waits only while its poses or sweep may come.

    Waiting is counted in the time of recording, as the node does it live: one wrong stamp would upset a clock made of
    stamps.
    """

    def __init__(
        self,
        bag: Bag,
        names: Mapping[str, str],
        lidar: str | None,
        tree: TransformTree,
        frames: tuple[str | None, str],
        sync: SyncSettings,
    ) -> None:
        """Start a stream; `bag` receives the notes, `names` maps image topics to cameras, `lidar` is a topic.

        The tree is kept up to date with the stream, and is valid for the set that was yielded last. The frames are the
        world, None where nothing moves, and the base.
        """
        self._bag, self._jump_ms = bag, sync.jump_ms
        self._names, self._lidar, self._tree, (self._world, self._base) = names, lidar, tree, frames
        self._synchronizer: Synchronizer[BagMessage] = Synchronizer(names.values(), sync)
        self._pending: deque[tuple[ImageSet[BagMessage], int]] = deque()  # and when each was closed
        self._sweeps: deque[BagMessage] = deque()
        self._keep_ns = LIMIT_NS + 2 * LIDAR_GAP_NS + int(sync.deadline_ms * 1e6)  # longest that a sweep is waited for
        self._now_ns = 0

    def groups(self, records: Iterable[BagMessage]) -> Iterator[FrameMessages]:
        """Yield the sets of a stream; each must be used before the next one is read, because the tree is updated."""
        for record in records:
            if record.topic in TF_TOPICS:
                add_transforms(self._bag, self._tree, record)
            else:
                self._add(record)
            while self._pending and self._is_ready(*self._pending[0]):
                yield self._pop_oldest()
        while images := self._synchronizer.poll(self._now_ns + _ENDLESS_NS):
            self._enqueue(images)
        while self._pending:
            yield self._pop_oldest()

    def _add(self, record: BagMessage) -> None:
        self._now_ns = max(self._now_ns, record.time_ns)
        if record.topic == self._lidar:
            self._sweeps.append(record)
            while self._sweeps[0].time_ns < record.time_ns - self._keep_ns:
                self._sweeps.popleft()
        else:
            self._add_image(self._names[record.topic], record)
        self._enqueue(self._synchronizer.poll(self._now_ns))

    def _add_image(self, camera: str, record: BagMessage) -> None:
        self._enqueue(self._synchronizer.add(camera, record.stamp_ns, self._now_ns, record))
        counts = self._synchronizer.stats.cameras[camera]
        if counts.off_clock:
            self._bag.note_damage(
                record.topic,
                f"has {counts.off_clock} of {counts.received} images on {record.topic} with stamps more than "
                f"{self._jump_ms * 1e-3:g} s from those of most cameras: they were left out "
                "(a clock that is not set, or a jump of all stamps)",
            )

    def _enqueue(self, images: ImageSet[BagMessage] | None) -> None:
        if images is not None:
            self._pending.append((images, self._now_ns))

    def _is_ready(self, images: ImageSet[BagMessage], closed_ns: int) -> bool:
        """Whether a sweep that belongs to the set would have come, and the poses for both."""
        if self._now_ns - closed_ns > LIMIT_NS:
            return True
        if self._lidar and not (self._sweeps and self._sweeps[-1].stamp_ns > images.stamp_ns + LIDAR_GAP_NS):
            return False  # sweeps come in order: only a later one shows that none of this set will come
        needed_ns = images.stamp_ns + (LIDAR_GAP_NS if self._sweeps else 0)
        pairs = {(self._base, sweep.frame_id) for sweep in self._sweeps} | {(self._world or self._base, self._base)}
        tracks = [track for pair in pairs for track in self._tree.tracks_between(*pair)]
        return all((track.newest_ns or 0) >= needed_ns for track in tracks)

    def _pop_oldest(self) -> FrameMessages:
        images, _ = self._pending.popleft()
        # Sweeps stay until they are too old, because stamps may jump back.
        near = [sweep for sweep in self._sweeps if abs(sweep.stamp_ns - images.stamp_ns) <= LIDAR_GAP_NS]
        return FrameMessages(images, min(near, key=lambda sweep: abs(sweep.stamp_ns - images.stamp_ns), default=None))
