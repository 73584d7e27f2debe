"""Groups images of several cameras into sets by their stamps: one pass over the cameras per message, no clock, no lock.

How sets form. Images wait in at most two open groups, ordered in time. An image joins the group in which it widens the
spread of stamps least, if its camera is not in yet and the spread stays within `window_ms`. Otherwise it opens a group:
the group before it is split at its widest gap up to the image, and the images after the gap move to the new group, so
that a rig whose cameras expose one after the other finds the frame boundary wherever in the stream it starts. A group
is closed when no camera that it lacks may yet send an image for it, `deadline_ms` after its first arrival (`poll`), or
when a third one opens. Older groups are closed before it: those of more than half of the cameras are sets, the others
are given up. A group whose widest gap is more than three times the gap that separates it from the set before consists
of halves of two frames: the older half is dropped.

Sensible windows are at least the rig's own spread of stamps plus their jitter, and less than the period minus the
jitter. With a window below (period - spread - jitter) no fault of the stream can put two frames into one set.

Cameras out of step. `clocks` judges by the arrival of images which cameras agree. The images of the others open no
group, so that they take no other's away: they wait, a few at a time, for a group that they fit when it is closed. What
cannot be in one set with most cameras by more than `deadline_ms` is off the clock and not used. A camera silent for
`jump_ms` counts in no judgement. When time jumps back (a bag loops), grouping starts anew, which costs at most the
frame of the jump: when most cameras could not have sent the last set yet, or when the last image of every camera is
older than one that it sent before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic

from fsmde_core.errors import FsmdeError
from fsmde_core.sync.clocks import CameraClock, Clocks, Step
from fsmde_core.sync.counts import CameraCounts, SyncStats
from fsmde_core.sync.groups import GroupedImage, ImageGroup, ImageSet, SyncSettings, T, widest_gap
from fsmde_core.sync.waiting import NearImages, WaitingImage, WaitingImages

MAX_OPEN = 2
_NS_PER_MS = 1_000_000


class Synchronizer(Generic[T]):
    """Groups images into sets, without locks: one thread calls `add` for every image and `poll` on a timer.

    Either gives one set: call `poll` until it gives None. Stamps may be any integers. `now_ns` is the caller's
    monotonic arrival time; no clock is read, so equal calls give equal results. Every set's `stamp_ns` is later than
    that of the set before, until a reset; an image is emitted at most once.
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
        self._clocks = Clocks(self.cameras, self._window, self._deadline, int(self.settings.jump_ms * _NS_PER_MS))
        self._waiting = WaitingImages(self._window, len(self.cameras))
        self._open: list[ImageGroup] = []
        self._closed: deque[dict[str, GroupedImage]] = deque()  # members of sets that nobody has asked for yet
        self._newest: int | None = None  # newest stamp of the last set

    @property
    def pending(self) -> dict[str, int]:
        """Number of images per camera that wait for their set, or for being asked for."""
        held = [*self._closed, *[group.members for group in self._open]]
        return {n: sum(n in members for members in held) + self._waiting.count(n) for n in self.cameras}

    def add(self, camera: str, stamp_ns: int, now_ns: int, item: T) -> ImageSet[T] | None:
        """Add one image.

        Args:
            camera: One of `cameras`.
            stamp_ns, now_ns: When it was exposed and when it arrived, nanoseconds.
            item: The image.

        Returns:
            The oldest set that is closed by now, if any.
        """
        counts, clock = self.stats.cameras[camera], self._clocks.by_camera[camera]
        counts.received += 1
        if stamp_ns == clock.accepted or (stamp_ns == clock.stamp and self._waiting.count(camera)):
            counts.duplicate += 1
        else:
            step = self._clocks.judge(clock, stamp_ns, now_ns)
            if self._went_back(clock, stamp_ns, now_ns):
                self._reset()
            image = GroupedImage(stamp_ns, now_ns, item)
            if step is Step.OFF or not self._place(camera, clock, image):
                self._leave_out([WaitingImage(camera, image, step)])
        return self._emit() if self._closed else None

    def poll(self, now_ns: int) -> ImageSet[T] | None:
        """Give the oldest set that is closed by now, if any; call this every few milliseconds, until it gives None."""
        while self._open and now_ns - self._open[0].opened_ns >= self._deadline:
            self._close_oldest()
        if self._waiting.images:
            self._leave_out(self._waiting.expire(now_ns - 2 * self._deadline, self._newest))
        return self._emit() if self._closed else None

    def _went_back(self, clock: CameraClock, stamp: int, now: int) -> bool:
        """Whether time has jumped back: most cameras cannot have sent the last set, or all are where they have been."""
        if self._newest is not None and self._newest - now > self._clocks.most_lead:
            return True
        is_back = clock.accepted is not None and stamp < clock.accepted and clock.step is not Step.OFF
        return is_back and self._clocks.all_went_back(now)

    def _reset(self) -> None:
        self.stats.resets += 1
        for group in self._open:
            self._abandon(group.members)
        for name, _, _ in self._waiting.images:
            self.stats.cameras[name].dropped += 1
        self._clocks.forget()
        self._open, self._waiting.images, self._newest = [], [], None

    def _place(self, camera: str, clock: CameraClock, image: GroupedImage) -> bool:
        """Put an image into a group or among those that wait for one; False where it comes too late."""
        stamp, accepted, newest = image.stamp_ns, clock.accepted, self._newest
        if (accepted is not None and stamp <= accepted) or (newest is not None and stamp <= newest):
            return False
        group = None
        if clock.step is Step.IN:
            group = self._join(camera, image)
            if group is None and not self._open_group(camera, image):
                return False
            clock.accepted = stamp
        else:
            self._leave_out(self._waiting.add(WaitingImage(camera, image, clock.step)))
        if len(self._open) > MAX_OPEN:
            # A camera alone whose rate is not known yet may be faster than the others.
            oldest = [*self._open[0].members]
            self._close_oldest(least=2 if len(oldest) == 1 and self._clocks.is_new(oldest[0], image.arrived_ns) else 1)
        else:
            # Closing a newer group closes the older ones too: an image does so only where it joins the newer one.
            if group is None and self._open and self._open[0].added_spread(stamp) <= self._window:
                group = self._open[0]
            if group is not None and (near := self._lacks_nothing(group, image.arrived_ns)) is not None:
                self._end(group, near)
        return True

    def _join(self, camera: str, image: GroupedImage) -> ImageGroup | None:
        """Put the image into the open group that it fits best, if it fits one."""
        best, least = None, self._window + 1
        for group in reversed(self._open):
            if camera in group.members:
                break  # the camera's older image is here, so older groups are past
            growth = group.added_spread(image.stamp_ns)
            if growth < least and group.newest - group.oldest + growth <= self._window:
                best, least = group, growth
        if best is None or (self._waiting.images and self._waiting.has_nearer(camera, best, least)):
            return None
        best.add(camera, image)
        return best

    def _open_group(self, camera: str, image: GroupedImage) -> bool:
        """Put the image into a new group; False when it is older than all."""
        stamp, position = image.stamp_ns, len(self._open)
        while position and self._open[position - 1].oldest >= stamp:
            position -= 1
        if position == 0 and len(self._open) == MAX_OPEN:
            return False
        group = ImageGroup({camera: image}, stamp, stamp, image.arrived_ns)
        before = self._open[position - 1] if position else None
        if before is not None and stamp - before.newest < before.newest - before.oldest:  # else the last gap is widest
            own = before.members.get(camera)
            # Where the camera has an older image in that group, the cut lies between its two images.
            first = before.oldest if own is None else own.stamp_ns
            stamps = [m.stamp_ns for m in before.members.values() if first <= m.stamp_ns <= stamp]
            gap = widest_gap([*stamps, stamp])
            if gap.end <= before.newest:
                self._open[position - 1], group = before.split(gap)
                group.add(camera, image)
        self._open.insert(position, group)
        return True

    def _lacks_nothing(self, group: ImageGroup, now_ns: int) -> NearImages | None:
        """Find what to add to a group; None if an image may yet come that it lacks, or that suits it better."""
        members = group.members
        if len(members) == len(self.cameras):
            return {}
        near = self._waiting.near(group) if self._waiting.images else {}
        for name in self._clocks.due(members, group.newest + self._window, now_ns):
            if name not in near or self._clocks.by_camera[name].earliest_next < group.newest + near[name][0]:
                return None
        return near if len(members) + len(near) >= self.settings.min_cameras else None

    def _end(self, group: ImageGroup, near: NearImages) -> None:
        """Close a group that lacks nothing, after older ones of most cameras, unless it straddles two frames."""
        most = 0 if self._newest is None else 3 * max(group.oldest - self._newest, 0)
        if self._newest is not None and group.newest - group.oldest > most:
            gap = widest_gap([image.stamp_ns for image in group.members.values()])
            if gap.width > most:
                older, newer = group.split(gap)
                self._abandon(older.members)
                self._open[self._open.index(group)] = newer
                return
        is_oldest = self._open[0] is group
        while self._open[0] is not group:
            self._close_oldest(least=len(self.cameras) // 2 + 1)
        self._close_oldest(near=near if is_oldest else None)  # what waited may have gone into the older ones

    def _close_oldest(self, least: int = 1, near: NearImages | None = None) -> None:
        """Make the oldest group a set, or give it up where it has too few cameras or ends before the last set.

        `near` is what waits for it, if that has been looked for already.
        """
        group, least = self._open.pop(0), max(least, self.settings.min_cameras)
        if group.newest - group.opened_ns > self._clocks.most_lead:
            self._leave_out_ahead(group)
        if near is None:
            near = self._waiting.near(group) if self._waiting.images else {}
        if near and group.members and len(group.members) + len(near) >= least:
            self._add_waiting(group, near)
        is_past = self._newest is not None and group.newest <= self._newest
        if is_past or len(group.members) < least:
            self._abandon(group.members)
            return
        self._clocks.note_company(group.members, group.opened_ns)
        self._newest = group.newest
        self._closed.append(group.members)

    def _leave_out_ahead(self, group: ImageGroup) -> None:
        """Leave out the images of a clock that is ahead, as is known by now."""
        most = self._clocks.most_lead
        ahead = [(name, image) for name, image in group.members.items() if image.stamp_ns - image.arrived_ns > most]
        for name, image in ahead:
            self._leave_out_off_clock(name, image)
        if ahead:
            group.remove([name for name, _ in ahead])

    def _add_waiting(self, group: ImageGroup, near: NearImages) -> None:
        """Add to a group the waiting images that suit it."""
        near = {name: found for name, found in near.items() if not self._holds_older(name, found[1].stamp_ns)}
        joined, left_out = self._waiting.join(group, near, self._newest)
        for name in joined:
            clock, stamp = self._clocks.by_camera[name], group.members[name].stamp_ns
            if clock.accepted is None or clock.accepted < stamp:
                clock.accepted = stamp
        self._leave_out(left_out)

    def _holds_older(self, camera: str, stamp: int) -> bool:
        """Whether an open group has an image of a camera that is not newer than one of this stamp."""
        return any(camera in group.members and group.members[camera].stamp_ns <= stamp for group in self._open)

    def _emit(self) -> ImageSet[T]:
        members = self._closed.popleft()
        complete = len(members) == len(self.cameras)
        if complete:
            self.stats.complete += 1
        else:
            self.stats.partial += 1
        items: dict[str, T] = {}
        stamps_ns: dict[str, int] = {}
        for name, counts in self.stats.cameras.items():
            if name in members:
                stamps_ns[name], _, items[name] = members[name]
                counts.emitted += 1
        return ImageSet(items, stamps_ns, complete)

    def _leave_out(self, images: list[WaitingImage]) -> None:
        """Count images that no set takes, by their camera's step."""
        for camera, image, step in images:
            if step is Step.IN:
                self.stats.cameras[camera].late += 1
            elif step is Step.UNEVEN:
                self.stats.cameras[camera].surplus += 1
            else:
                self._leave_out_off_clock(camera, image)

    def _leave_out_off_clock(self, camera: str, image: GroupedImage) -> None:
        counts, (stamp, arrived, _) = self.stats.cameras[camera], image
        counts.off_clock += 1
        offset = stamp - arrived - self._clocks.reference
        if self._newest is not None and self._clocks.by_camera[camera].step is Step.ALONE:
            offset = stamp - self._newest  # its clock is right, its moment is another
        counts.offset_ms = offset / _NS_PER_MS

    def _abandon(self, members: dict[str, GroupedImage]) -> None:
        cameras = self.stats.cameras
        self.stats.abandoned += bool(members)
        for name in members:
            cameras[name].dropped += 1
