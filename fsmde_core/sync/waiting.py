"""Keeps the images of cameras that are out of step until a group is closed that they fit."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from fsmde_core.sync.groups import GroupedImage, ImageGroup

MOST = 4
"""Images per camera: as many as a camera of four times the rate sends in a period of the others."""

NearImages: TypeAlias = dict[str, tuple[int, GroupedImage]]
"""By camera, its image that suits a group best, after the growth of the group's spread."""


class WaitingImage(NamedTuple):
    camera: str
    image: GroupedImage


class WaitingImages:
    """Holds a few images per camera, in order of arrival. Some methods return the images that they leave out."""

    def __init__(self, window: int) -> None:
        self._window = window
        self.images: list[WaitingImage] = []

    def count(self, camera: str) -> int:
        return sum([waiting.camera == camera for waiting in self.images])

    def add(self, camera: str, image: GroupedImage) -> list[WaitingImage]:
        """Keep an image; leaves out what the camera sent before and stamped later, and its oldest of too many."""
        own = [waiting for waiting in self.images if waiting.camera == camera]
        left_out = [waiting for waiting in own if waiting.image.stamp_ns > image.stamp_ns]  # that or this is wrong
        if left_out:
            self.images = [w for w in self.images if w.camera != camera or w.image.stamp_ns <= image.stamp_ns]
        elif len(own) == MOST:
            left_out = own[:1]
            self._remove(own[0])
        self.images.append(WaitingImage(camera, image))
        return left_out

    def near(self, group: ImageGroup) -> NearImages:
        """Find the images that a group can hold: by camera the one with the least growth, and the growth."""
        oldest, newest = group.oldest, group.newest
        first, last = newest - self._window, oldest + self._window
        found: NearImages = {}
        members = group.members
        for camera, image in self.images:
            stamp = image.stamp_ns
            if first <= stamp <= last and camera not in members:
                growth = oldest - stamp if stamp < oldest else max(stamp - newest, 0)
                if camera not in found or growth < found[camera][0]:
                    found[camera] = growth, image
        return found

    def join(self, group: ImageGroup, near: NearImages, after_ns: int | None) -> tuple[list[str], list[WaitingImage]]:
        """Move into a group those of the images `near` it that fit beside each other, with stamps after `after_ns`.

        Returns:
            The cameras that joined, and the images before theirs, which are left out.
        """
        joined: dict[str, GroupedImage] = {}
        for camera, (_, image) in near.items():
            spread = group.newest - group.oldest + group.added_spread(image.stamp_ns)
            if spread <= self._window and (after_ns is None or image.stamp_ns > after_ns):
                group.add(camera, image)
                joined[camera] = image
        left_out: list[WaitingImage] = []
        if joined:
            kept: list[WaitingImage] = []
            for waiting in self.images:
                best = joined.get(waiting.camera)
                if best is None or waiting.image.stamp_ns > best.stamp_ns:
                    kept.append(waiting)
                elif waiting.image is not best:
                    left_out.append(waiting)
            self.images = kept
        return [*joined], left_out

    def expire(self, arrived_ns: int, stamp_ns: int | None) -> list[WaitingImage]:
        """Leave out the images that had arrived by `arrived_ns`, and those whose stamp is at most `stamp_ns`."""
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
