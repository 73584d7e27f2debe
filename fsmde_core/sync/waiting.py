"""Keeps the images of cameras that are out of step until a group is closed that they fit."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from fsmde_core.sync.clocks import Step
from fsmde_core.sync.groups import GroupedImage, ImageGroup

MOST = 4
"""Images per camera: as many as one of four times the rate sends in a period of the others."""

NearImages: TypeAlias = dict[str, tuple[int, GroupedImage]]
"""By camera, its image that suits a group best, after the growth of the group's spread."""


class WaitingImage(NamedTuple):
    """Holds an image and the step of its camera when it came, which says why it waits."""

    camera: str
    image: GroupedImage
    step: Step


class WaitingImages:
    """Holds a few images per camera, in order of arrival. Some methods return the images that they leave out."""

    def __init__(self, window: int, cameras: int) -> None:
        self._window = window
        self._most = max(cameras // 2, MOST + 2)
        self.images: list[WaitingImage] = []

    def count(self, camera: str) -> int:
        return sum([waiting.camera == camera for waiting in self.images])

    def add(self, new: WaitingImage) -> list[WaitingImage]:
        """Keep an image; leaves out what the camera sent before and stamped later, or else the oldest of too many."""
        camera, (stamp, _, _) = new.camera, new.image
        own = [waiting for waiting in self.images if waiting.camera == camera]
        left_out = [waiting for waiting in own if waiting.image.stamp_ns > stamp]  # that or this is wrong
        if left_out:
            self.images = [w for w in self.images if w.camera != camera or w.image.stamp_ns <= stamp]
        elif len(own) == MOST or len(self.images) == self._most:
            left_out = own[:1] if len(own) == MOST else self.images[:1]
            self._remove(left_out[0])
        self.images.append(new)
        return left_out

    def has_nearer(self, camera: str, group: ImageGroup, growth: int) -> bool:
        """Tell whether an image that waits suits a group as well as one that has come.

        Args:
            camera: The camera of both.
            group: The group.
            growth: By how much the one that has come widens the group.

        Returns:
            Whether one that waits widens it by at most as much.
        """
        own = [image.stamp_ns for name, image, _ in self.images if name == camera]
        return bool(own) and min([group.added_spread(stamp) for stamp in own]) <= growth

    def near(self, group: ImageGroup) -> NearImages:
        """Find the images that a group can hold: by camera the one with the least growth, and the growth."""
        oldest, newest = group.oldest, group.newest
        first, last = newest - self._window, oldest + self._window
        found: NearImages = {}
        members = group.members
        for camera, image, _ in self.images:
            stamp = image.stamp_ns
            if first <= stamp <= last and camera not in members:
                growth = oldest - stamp if stamp < oldest else max(stamp - newest, 0)
                if camera not in found or growth < found[camera][0]:
                    found[camera] = growth, image
        return found

    def join(self, group: ImageGroup, near: NearImages, after_ns: int | None) -> tuple[list[str], list[WaitingImage]]:
        """Move into a group the images that suit it and fit beside each other.

        Args:
            group: The group.
            near: What `near` has found for it.
            after_ns: Stamp after which theirs must be, if any.

        Returns:
            The cameras that joined, and the images before theirs, which are left out.
        """
        joined: dict[str, GroupedImage] = {}
        for camera, (_, image) in near.items():
            stamp = image.stamp_ns
            oldest, newest = min(group.oldest, stamp), max(group.newest, stamp)
            if newest - oldest <= self._window and (after_ns is None or stamp > after_ns):
                group.members[camera] = joined[camera] = image
                group.oldest, group.newest = oldest, newest
        left_out: list[WaitingImage] = []
        if joined:
            kept: list[WaitingImage] = []
            for waiting in self.images:
                camera, image, _ = waiting
                if camera not in joined or image.stamp_ns > joined[camera].stamp_ns:
                    kept.append(waiting)
                elif image is not joined[camera]:
                    left_out.append(waiting)
            self.images = kept
        return [*joined], left_out

    def expire(self, arrived_ns: int, stamp_ns: int | None) -> list[WaitingImage]:
        """Leave out what can be in no later set.

        Args:
            arrived_ns: Images that had arrived by then are left out.
            stamp_ns: So are those with this stamp or an earlier one, if it is given.

        Returns:
            The images left out.
        """
        left_out = [
            waiting
            for waiting in self.images
            if waiting.image.arrived_ns <= arrived_ns or (stamp_ns is not None and waiting.image.stamp_ns <= stamp_ns)
        ]
        for waiting in left_out:
            self._remove(waiting)
        return left_out

    def _remove(self, waiting: WaitingImage) -> None:
        # By identity: items need not be comparable.
        self.images = [other for other in self.images if other is not waiting]
