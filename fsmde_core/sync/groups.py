"""Describes how images are grouped, the groups that a synchronizer has open, and the sets that it makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from fsmde_core.errors import FsmdeError

T = TypeVar("T")


@dataclass(frozen=True)
class SyncSettings:
    """Sets how images are grouped.

    window_ms: most that stamps within a set may differ. deadline_ms: longest wait for missing cameras, counted in
    arrival time from a set's first image. min_cameras: fewest cameras of a partial set. jump_ms: how long
    an image counts in judging its camera's clock and rate.
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
