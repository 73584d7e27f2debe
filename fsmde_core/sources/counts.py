"""Counts what a recording holds and what of it was used: how many images, sweeps and poses were left out, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class ItemCount:
    """Counts items of one kind, each once however often the recording is read.

    read: those that were looked at. left_out: reason, worded to follow "N left out: ", -> those that are in no frame.
    """

    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def used(self) -> int:
        return self.read - self.left_out.total()


@dataclass
class ReadingCounts:
    """Holds the counts of a recording's images, lidar sweeps and poses; they grow while frames are read."""

    images: ItemCount = field(default_factory=ItemCount)
    sweeps: ItemCount = field(default_factory=ItemCount)
    poses: ItemCount = field(default_factory=ItemCount)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ReadingCounts:
        """Restore what `document` returned."""
        kinds = ("images", "sweeps", "poses")
        return cls(*(ItemCount(document[kind]["read"], Counter(document[kind]["left_out"])) for kind in kinds))

    def __iter__(self) -> Iterator[tuple[str, ItemCount]]:
        yield from (("images", self.images), ("sweeps", self.sweeps), ("poses", self.poses))

    def add(self, other: ReadingCounts) -> None:
        """Add what another reader has counted."""
        for (_, ours), (_, theirs) in zip(self, other, strict=True):
            ours.read += theirs.read
            ours.left_out.update(theirs.left_out)

    def lines(self) -> list[str]:
        """Return a sentence for each kind, as commands print it: `images: 48 read, 47 used; 1 left out: cut off`."""
        return [f"{name}: {_sentence(count)}" for name, count in self]

    def document(self) -> dict[str, dict[str, object]]:
        """Return the counts for a JSON document: kind -> `read`, `used`, and `left_out` with reason -> number."""
        return {name: {"read": c.read, "used": c.used, "left_out": dict(c.left_out)} for name, c in self}


def _sentence(count: ItemCount) -> str:
    reasons = [f"{number} left out: {reason}" for reason, number in count.left_out.most_common()]
    return "; ".join([f"{count.read} read, {count.used} used", *reasons])
