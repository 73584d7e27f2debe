"""Holds the groups of images that a synchronizer has open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class GroupedImage(NamedTuple):
    stamp_ns: int
    arrived_ns: int
    item: Any


@dataclass(eq=False, slots=True)
class ImageGroup:
    """Holds images that may become a set: by camera, in order of arrival, with the range of their stamps."""

    members: dict[str, GroupedImage]
    oldest: int
    newest: int
    opened_ns: int

    @classmethod
    def from_members(cls, members: dict[str, GroupedImage]) -> ImageGroup:
        stamps = [member.stamp_ns for member in members.values()]
        return cls(members, min(stamps), max(stamps), next(iter(members.values())).arrived_ns)

    def add(self, camera: str, member: GroupedImage) -> None:
        self.members[camera] = member
        self.oldest = min(self.oldest, member.stamp_ns)
        self.newest = max(self.newest, member.stamp_ns)

    def remove(self, cameras: list[str]) -> None:
        for camera in cameras:
            del self.members[camera]
        stamps = [member.stamp_ns for member in self.members.values()]
        if stamps:
            self.oldest, self.newest = min(stamps), max(stamps)

    def added_spread(self, stamp_ns: int) -> int:
        """Compute how much wider the spread of stamps becomes with `stamp_ns`."""
        return max(self.oldest - stamp_ns, stamp_ns - self.newest, 0)

    def split(self, gap: Gap) -> tuple[ImageGroup, ImageGroup]:
        """Split at a gap between two of its images, or between one and an image that is to join the later part."""
        before: dict[str, GroupedImage] = {}
        after: dict[str, GroupedImage] = {}
        for name, member in self.members.items():
            (before if member.stamp_ns < gap.end else after)[name] = member
        return (
            ImageGroup(before, self.oldest, gap.start, next(iter(before.values())).arrived_ns),
            ImageGroup(after, gap.end, self.newest, next(iter(after.values())).arrived_ns),
        )


class Gap(NamedTuple):
    width: int
    start: int
    end: int


def widest_gap(stamps: list[int]) -> Gap:
    """Find the widest gap between neighbours, the last where several are equal."""
    ordered = sorted(stamps)
    widest, start, end, earlier = -1, ordered[0], ordered[0], ordered[0]
    for later in ordered[1:]:
        if later - earlier >= widest:
            widest, start, end = later - earlier, earlier, later
        earlier = later
    return Gap(widest, start, end)
