"""Groups images of several cameras into sets by their stamps: one pass over the cameras per message, no clock, no lock.

How sets form. Images wait in at most two open groups, ordered in time. An image joins the group in which it widens the
spread of stamps least, if its camera is not in yet and the spread stays within `window_ms`. Otherwise it opens a group:
the group before it is split at its widest gap up to the image, and the images after the gap move to the new group, so
that a rig whose cameras expose one after the other finds the frame boundary wherever in the stream it starts. A group
is emitted when every camera is in, which drops the older one (newest wins), or as a partial set when `deadline_ms` have
passed since its first arrival (`poll`) or a third group opens. A complete group whose widest gap is more than three
times the gap that separates it from the set before consists of halves of two frames: the older half is dropped.

Sensible windows are at least the rig's own spread of stamps plus their jitter, and less than the period minus the
jitter. With a window below (period - spread - jitter) no fault of the stream can put two frames into one set.

Clocks. An image further than `jump_ms` from the median of the cameras' latest stamps is off the clock and is not used
until most cameras agree with it; a camera silent for `jump_ms` does not count. When time jumps back (a bag loops),
grouping starts anew, which costs at most the frame of the jump. Time has jumped back when the median moves back by more
than `jump_ms`, or when the last image of every camera is older than one that it sent before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from fsmde_core.errors import FsmdeError
from fsmde_core.sync.groups import GroupedImage, ImageGroup, widest_gap

T = TypeVar("T")

MAX_OPEN = 2
_NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class SyncSettings:
    """Sets how images are grouped.

    window_ms: most that stamps within a set may differ. deadline_ms: longest wait for missing cameras, counted in
    arrival time from a set's first image. min_cameras: fewest cameras of a partial set. jump_ms: see the module.
    """

    window_ms: float = 90.0
    deadline_ms: float = 100.0
    min_cameras: int = 1
    jump_ms: float = 1000.0

    def __post_init__(self) -> None:
        if not self.window_ms >= 0:
            raise FsmdeError(f"window_ms is {self.window_ms}, it must be 0 or more")
        if not self.window_ms <= self.deadline_ms < float("inf"):
            least = f"window_ms ({self.window_ms})"
            raise FsmdeError(f"deadline_ms is {self.deadline_ms}, it must be finite and at least {least}")
        if not self.deadline_ms < self.jump_ms < float("inf"):
            least = f"deadline_ms ({self.deadline_ms})"
            raise FsmdeError(f"jump_ms is {self.jump_ms}, it must be finite and more than {least}")
        if self.min_cameras < 1:
            raise FsmdeError(f"min_cameras is {self.min_cameras}, it must be 1 or more")


@dataclass(slots=True)
class CameraCounts:
    """Counts what became of one camera's images; received = emitted + late + duplicate + off_clock + dropped + pending.

    late: no open set can hold it any more. off_clock: its stamp contradicts most cameras'. dropped: waited in a set
    that was given up. missing: sets emitted without this camera.
    """

    received: int = 0
    emitted: int = 0
    late: int = 0
    duplicate: int = 0
    off_clock: int = 0
    dropped: int = 0
    missing: int = 0


@dataclass
class SyncStats:
    """Counts since construction. abandoned: sets given up without being emitted. resets: jumps back in time."""

    cameras: dict[str, CameraCounts]
    complete: int = 0
    partial: int = 0
    abandoned: int = 0
    resets: int = 0


class ImageSet(NamedTuple, Generic[T]):
    """Holds one image per camera present: `items` and `stamps_ns` by camera, in the order of the synchronizer's."""

    items: dict[str, T]
    stamps_ns: dict[str, int]
    complete: bool

    @property
    def stamp_ns(self) -> int:
        """Newest stamp of the set."""
        return max(self.stamps_ns.values())

    @property
    def skew_ns(self) -> int:
        """Spread of the set's stamps."""
        return max(self.stamps_ns.values()) - min(self.stamps_ns.values())


class Synchronizer(Generic[T]):
    """Groups images into sets, without locks: one thread calls `add` for every image and `poll` on a timer.

    Stamps may be any integers. `now_ns` is the caller's monotonic arrival time; no clock is read, so equal calls give
    equal results. Every set's `stamp_ns` is later than that of the set before, until a reset; an image is emitted at
    most once.
    """

    def __init__(self, cameras: Iterable[str], settings: SyncSettings | None = None) -> None:
        self.cameras = tuple(cameras)
        self.settings = settings or SyncSettings()
        if not self.cameras or len(set(self.cameras)) != len(self.cameras):
            raise FsmdeError(f"the synchronizer needs one or more different camera names, not {list(self.cameras)}")
        if self.settings.min_cameras > len(self.cameras):
            wanted = f"min_cameras is {self.settings.min_cameras}"
            raise FsmdeError(f"{wanted}, but there are only {len(self.cameras)} cameras; lower it")
        self.stats = SyncStats({name: CameraCounts() for name in self.cameras})
        self._window = int(self.settings.window_ms * _NS_PER_MS)
        self._deadline = int(self.settings.deadline_ms * _NS_PER_MS)
        self._jump = int(self.settings.jump_ms * _NS_PER_MS)
        self._latest: dict[str, tuple[int, int]] = {}  # every camera's last stamp and its arrival
        self._median: int | None = None
        self._forget()

    def _forget(self) -> None:
        self._open: list[ImageGroup] = []
        self._accepted: dict[str, int] = {}  # every camera's newest stamp that entered a group
        self._emitted: int | None = None  # newest stamp of the last set

    @property
    def pending(self) -> dict[str, int]:
        """Number of images per camera that wait in open sets."""
        return {name: sum(name in group.members for group in self._open) for name in self.cameras}

    def add(self, camera: str, stamp_ns: int, now_ns: int, item: T) -> ImageSet[T] | None:
        """Add one image.

        Args:
            camera: One of `cameras`.
            stamp_ns, now_ns: When it was exposed and when it arrived, nanoseconds.
            item: The image.

        Returns:
            The set that it completes or pushes out, if any.
        """
        counts = self.stats.cameras[camera]
        counts.received += 1
        if self._accepted.get(camera) == stamp_ns:
            counts.duplicate += 1
            return None
        if not self._agrees(camera, stamp_ns, now_ns):
            counts.off_clock += 1
            return None
        if stamp_ns < self._accepted.get(camera, stamp_ns) and self._all_moved_back(now_ns):
            self._reset()
        accepted, emitted = self._accepted.get(camera), self._emitted
        late = (accepted is not None and stamp_ns <= accepted) or (emitted is not None and stamp_ns <= emitted)
        group = None if late else self._join(camera, GroupedImage(stamp_ns, now_ns, item))
        if group is None:
            counts.late += 1
            return None
        self._accepted[camera] = stamp_ns
        if len(group.members) == len(self.cameras):
            return self._complete(group)
        return self._close_oldest() if len(self._open) > MAX_OPEN else None

    def poll(self, now_ns: int) -> ImageSet[T] | None:
        """Emit the oldest set whose deadline has passed, if any; call this every few milliseconds."""
        while self._open and now_ns - self._open[0].opened_ns >= self._deadline:
            closed = self._close_oldest()
            if closed is not None:
                return closed
        return None

    def _agrees(self, camera: str, stamp_ns: int, now_ns: int) -> bool:
        """Whether the stamp is near the median of the cameras heard lately; resets when the median jumped back."""
        self._latest[camera] = (stamp_ns, now_ns)
        heard_since = now_ns - self._jump
        votes = sorted([stamp for stamp, heard in self._latest.values() if heard >= heard_since])
        median = votes[len(votes) // 2]  # the upper one of two: a clock that was never set reads 0
        if self._median is not None and median < self._median - self._jump:
            self._reset()
        self._median = median
        return abs(stamp_ns - median) <= self._jump

    def _all_moved_back(self, now_ns: int) -> bool:
        """Whether every camera heard lately has a last stamp before its newest accepted one."""
        heard_since = now_ns - self._jump
        latest = [(accepted, *self._latest[name]) for name, accepted in self._accepted.items()]
        return all(stamp_ns < accepted or heard < heard_since for accepted, stamp_ns, heard in latest)

    def _reset(self) -> None:
        self.stats.resets += 1
        for group in self._open:
            self._abandon(group.members)
        self._forget()

    def _join(self, camera: str, member: GroupedImage) -> ImageGroup | None:
        """Put the image into the open group that it fits best or into a new one; None when it is older than all."""
        best, least = None, self._window + 1
        for group in reversed(self._open):
            if camera in group.members:
                break  # the camera's older image is here, so older groups are past
            growth = group.added_spread(member.stamp_ns)
            if growth < least and group.newest - group.oldest + growth <= self._window:
                best, least = group, growth
        if best is None:
            return self._open_group(camera, member)
        best.add(camera, member)
        return best

    def _open_group(self, camera: str, member: GroupedImage) -> ImageGroup | None:
        position = sum([group.oldest < member.stamp_ns for group in self._open])
        if position == 0 and len(self._open) == MAX_OPEN:
            return None
        later: dict[str, GroupedImage] = {}
        if position > 0:
            before = self._open[position - 1]
            own = before.members.get(camera)
            # Where the camera has an older image in that group, the cut lies between its two images.
            first = before.oldest if own is None else own.stamp_ns
            stamps = [m.stamp_ns for m in before.members.values() if first <= m.stamp_ns <= member.stamp_ns]
            _, start = widest_gap([*stamps, member.stamp_ns])
            if start <= before.newest:
                earlier, later = before.split(start)
                self._open[position - 1] = ImageGroup.from_members(earlier)
        group = ImageGroup.from_members({**later, camera: member})
        self._open.insert(position, group)
        return group

    def _complete(self, group: ImageGroup) -> ImageSet[T] | None:
        """Emit a group that has every camera, unless it straddles two frames."""
        if len(self.cameras) > 1 and self._emitted is not None:
            width, start = widest_gap([member.stamp_ns for member in group.members.values()])
            if width > 3 * max(group.oldest - self._emitted, 0):
                older, newer = group.split(start)
                self._abandon(older)
                self._open[self._open.index(group)] = ImageGroup.from_members(newer)
                return None
        while self._open[0] is not group:
            self._abandon(self._open.pop(0).members)
        return self._close_oldest()

    def _close_oldest(self) -> ImageSet[T] | None:
        """Emit the oldest group, or give it up when it has too few cameras or is older than what was emitted."""
        group = self._open.pop(0)
        members = group.members
        is_past = self._emitted is not None and group.newest <= self._emitted
        if is_past or len(members) < self.settings.min_cameras:
            self._abandon(members)
            return None
        self._emitted = group.newest
        items: dict[str, T] = {}
        stamps_ns: dict[str, int] = {}
        for name, counts in self.stats.cameras.items():
            member = members.get(name)
            if member is None:
                counts.missing += 1
            else:
                counts.emitted += 1
                items[name], stamps_ns[name] = member.item, member.stamp_ns
        complete = len(items) == len(self.cameras)
        self.stats.complete += complete
        self.stats.partial += not complete
        return ImageSet(items, stamps_ns, complete)

    def _abandon(self, members: dict[str, GroupedImage]) -> None:
        self.stats.abandoned += 1
        for name in members:
            self.stats.cameras[name].dropped += 1
